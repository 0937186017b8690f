"""Pipelines that are in the store correct the borders that plans rest on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from db.records import CandidateRecord
from db.store import Store
from farm.candidate import Candidate, OnnxRuntimeCpu, OpenVinoRuntime, Pipeline, PipelinePart
from farm.costs.calibration import Calibration, CostPlace, constants_json, ends_json
from farm.costs.operators import CostedOperator, costed_operators
from farm.devices.profile import load_profiles
from farm.measurement import Method, Outcome
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.profile.kernels import OperatorProfile
from tests.db.samples import CALIBRATION, MACHINE, MODEL, fill, trial
from tests.farm.costs.test_calibration import CONSTANTS, ends
from tests.models import conv_net, save
from tuner.calibrating.crossings import part_beside
from tuner.placing.costs import read_costs
from tuner.placing.learnt import taught
from tuner.runs.record.operators import model_details
from workers.protocol import PartSeconds, Split

CPU = load_profiles()["cpu"]
ENGINES = OnnxRuntimeCpu(), OpenVinoRuntime()
KERNEL = 20e-6
FOUND = Calibration(
    "cpu",
    tuple(
        replace(CONSTANTS, engine=each.kind, options=each.kind, precision="float32")
        for each in ENGINES
    ),
    tuple(ends(CostPlace("cpu", each.kind)) for each in ENGINES),
)


@pytest.fixture
def operators(tmp_path: Path) -> tuple[CostedOperator, ...]:
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    return costed_operators(model.proto, build_graph(model))


@pytest.fixture
def store(operators: tuple[CostedOperator, ...], tmp_path: Path) -> Store:
    """With a calibration, and the profile of a model at two places: each operator a kernel."""
    model = load_model(tmp_path / "model.onnx")
    opened = fill(Store.open(":memory:"))
    opened.add_model(replace(MODEL, details=model_details(model.proto, build_graph(model), {})))
    constants, borders = constants_json(FOUND), ends_json(FOUND)
    opened.add_calibration(replace(CALIBRATION, constants=constants, borders=borders))
    rows = [
        OperatorProfile("k", op.op_type, (op.name,), "float32", KERNEL, None, Method.MEASURED)
        for op in operators
    ]
    for number, engine in enumerate(ENGINES):
        _commit(opened, number, Candidate(engine))
        opened.add_profile(f"trial-{number}", rows)
    return opened


def _commit(store: Store, number: int, candidate: Candidate, details: str = "{}") -> None:
    record = CandidateRecord.of(candidate)
    store.add_candidate(record)
    store.lease_trial(trial(number, record))
    store.commit_trial(f"trial-{number}", Outcome.OK, details=details)


def _split(parts: tuple[PipelinePart, ...], border: float) -> str:
    """Parts that take what their kernels do, and each but the first a border."""
    told = tuple(
        PartSeconds(part.place, KERNEL * len(part.operators) + (border if at else 0.0), "measured")
        for at, part in enumerate(parts)
    )
    return json.dumps({"split": asdict(Split(told, 0.0, 20))}, sort_keys=True)


def _parts(operators: tuple[CostedOperator, ...]) -> tuple[PipelinePart, ...]:
    """ONNX Runtime, OpenVINO, and ONNX Runtime again."""
    names = [op.name for op in operators]
    cuts = names[:2], names[2:4], names[4:]
    engines = (ENGINES[0], ENGINES[1], ENGINES[0])
    return tuple(part_beside("cpu", e, own) for e, own in zip(engines, cuts, strict=True))


def _learnt(store: Store) -> Calibration:
    costs = read_costs(store, [CPU], MACHINE.id)
    return taught(store, [CPU], MACHINE.id, costs).calibrations["cpu"]


def test_borders_of_pipelines_that_ran_are_learnt(store: Store, operators) -> None:
    parts = _parts(operators)
    for number in range(2, 12):
        _commit(store, number, Candidate(Pipeline(parts)), _split(parts, 200e-6))
    found = {(c.source, c.target): c for c in _learnt(store).crossings}
    before = 2 * 1e-6  # of tensors, by the ends
    for pair in (("onnxruntime-cpu", "openvino-runtime"), ("openvino-runtime", "onnxruntime-cpu")):
        assert before < 50e-6 < found[pair].seconds < 200e-6


def test_without_pipelines_or_profiles_nothing_changes(store: Store, operators) -> None:
    assert _learnt(store) == FOUND
    parts = tuple(replace(p, engine=replace(p.engine, threads=1)) for p in _parts(operators))
    _commit(store, 2, Candidate(Pipeline(parts)), _split(parts, 200e-6))
    assert _learnt(store) == FOUND, "with as many threads nothing was calibrated"


def test_pipelines_that_overlap_or_tell_nothing_teach_nothing(store: Store, operators) -> None:
    parts = _parts(operators)
    overlapped = Candidate(Pipeline(parts, overlapped=True))
    _commit(store, 2, overlapped, _split(parts, 200e-6))
    _commit(store, 3, Candidate(Pipeline(parts)))
    assert _learnt(store) == FOUND
