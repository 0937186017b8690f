"""What a session of WebGPU does, in an interpreter that has its engine: run by its tests.

Writes one JSON object. Beside the engine and the farm nothing can be imported here.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime as ort

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT))
from farm.session.spec import WEBGPU_LAYOUT, WEBGPU_PROVIDER, SessionSpec  # noqa: E402
from workers.engines.onnxruntime.webgpu import WebGpuSession  # noqa: E402

READ: list[tuple[int, ...]] = []  # shapes of what was read from the GPU one by one


def loaded(folder: Path, name: str, layout: str = "NHWC") -> WebGpuSession:
    entries = {WEBGPU_LAYOUT: layout}
    spec = SessionSpec(WEBGPU_PROVIDER, config_entries=entries, allow_cpu_fallback=True)
    return WebGpuSession(folder / f"{name}.onnx", spec)


def feeds(value: float, rows: int = 2) -> dict[str, Any]:
    return {"x": np.full((rows, 3, 3), value, np.float32) + np.eye(3, dtype=np.float32)}


def alike(found: list[Any], wanted: list[Any]) -> bool:
    return all(map(np.array_equal, found, wanted)) and len(found) == len(wanted)


def of_changing_inputs(session: WebGpuSession) -> dict[str, bool]:
    """Whether outputs are those of the inputs that were given last."""
    ran, timed = [], []
    for asked in (feeds(1.0), feeds(-2.0), feeds(1.0), feeds(3.0, rows=4), feeds(0.5)):
        wanted = session._session.run(None, asked)
        ran.append(alike(session.run(asked), wanted))
        session.set_feeds(asked)
        session.run(feeds(9.0))
        session.timed(3)
        assert session._binding is not None
        timed.append(alike(session._binding.take(), wanted))
    return {"ran": all(ran), "timed": all(timed)}


def of_waiting(session: WebGpuSession) -> dict[str, Any]:
    """What is read, and how often, by several runs in a row."""
    session.set_feeds(feeds(1.0))
    READ.clear()
    took = session.timed(5)
    return {"read": [*READ], "took": took > 0 and session.with_transfers(2) > 0}


def of_part(session: WebGpuSession) -> bool:
    """Whether a part of a pipeline reads its arrays in every run."""
    asked = feeds(1.0)
    places = [np.zeros_like(each) for each in session.run(asked)]
    run = session.bound(asked, places)
    found = []
    for value in (1.0, 5.0):
        asked["x"][:] = feeds(value)["x"]
        run()
        found.append(alike(places, session._session.run(None, feeds(value))))
    return all(found)


def of_verifying(folder: Path) -> dict[str, Any]:
    """How many sessions are made by creating one, and how many once it is verified."""
    made: list[str] = []
    create = ort.InferenceSession

    def noted(*given: Any, **named: Any) -> ort.InferenceSession:
        made.append("session")
        return create(*given, **named)

    ort.InferenceSession = noted
    try:
        session = loaded(folder, "several")
        created = len(made)
        session.verify()
    finally:
        ort.InferenceSession = create
    return {"created": created, "verified": len(made), "assignment": session.assignment}


def refusal() -> str:
    """What a value in the GPU's memory is refused with."""
    try:
        ort.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "webgpu", 0)
    except RuntimeError as error:
        return str(error)
    return ""


def recorded(folder: Path, name: str) -> bool:
    """Whether runs that ONNX Runtime repeats as it recorded them answer to what is given."""
    source, plain = created(folder, "identity"), created(folder, name)
    place = placed(source, feeds(0.0)["x"])
    session = created(folder, name, {"ep.webgpuexecutionprovider.enableGraphCapture": "1"})
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", place)
    binding.bind_output("y", "webgpu", 0)
    found = []
    for value in (1.0, -2.0, 3.0):
        asked = feeds(value)
        place.update_inplace(ort.OrtValue.ortvalue_from_numpy(asked["x"]))
        session.run_with_iobinding(binding)
        found.append(alike(binding.copy_outputs_to_cpu(), plain.run(None, asked)))
    return all(found)


def created(
    folder: Path, name: str, entries: Mapping[str, str] = MappingProxyType({})
) -> ort.InferenceSession:
    """A session as users of ONNX Runtime have it."""
    options = ort.SessionOptions()
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    return ort.InferenceSession(str(folder / f"{name}.onnx"), options, providers=[WEBGPU_PROVIDER])


def placed(source: ort.InferenceSession, array: Any) -> ort.OrtValue:
    """A value in the GPU's memory: Python cannot make one but as an output of a session."""
    binding = source.io_binding()
    binding.bind_cpu_input("x", array)
    binding.bind_output("y", "webgpu", 0)
    source.run_with_iobinding(binding)
    return binding.get_outputs()[0]


def main(folder: Path) -> None:
    read = ort.OrtValue.numpy

    def noted(value: ort.OrtValue) -> Any:
        READ.append(tuple(value.shape()))
        return read(value)

    ort.OrtValue.numpy = noted
    several, processor = loaded(folder, "several"), loaded(folder, "processor")
    with several.callers(3) as callers:
        together = [each is several for each in callers]
    told = {
        "on_device": several.on_device,
        "layouts": [of_changing_inputs(loaded(folder, "several", e)) for e in ("NHWC", "NCHW")],
        "several": of_waiting(several),
        "processor": of_waiting(processor) | of_changing_inputs(processor),
        "part": of_part(several),
        "callers": together,
        "verifying": of_verifying(folder),
        "refusal": refusal(),
        "recorded": {name: recorded(folder, name) for name in ("computed", "copied", "scattered")},
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
