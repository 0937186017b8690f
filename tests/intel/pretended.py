"""A machine that pretends to have GPUs of Intel, by stand-ins that are named so."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from workers.gpus import intel

STAND_INS = Path(__file__).parent / "stand_ins"
CPU = {"CPU": {"FULL_DEVICE_NAME": "Processor"}}
ARC = {
    "FULL_DEVICE_NAME": "Intel(R) Arc(TM) A770 Graphics (dGPU)",
    "GPU_DEVICE_TOTAL_MEM_SIZE": 16225243136,
    "OPTIMIZATION_CAPABILITIES": ["FP32", "BIN", "FP16", "INT8", "GPU_HW_MATMUL"],
}
UHD = {
    "FULL_DEVICE_NAME": "Intel(R) UHD Graphics 770 (iGPU)",
    "GPU_DEVICE_TOTAL_MEM_SIZE": 13 << 30,
    "OPTIMIZATION_CAPABILITIES": ["FP32", "BIN"],
}
_PYTHON = """#!{python}
import sys
sys.path.insert(0, {stand_ins!r})
exec(sys.argv[sys.argv.index("-c") + 1])
"""


class PretendedOpenVino:
    """A Python whose OpenVINO lists what it is told to, and a system that knows of one GPU.

    add_node: it knows of another one.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._file = folder / "stand-in-openvino.json"
        patch.setenv("FARM_STAND_IN_OPENVINO", str(self._file))
        self._python = folder / "stand-in-python"
        self._python.write_text(_PYTHON.format(python=sys.executable, stand_ins=str(STAND_INS)))
        self._python.chmod(0o755)
        self.node = folder / "dri" / "renderD128"
        self.node.parent.mkdir()
        self.node.touch()
        self._drm = folder / "drm"
        self.add_node("renderD128")
        patch.setattr(intel, "_NODES", self.node.parent)
        patch.setattr(intel, "_DRM", self._drm)
        self.tell(GPU=ARC)

    @property
    def python(self) -> str:
        return str(self._python)

    def add_node(self, name: str, vendor: str = "0x8086") -> None:
        told = self._drm / name / "device" / "vendor"
        told.parent.mkdir(parents=True)
        told.write_text(f"{vendor}\n")

    def tell(self, **devices: dict[str, Any]) -> None:
        """What is listed from now on beside the processor; ``GPU_1`` is GPU.1."""
        told = CPU | {name.replace("_", "."): each for name, each in devices.items()}
        self._file.write_text(json.dumps(told))
        intel._asked.cache_clear()
