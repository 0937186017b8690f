"""Nothing is sent anywhere: what dependencies read when they are imported, or first used.

Calls come too late. ONNX Runtime announces its process, and writes an identifier of the machine
into the user's cache folder, before ``disable_telemetry_events()`` can be called.
"""

from __future__ import annotations

import os
import sys

# OpenVINO's package sends an event when it is imported, unless this module cannot be.
_NOT_IMPORTED = ("openvino_telemetry",)
_OFF = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def send_nothing() -> None:
    """Switch the telemetry of all dependencies off, here and in the processes started from here.

    Called where ``farm`` is imported, which is before any dependency that has telemetry.
    """
    os.environ.update(_OFF)
    for module in _NOT_IMPORTED:
        sys.modules[module] = None  # type: ignore[assignment]  # a second import raises ImportError


def sending_nothing(source: str) -> str:
    """A line of Python for an interpreter that cannot import the farm, with the same switched off.

    The variables of the environment it has from this process.
    """
    return f"import sys; sys.modules.update(dict.fromkeys({_NOT_IMPORTED!r})); {source}"
