"""What a search on a device begins with: what a store knows, and what cannot be read of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from db.store import Store
from farm.costs.calibration import constants_json, ends_json
from farm.devices.profile import load_profiles
from tests.conftest import furnish
from tests.db.samples import CALIBRATION, COST_MODEL
from tests.tuner.imagined import ImaginedExecutor
from tests.tuner.learning.candidates.test_models import CALIBRATIONS
from tuner.learning.candidates.stored import FORMAT
from tuner.learning.report import Report
from tuner.request import TuneRequest
from tuner.results import Status
from tuner.runs.record.machines import add_machine
from tuner.runs.start import check_request, start_run
from tuner.tune import tune_run


class Processor(ImaginedExecutor):
    """A processor with ONNX Runtime alone."""

    def __init__(self) -> None:
        super().__init__()
        self.engines = ("onnxruntime-cpu",)


@pytest.fixture
def store() -> Iterator[Store]:
    """One in which the device is calibrated, and its cost models are not what they were."""
    with Store.open(":memory:") as opened:
        machine, software = add_machine(opened, Processor().describe("cpu"))
        own = {"machine_id": machine, "software_id": software}
        known = CALIBRATIONS["cpu"]
        texts = {"constants": constants_json(known), "borders": ends_json(known)}
        opened.add_calibration(replace(CALIBRATION, **own, **texts))
        broken = {"format": FORMAT, "report": Report().to_json(), "content": b"\x78\x9c"}
        opened.add_cost_model(replace(COST_MODEL, **own, **broken), keep=2)
        yield opened


@pytest.mark.parametrize("cold", [False, True])
def test_cost_models_that_cannot_be_read_are_told(
    store: Store, tmp_path: Path, *, cold: bool
) -> None:
    furnish(tmp_path)
    model, output = str(tmp_path / "model.onnx"), str(tmp_path / "out")
    request = TuneRequest(model, ("cpu",), output=output, max_trials=8, cold=cold)
    opened = start_run(store, check_request(request, load_profiles()))
    result = tune_run(store, opened, lambda _: Processor(), lambda _: None)  # type: ignore[arg-type,return-value]
    (device,) = result.devices
    assert device.status is Status.TUNED
    said = [note for note in device.notes if note.startswith("The search began without cost")]
    assert len(said) == (0 if cold else 1)
    assert all("cannot be read" in note for note in said)
