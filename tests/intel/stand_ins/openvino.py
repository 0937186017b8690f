"""A stand-in for OpenVINO on machines without a GPU of Intel: it lists what a file says.

The file that FARM_STAND_IN_OPENVINO names has JSON, by device the values of its properties; what
has none is as OpenVINO is where it was never told of: an error. It answers as OpenVINO's
documentation of ``Core`` and of the GPU plug-in says, and runs nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "FARM_STAND_IN_OPENVINO"


class Core:
    def __init__(self) -> None:
        self._told: dict[str, dict[str, Any]] = json.loads(Path(os.environ[VARIABLE]).read_text())

    @property
    def available_devices(self) -> list[str]:
        return [name for name, told in self._told.items() if "missing" not in told]

    def get_property(self, device: str, name: str) -> Any:
        told = self._told.get(device, {})
        if "missing" in told:
            raise RuntimeError(told["missing"])
        if name not in told:
            raise RuntimeError(f"Unsupported property {name} by {device} plugin")
        return told[name]
