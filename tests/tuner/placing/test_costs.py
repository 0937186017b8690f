"""What a store knows of costs, read once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from db.records import CandidateRecord
from db.store import Store
from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, Precision, StaticInt8
from farm.costs.calibration import CostPlace, constants_json, ends_json
from farm.costs.operators import CostedOperator, costed_operators
from farm.devices.profile import load_profiles
from farm.errors import DeviceError
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.prediction import Basis
from farm.profile.kernels import OperatorProfile
from tests.db.samples import CALIBRATION, MACHINE, MODEL, fill, trial
from tests.farm.costs.test_calibration import CALIBRATION as FOUND
from tests.models import conv_net, save
from tuner.placing.costs import place_of, read_costs
from tuner.runs.record.operators import operators_record

CPU = load_profiles()["cpu"]
PLACE = CostPlace("cpu", "onnxruntime-cpu")
INT8 = Precision(quantization=StaticInt8())


@pytest.fixture
def operators(tmp_path: Path) -> tuple[CostedOperator, ...]:
    """Of a model whose record is in the store."""
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    return costed_operators(model.proto, build_graph(model))


@pytest.fixture
def details(tmp_path: Path, operators) -> str:
    model = load_model(tmp_path / "model.onnx")
    return json.dumps({"operators": operators_record(model.proto, build_graph(model))})


def stored(
    details: str, seconds: float, *names: str, calibrated: bool = True, latency: float = 0.0
) -> Store:
    """A store with one profile, of one kernel. latency: of a run without the profiler, if any."""
    store = fill(Store.open(":memory:"))
    store.add_model(replace(MODEL, details=details))
    if calibrated:
        constants, borders = constants_json(FOUND), ends_json(FOUND)
        store.add_calibration(replace(CALIBRATION, constants=constants, borders=borders))
    candidate = CandidateRecord.of(Candidate())
    store.add_candidate(candidate)
    store.lease_trial(trial(0, candidate))
    run = Measurement(Metric.LATENCY, latency, Method.MEASURED)
    store.commit_trial("trial-0", Outcome.OK, measurements=[run] if latency else [])
    row = OperatorProfile("k", "Conv", names, "float32", seconds, None, Method.MEASURED)
    store.add_profile("trial-0", [row])
    return store


def test_a_profile_of_the_same_operators_counts_whatever_the_model(operators, details) -> None:
    conv, relu, *_ = operators
    with stored(details, 7e-6, conv.name, relu.name) as store:
        costs = read_costs(store, [CPU], MACHINE.id)
    found = costs.cost([conv, relu], PLACE)
    assert (found.value, found.basis) == (pytest.approx(7e-6), Basis.MEASURED)
    assert costs.groups_at(PLACE) == ((conv.signature, relu.signature),)
    assert costs.cost([conv], PLACE).basis is Basis.ROOFLINE


def test_kernels_are_scaled_to_a_run_without_the_profiler(operators, details) -> None:
    conv, relu, *_ = operators
    with stored(details, 7e-6, conv.name, relu.name, latency=9e-6) as store:
        costs = read_costs(store, [CPU], MACHINE.id)
    ends = FOUND.ends_of(PLACE)
    call = min(ends.launch, 0.3 * 9e-6) if ends else 0.0
    assert costs.cost([conv, relu], PLACE).value == pytest.approx(9e-6 - call)


def test_profiles_of_an_older_farm_count_for_the_very_model(operators) -> None:
    conv = operators[0]
    with stored("{}", 7e-6, conv.name) as store:
        assert read_costs(store, [CPU], MACHINE.id).cost([conv], PLACE).basis is Basis.ROOFLINE
        known = read_costs(store, [CPU], MACHINE.id, MODEL.sha256, operators)
    assert known.cost([conv], PLACE).basis is Basis.MEASURED


def test_a_device_that_was_never_calibrated_is_said_at_once(details, operators) -> None:
    with (
        stored(details, 7e-6, operators[0].name, calibrated=False) as store,
        pytest.raises(DeviceError, match=r"was never calibrated.*farm devices calibrate cpu$"),
    ):
        read_costs(store, [CPU], MACHINE.id)


@pytest.mark.parametrize(
    ("candidate", "place"),
    [
        (Candidate(), PLACE),
        (Candidate(precision=INT8), replace(PLACE, precision="int8")),
        (Candidate(OnnxRuntimeCpu(threads=1)), None),
        (Candidate(callers=2), None),
        (Candidate(batch=8), None),
        (Candidate(rewritten=True), None),
        (Candidate(precision=Precision(quantization=StaticInt8(keep_float=("a",)))), None),
        (Candidate(CPackage()), CostPlace("cpu", "cpackage")),
    ],
)
def test_which_profiles_show_the_costs_of_a_place(
    candidate: Candidate, place: CostPlace | None
) -> None:
    assert place_of("cpu", candidate, {"cpu": FOUND}) == place
