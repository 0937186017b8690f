"""Loads an artifact into the engine that its description names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from farm.session.spec import WEBGPU_PROVIDER, OpenVinoSpec, SessionSpec
from workers.engines.session import EngineError, SentinelSession, Session
from workers.protocol import FakeDescription, PackageDescription


def session_factory(engine: str, spec: dict[str, Any], model: Path) -> Callable[[], Session]:
    """What loads the artifact, when it is called.

    The engine is imported here, with its libraries, so that this is not counted as the artifact's
    memory or time. Raises EngineError: there is no such engine.
    """
    match engine:
        case "onnxruntime" if spec.get("memory"):
            from workers.engines.onnxruntime.on_device import OnDeviceSession, load_libraries  # noqa: PLC0415

            described = SessionSpec(**spec)
            load_libraries(described)
            return lambda: OnDeviceSession(model, described)
        case "onnxruntime" if spec.get("provider") == WEBGPU_PROVIDER:
            from workers.engines.onnxruntime.webgpu import WebGpuSession  # noqa: PLC0415

            return lambda: WebGpuSession(model, SessionSpec(**spec))
        case "onnxruntime":
            from workers.engines.onnxruntime.session import OnnxRuntimeSession  # noqa: PLC0415

            return lambda: OnnxRuntimeSession(model, SessionSpec(**spec))
        case "openvino":
            from workers.engines.openvino.session import OpenVinoSession  # noqa: PLC0415

            return lambda: OpenVinoSession(model, OpenVinoSpec(**spec))
        case "cpackage":
            from workers.engines.cpackage import (  # noqa: PLC0415
                CPackageSession,
                EmulatedPackageSession,
            )

            description = PackageDescription(**spec)
            if description.seconds_per_packet:
                return lambda: EmulatedPackageSession(model, description)
            return lambda: CPackageSession(model)
        case "cpackage-shared":
            from workers.engines.shared_package import SharedPackageSession  # noqa: PLC0415

            return lambda: SharedPackageSession(model)
        case "fake":
            from workers.engines.fake import FakeSession  # noqa: PLC0415

            return lambda: FakeSession(FakeDescription(**spec))
        case "sentinel":
            return SentinelSession
        case _:
            raise EngineError(f"this child knows no engine '{engine}'.")
