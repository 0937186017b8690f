"""A machine that pretends to have NVIDIA's GPUs, by stand-ins that are named so."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from farm.devices.environment import Environment
from tests.nvidia import cpu_as_gpu
from tests.tools.wheels import pretend_installed
from workers.nvidia import presence
from workers.nvidia.meter import ORDER, VISIBLE

STAND_INS = Path(__file__).parent / "stand_ins"
GPU_ENVIRONMENT = Environment(
    name="stand-in",
    description="The tests' own packages; CUDA is a stand-in",
    engines=("onnxruntime-cuda", "onnxruntime-tensorrt"),
    modules=(),
    requirements="none",
)


class PretendedGpus:
    """GPUs that NVML's stand-in tells of, in this process and in children.

    tell: what is told from now on, see ``stand_ins/pynvml.py``; one GPU to begin with.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._file = folder / "stand-in-gpus.json"
        self._folder, self._patch = folder, patch
        self.tell()
        patch.delenv(VISIBLE, raising=False)
        patch.delenv(ORDER, raising=False)
        patch.setenv("FARM_STAND_IN_GPUS", str(self._file))
        patch.setitem(sys.modules, "pynvml", _loaded())
        patch.setenv("PYTHONPATH", str(STAND_INS), prepend=os.pathsep)
        devices = folder / "dev"
        devices.mkdir()
        (devices / "nvidia0").touch()
        patch.setattr(presence, "_DEVICES", devices)
        patch.setattr(presence, "_has_library", lambda name: True)
        self.devices = devices

    def tell(self, **settings: Any) -> None:
        """At one blow: others read it meanwhile."""
        written = self._file.with_suffix(".new")
        written.write_text(json.dumps(settings))
        written.replace(self._file)

    def install(self) -> None:
        """An environment whose ONNX Runtime says that it runs on the GPU."""
        self._patch.setenv("XDG_DATA_HOME", str(self._folder / "data"))
        pretend_installed(GPU_ENVIRONMENT)

    def pretend_here(self) -> None:
        """The same for this process's ONNX Runtime."""
        cpu_as_gpu.pretend(onnxruntime, self._patch.setattr)


def _loaded() -> Any:
    spec = importlib.util.spec_from_file_location("pynvml", STAND_INS / "pynvml.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
