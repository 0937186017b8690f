"""A stand-in for onnxruntime-gpu, for children on machines without a GPU.

It is the real ONNX Runtime, whose CPU provider says that it is CUDA's or TensorRT's: see
``tests.nvidia.cpu_as_gpu``. What is computed is right; how long it takes says nothing of a GPU.
"""

import importlib
import sys
from pathlib import Path

_here = Path(__file__).parent
_kept = list(sys.path)
sys.path[:] = [place for place in _kept if Path(place).resolve() != _here.resolve()]
del sys.modules["onnxruntime"]
real = importlib.import_module("onnxruntime")
sys.path[:] = [*sys.path, str(_here.parent)]
importlib.import_module("cpu_as_gpu").pretend(real, setattr)
sys.path[:] = _kept
