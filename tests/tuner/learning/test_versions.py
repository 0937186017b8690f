"""Versions of cost models: when they are fitted anew, which is used, and what failure leaves."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from onnx.helper import make_node

from db.costs.versions import newest_cost_model
from db.questions.operators.costs import all_calibrations
from db.questions.sql import query
from db.records import CandidateRecord, Model, Phase, Run, RunKind, Trial, utc_now
from db.store import Store
from farm.candidate import Candidate, OnnxRuntimeWebGpu, Pipeline, PipelinePart
from farm.costs.calibration import Calibration, constants_json, ends_json
from farm.errors import DeviceError, StoreError
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.prediction import Basis
from tests.db.samples import CALIBRATION, MACHINE, SOFTWARE, START
from tests.models import build, save, value, weights
from tests.tuner.learning.candidates.test_models import (
    CALIBRATIONS,
    CANDIDATES,
    CPU,
    FACTORS,
    ORT,
    end,
    place,
)
from tuner.learning.candidates.estimate import Estimator
from tuner.learning.candidates.stored import FORMAT
from tuner.learning.subjects import subject_of
from tuner.learning.values import Subject
from tuner.learning.versions import known_costs, refit
from tuner.runs.record.operators import model_details


def subject(folder: Path, number: int) -> tuple[Subject, str]:
    """A network of convolutions, and its details as a store has them."""
    width = 8 * (1 + number)
    nodes = [
        make_node("Conv", [f"t{at}", f"w{at}"], [f"t{at + 1}"], name=f"c{at}")
        for at in range(2 + number % 3)
    ]
    stored = weights(**{f"w{at}": (width, width, 1, 1) for at in range(len(nodes))})
    shape = [1, width, 16, 16]
    proto = build(nodes, [value("t0", shape)], [value(f"t{len(nodes)}", shape)], stored)
    model = load_model(save(proto, folder, f"m{number}.onnx"))
    graph = build_graph(model)
    return subject_of(model, graph), model_details(model.proto, graph, {"t0": shape})


def measured(store: Store, of: tuple[Subject, str], number: int, *candidates: int) -> None:
    """A run in which candidates took fixed multiples of what their kernels take together."""
    (model, details), estimator = of, Estimator("cpu", CALIBRATIONS)
    store.add_model(Model(model.sha256, f"m{number}", 17, 3, 10, model.macs, details))
    run = Run(
        "-".join(map(str, ("run", number, *candidates[:1]))),
        RunKind.TUNE,
        model.sha256,
        MACHINE.id,
        SOFTWARE.id,
        0,
        "{}",
    )
    store.create_run(run)
    for at in candidates:
        seconds = FACTORS[at] * estimator.estimate(model, CANDIDATES[at]).seconds
        tried(store, run.name, model, CANDIDATES[at], seconds)


def tried(store: Store, run: str, model: Subject, candidate: Candidate, seconds: float) -> None:
    """A trial of a run that is there."""
    store.add_candidate(CandidateRecord.of(candidate))
    id_ = f"{run}-{candidate.id}"
    trial = Trial(id_, run, "cpu", candidate.id, Phase.SEARCH, MACHINE.id, SOFTWARE.id)
    store.lease_trial(trial)
    values = {
        Metric.LATENCY: seconds,
        Metric.CPU_SECONDS: 2 * seconds,
        Metric.PEAK_MEMORY: 2e7 + 2.0 * model.weight_bytes,
    }
    found = [Measurement(m, v, Method.MEASURED) for m, v in values.items()]
    store.commit_trial(id_, Outcome.OK, "", found, None, "{}")


def split_with_a_gpu(model: Subject) -> Candidate:
    names = tuple(op.name for op in model.operators)
    engine = OnnxRuntimeWebGpu()
    parts = (PipelinePart("cpu", ORT, names[:1]), PipelinePart("gpu", engine, names[1:]))
    return Candidate(Pipeline(parts))


def calibrate_gpu(store: Store) -> datetime:
    """As if a GPU beside the processor were calibrated now."""
    kind = OnnxRuntimeWebGpu().kind
    found = Calibration("gpu", (place(kind, "float32", 1e-11),), (end(kind),))
    texts = {"constants": constants_json(found), "borders": ends_json(found)}
    now = utc_now()
    store.add_calibration(
        replace(CALIBRATION, id=now.isoformat(), device="gpu", created_at=now, **texts)
    )
    return now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which the device is calibrated, and nothing was measured."""
    store = Store.open(str(tmp_path / "farm.db"))
    store.add_machine(MACHINE)
    store.add_software(SOFTWARE)
    calibration = CALIBRATIONS["cpu"]
    texts = {"constants": constants_json(calibration), "borders": ends_json(calibration)}
    store.add_calibration(replace(CALIBRATION, **texts))
    return store


def versions(store: Store) -> int:
    _, rows = query(store.place, f"SELECT id FROM cost_model WHERE format = '{FORMAT}'")
    return len(rows)


def test_without_rows_the_roofline_is_all(store: Store, tmp_path: Path) -> None:
    assert refit(store, CPU, MACHINE.id) == ()
    known = known_costs(store, CPU, MACHINE.id, 4)
    assert known.version == ""
    (found,) = known.predictor.predict(subject(tmp_path, 0)[0], [Candidate()])
    assert found.latency.basis is Basis.ROOFLINE
    store.close()


def test_what_was_measured_is_learnt_and_used(store: Store, tmp_path: Path) -> None:
    subjects = [subject(tmp_path, number) for number in range(6)]
    for number, of in enumerate(subjects[:5]):
        measured(store, of, number, 0, 1, 2, 3)
    assert refit(store, CPU, MACHINE.id) == ()
    known = known_costs(store, CPU, MACHINE.id, 4)
    assert known.version
    unseen, _ = subjects[5]
    estimator = Estimator("cpu", CALIBRATIONS)
    for at, found in enumerate(known.predictor.predict(unseen, CANDIDATES)):
        truth = FACTORS[at] * estimator.estimate(unseen, CANDIDATES[at]).seconds
        assert abs(math.log(found.latency.value / truth)) < 0.4
    (seen,) = known.predictor.predict(subjects[0][0], CANDIDATES[:1])
    assert seen.latency.basis is Basis.MEASURED
    store.close()


def test_it_is_fitted_anew_only_where_there_is_something_new(store: Store, tmp_path: Path) -> None:
    subjects = [subject(tmp_path, number) for number in range(5)]
    for number, of in enumerate(subjects[:4]):
        measured(store, of, number, 0, 1)
    refit(store, CPU, MACHINE.id)
    refit(store, CPU, MACHINE.id)
    assert versions(store) == 1
    measured(store, subjects[0], 0, 2)  # one more is too little
    refit(store, CPU, MACHINE.id)
    assert versions(store) == 1
    measured(store, subjects[4], 4, 0, 1)  # a model that is new
    refit(store, CPU, MACHINE.id)
    assert versions(store) == 2
    store.close()


def test_a_run_that_is_resumed_knows_what_it_knew(store: Store, tmp_path: Path) -> None:
    for number in range(4):
        measured(store, subject(tmp_path, number), number, 0, 1)
    refit(store, CPU, MACHINE.id)
    newest = newest_cost_model(store, "cpu", MACHINE.id, FORMAT)
    assert newest is not None
    began = newest.created_at
    later = replace(newest, id="later", created_at=began + timedelta(hours=1))
    store.add_cost_model(later, keep=3)
    assert known_costs(store, CPU, MACHINE.id, 4).version == "later"
    assert known_costs(store, CPU, MACHINE.id, 4, began).version == newest.id
    assert known_costs(store, CPU, MACHINE.id, 4, START).version == ""
    model, _ = of = subject(tmp_path, 5)
    measured(store, of, 5, 0)  # by the run itself
    for until, counts in ((began, False), (None, True)):
        known = known_costs(store, CPU, MACHINE.id, 4, until)
        (found,) = known.predictor.predict(model, CANDIDATES[:1])
        assert (found.latency.basis is Basis.MEASURED) == counts
    store.close()


def test_a_calibration_that_came_later_does_not_count(store: Store) -> None:
    later = START + timedelta(days=1)
    record = all_calibrations(store, "cpu", MACHINE.id)[0]

    with pytest.raises(DeviceError, match="farm devices calibrate cpu"):
        known_costs(store, CPU, MACHINE.id, 4, record.created_at - timedelta(seconds=1))
    assert known_costs(store, CPU, MACHINE.id, 4, later).version == ""
    store.close()


@pytest.mark.parametrize("broken", ["", "half", "middle", "report"])
def test_what_cannot_be_read_is_said_and_made_anew(
    store: Store, tmp_path: Path, broken: str
) -> None:
    for number in range(4):
        measured(store, subject(tmp_path, number), number, 0, 1)
    refit(store, CPU, MACHINE.id)
    newest = newest_cost_model(store, "cpu", MACHINE.id, FORMAT)
    assert newest is not None
    whole, at = newest.content, len(newest.content) // 2
    content = {"": b"", "half": whole[:at], "middle": whole[:at] + b"?" * 64 + whole[at + 64 :]}
    later = newest.created_at + timedelta(microseconds=1)
    damaged = replace(
        newest,
        id="damaged",
        created_at=later,
        content=content.get(broken, whole),
        report="{" if broken == "report" else newest.report,
    )
    store.add_cost_model(damaged, keep=3)
    if broken != "report":
        with pytest.raises(StoreError, match="fitted again after the next run"):
            known_costs(store, CPU, MACHINE.id, 4)
    assert refit(store, CPU, MACHINE.id) == ()
    known = known_costs(store, CPU, MACHINE.id, 4)
    assert known.version not in ("damaged", "")
    store.close()


def test_a_failure_is_a_note(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("it is singular")

    measured(store, subject(tmp_path, 0), 0, 0, 1)
    monkeypatch.setattr("tuner.learning.versions.learn_candidates", fails)
    (note,) = refit(store, CPU, MACHINE.id)
    assert note == "The cost models of cpu were not fitted anew: it is singular"
    store.close()


def test_parts_beside_the_device_are_known_by_their_own_calibrations(
    store: Store, tmp_path: Path
) -> None:
    for number in range(4):
        measured(store, subject(tmp_path, number), number, 0, 1)
    model, _ = subject(tmp_path, 2)
    split = split_with_a_gpu(model)
    tried(store, "run-2-0", model, split, 1e-3)
    calibrated = calibrate_gpu(store)
    assert refit(store, CPU, MACHINE.id) == ()
    newest = newest_cost_model(store, "cpu", MACHINE.id, FORMAT)
    assert newest is not None
    assert newest.trials == 9
    predictor = known_costs(store, CPU, MACHINE.id, 4).predictor
    other, _ = subject(tmp_path, 5)
    (found,) = predictor.predict(other, [split_with_a_gpu(other)])
    assert found.latency.value > 0.0
    # Who began before the GPU was calibrated expects the same when resumed.
    before = known_costs(store, CPU, MACHINE.id, 4, calibrated - timedelta(microseconds=1))
    with pytest.raises(DeviceError, match="farm devices calibrate gpu"):
        before.predictor.predict(other, [split_with_a_gpu(other)])
    store.close()


def test_a_candidate_that_nothing_is_known_of_hides_no_other(store: Store, tmp_path: Path) -> None:
    for number in range(4):
        measured(store, subject(tmp_path, number), number, 0, 1)
    model, _ = subject(tmp_path, 2)
    tried(store, "run-2-0", model, split_with_a_gpu(model), 1e-3)
    (note,) = refit(store, CPU, MACHINE.id)
    assert note == (
        "The cost models of cpu leave out 1 candidate: Device gpu was never calibrated on this "
        "machine, so that nothing is known of what operators cost there: "
        "farm devices calibrate gpu"
    )
    assert versions(store) == 1
    assert refit(store, CPU, MACHINE.id) == (), "there is nothing new"
    calibrate_gpu(store)
    assert refit(store, CPU, MACHINE.id) == ()
    assert versions(store) == 2
    assert refit(store, CPU, MACHINE.id) == ()
    assert versions(store) == 2
    store.close()


def test_where_nothing_is_known_of_any_candidate_none_is_fitted(
    store: Store, tmp_path: Path
) -> None:
    model, _ = of = subject(tmp_path, 2)
    measured(store, of, 2)
    tried(store, "run-2", model, split_with_a_gpu(model), 1e-3)
    (note,) = refit(store, CPU, MACHINE.id)
    assert note.startswith("The cost models of cpu were not fitted anew: Device gpu was never")
    assert versions(store) == 0
    store.close()


def test_a_device_that_was_never_calibrated(store: Store) -> None:
    assert refit(store, CPU, "elsewhere") == ()
    with pytest.raises(DeviceError, match="farm devices calibrate cpu"):
        known_costs(store, CPU, "elsewhere", 4)
    store.close()
