"""Ctrl-C in the middle of a run: the best so far is shown and delivered, as not confirmed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from db.records import Phase, RunStatus
from db.store import Store
from farm.candidate import Candidate, CPackage, GraphLevel, OnnxRuntimeCpu
from farm.devices.profile import load_profiles
from farm.measurement import Metric
from reports.machine_readable import tune_json
from reports.tables.run import run_table, verdict_lines
from tests.conftest import furnish
from tests.reports.test_tables import rendered
from tests.tuner.imagined import ImaginedExecutor, Traits
from tuner.goals import Constraints, Objective
from tuner.request import TuneRequest
from tuner.results import DeviceResult, Status, TuneResult, Verdict
from tuner.runs.overview import overview
from tuner.runs.start import check_request, resume_run, start_run
from tuner.tune import tune_run
from workers.jobs import DeviceFacts, TrialJob

PROFILES = load_profiles()
FAST = Candidate(OnnxRuntimeCpu(threads=1))
FASTEST = Candidate(OnnxRuntimeCpu(threads=1, graph_level=GraphLevel.EXTENDED))
NOTHING = "interrupted before anything was measured"


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open(":memory:") as opened:
        yield opened


@pytest.fixture
def request_(tmp_path: Path) -> TuneRequest:
    furnish(tmp_path)
    model, output = str(tmp_path / "model.onnx"), str(tmp_path / "out")
    return TuneRequest(model, ("cpu",), output=output, max_trials=8)


class Impatient(ImaginedExecutor):
    """ONNX Runtime, which someone interrupts at the call of a number, or the first of a kind."""

    def __init__(
        self,
        at: int | None = None,
        traits: dict[Candidate, Traits] | None = None,
        *,
        before: str = "",
    ):
        super().__init__(traits if traits is not None else {FAST: Traits(5e-4)})
        self.engines = ("onnxruntime-cpu",)
        self.interrupt_at = at
        self.before = before

    def _count(self, call: str) -> None:
        if call == self.before:
            raise KeyboardInterrupt
        super()._count(call)


def tune(store: Store, request: TuneRequest, executor: ImaginedExecutor) -> TuneResult:
    opened = start_run(store, check_request(request, PROFILES))
    return tune_run(store, opened, lambda _: executor, lambda _: None)  # type: ignore[arg-type,return-value]


def resume(store: Store, run: str, executor: ImaginedExecutor) -> TuneResult:
    opened = resume_run(store, run, PROFILES)
    return tune_run(store, opened, lambda _: executor, lambda _: None)  # type: ignore[arg-type,return-value]


def only(result: TuneResult) -> DeviceResult:
    (device,) = result.devices
    return device


def record(request: TuneRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (Path(request.output) / "cpu" / "provenance.json").read_text()
    )
    return found


def test_the_best_so_far_is_delivered_and_says_that_it_is_not_confirmed(
    store: Store, request_: TuneRequest
) -> None:
    executor = Impatient(before="detail")
    result = tune(store, request_, executor)
    device = only(result)
    assert result.interrupted
    assert store.run(result.run).status is RunStatus.INTERRUPTED
    assert (device.status, device.verdict, device.winner) == (Status.INTERRUPTED, None, None)
    assert device.best is not None
    assert device.best.label == FAST.label()
    assert device.best.measurements[Metric.LATENCY].value == pytest.approx(5e-4, rel=0.02)
    assert device.ratio is not None
    assert device.ratio.value == pytest.approx(2.0, rel=0.02)
    assert store.trial(device.best.trial_id).phase is Phase.SEARCH
    folder = Path(request_.output) / "cpu"
    assert device.output == str(folder)
    assert (folder / "model.onnx").read_bytes() == b"imagined"
    assert "not confirmed" in (folder / "NOT-CONFIRMED.txt").read_text()
    assert record(request_)["confirmed"] is False
    assert record(request_)["trial"] == device.best.trial_id

    assert [d.unconfirmed for d in overview(store, result.run).devices] == [str(folder)]

    resumed = resume(store, result.run, Impatient())
    assert only(resumed).verdict is Verdict.IMPROVED
    assert [d.unconfirmed for d in overview(store, result.run).devices] == [""]
    assert record(request_)["confirmed"] is True
    assert not (folder / "NOT-CONFIRMED.txt").exists()


def test_at_every_moment_there_is_a_result_for_every_device(
    store: Store, request_: TuneRequest
) -> None:
    whole = Impatient()
    finished = only(tune(store, request_, whole))
    assert len(whole.calls) > 40, "the run is not over at the last of the moments"
    for moment in (0, 1, 2, 5, 9, 15, 25, 35):  # each of a search: see test_search.py
        output = f"{request_.output}-{moment}"
        request = replace(request_, output=output)
        result = tune(store, request, Impatient(moment))
        device = only(result)
        assert (device.device, device.status) == ("cpu", Status.INTERRUPTED), moment
        assert (device.best is None) == (moment == 0)
        assert Path(output, "cpu", "model.onnx").exists() == (moment > 0)
        assert tune_json(result)
        resumed = only(resume(store, result.run, Impatient()))
        assert (resumed.verdict, resumed.trials) == (finished.verdict, finished.trials)


def test_a_confirmed_winner_stays_where_it_is(store: Store, request_: TuneRequest) -> None:
    first = tune(store, request_, Impatient())
    assert record(request_)["confirmed"] is True
    device = only(tune(store, request_, Impatient(5)))
    assert (device.status, device.output) == (Status.INTERRUPTED, "")
    assert device.best is not None
    (note,) = device.notes
    assert note == (
        f"The best so far was not written: {request_.output}/cpu keeps the winner of model.onnx "
        f"(run {first.run}), which was confirmed."
    )
    assert record(request_)["run"] == first.run


def test_before_the_first_measurement_there_is_nothing(
    store: Store, request_: TuneRequest
) -> None:
    device = only(tune(store, request_, Impatient(0)))
    assert device == DeviceResult("cpu", Status.INTERRUPTED, NOTHING)
    assert not Path(request_.output).exists()


def test_an_executor_that_is_interrupted_while_it_starts(
    store: Store, request_: TuneRequest
) -> None:
    def never(_: object) -> ImaginedExecutor:
        raise KeyboardInterrupt

    opened = start_run(store, check_request(request_, PROFILES))
    result = tune_run(store, opened, never, lambda _: None)  # type: ignore[arg-type]
    assert only(result) == DeviceResult("cpu", Status.INTERRUPTED, NOTHING)


def test_nothing_better_than_the_baseline_is_the_baseline(
    store: Store, request_: TuneRequest
) -> None:
    device = only(tune(store, request_, Impatient(1, traits={})))
    assert device.best == device.baseline
    assert device.ratio is None
    assert Path(device.output, "model.onnx").exists()


def test_what_is_outside_the_limits_is_not_delivered(store: Store, request_: TuneRequest) -> None:
    limits = replace(request_, constraints=Constraints(max_latency=1e-9))
    device = only(tune(store, limits, Impatient(3)))
    assert device.best is None
    assert device.reason == "interrupted before anything was within the limits"
    assert not Path(request_.output).exists()


def test_what_the_confirmation_refused_is_not_the_best(
    store: Store, request_: TuneRequest
) -> None:
    """It breaks the limit on data that the search never saw."""
    traits = {
        FASTEST: Traits(4e-4, accuracy=1.0, confirmed=0.1),
        FAST: Traits(5e-4, accuracy=1.0, confirmed=1.0),
    }

    class Accurate(Impatient):
        """Someone interrupts it after the second trial of the fastest: its confirmation."""

        def _traits(self, job: TrialJob) -> Traits:
            return traits.get(job.candidate, Traits(accuracy=1.0, confirmed=1.0))

        def _count(self, call: str) -> None:
            super()._count(call)
            if self.calls.count(f"trial {FASTEST.id}") == 2 and self.interrupt_at is None:
                self.interrupt_at = len(self.calls) + 1

    device = only(tune(store, request_, Accurate()))
    assert device.best is not None
    assert device.best.label == FAST.label()


def test_ratios_of_another_objective_are_not_those_of_latency(
    store: Store, request_: TuneRequest
) -> None:
    traits = {FAST: Traits(5e-4, peak=2 << 20)}
    request = replace(request_, objective=Objective.MEMORY)
    device = only(tune(store, request, Impatient(8, traits)))
    assert device.ratio is not None
    assert device.gain is not None
    assert device.ratio.value == pytest.approx(2.0, rel=0.05)
    assert device.gain.value == pytest.approx(5.0, rel=0.01)


def test_a_second_interruption_ends_the_delivery(store: Store, request_: TuneRequest) -> None:
    class Twice(Impatient):
        def cached_files(self, device: str, artifact: str) -> dict[str, bytes]:
            raise KeyboardInterrupt

    result = tune(store, request_, Twice(5))
    assert result.interrupted
    assert only(result).status is Status.INTERRUPTED
    assert store.run(result.run).status is RunStatus.INTERRUPTED
    assert not Path(request_.output).exists()
    assert only(resume(store, result.run, Impatient())).verdict is Verdict.IMPROVED


def test_of_a_package_it_is_told_how_to_get_it(store: Store, request_: TuneRequest) -> None:
    """To complete one takes long, and the worker that could may be busy still."""

    class Packages(Impatient):
        def describe(self, device: str) -> DeviceFacts:
            return replace(super().describe(device), packages=(CPackage(),))

        def _traits(self, job: TrialJob) -> Traits:
            return Traits(2e-4 if isinstance(job.candidate.engine, CPackage) else 1e-3)

    result = tune(store, request_, Packages(before="detail"))
    device = only(result)
    assert device.best is not None
    assert device.best.label.startswith("cpackage ")
    assert device.output == ""
    (note,) = device.notes
    assert note == (
        "The best so far was not written: it is a compiled package, which is completed and "
        f"checked once it is confirmed; that does farm tune --resume {result.run}."
    )
    assert not Path(request_.output).exists()


def test_what_is_not_in_the_cache_is_told(store: Store, request_: TuneRequest) -> None:
    class Cleared(Impatient):
        def cached_files(self, device: str, artifact: str) -> dict[str, bytes]:
            return {}

    assert only(tune(store, request_, Cleared(5))).notes == (
        "The best so far was not written: its model is not in the cache of its machine.",
    )


def test_a_folder_that_went_bad_is_told(store: Store, request_: TuneRequest) -> None:
    Path(request_.output).write_text("in the way")
    (note,) = only(tune(store, request_, Impatient(5))).notes
    assert note.startswith("The best so far was not written: The winner cannot be written to")


def test_a_winner_that_is_confirmed_but_not_yet_written_is_shown(
    store: Store, request_: TuneRequest
) -> None:
    class Late(Impatient):
        def artifact_files(self, device: str, artifact: object) -> dict[str, bytes]:
            raise KeyboardInterrupt

    result = tune(store, request_, Late())
    assert result.interrupted
    assert (only(result).status, only(result).verdict) == (Status.TUNED, Verdict.IMPROVED)
    assert only(result).output == ""
    resumed = resume(store, result.run, Impatient())
    assert only(resumed).output == f"{request_.output}/cpu"


def test_it_is_shown_plainly(store: Store, request_: TuneRequest) -> None:
    result = tune(store, request_, Impatient(before="detail"))
    table = rendered(run_table(result))
    assert "best so far" in table
    assert "x (not confirmed)" in table
    lines = verdict_lines(result)
    assert lines[0].startswith(
        "cpu: interrupted before anything was confirmed. In the search onnxruntime-cpu 1 thread "
        "float32 was "
    )
    assert "times as fast as the baseline; that is not confirmed. 8 trials: 8 ok." in lines[0]
    assert lines[1] == f"cpu: the best so far, not confirmed, lies in {request_.output}/cpu"
    (device,) = json.loads(tune_json(result))["devices"]
    assert (device["status"], device["confirmed"], device["winner"]) == (
        "interrupted",
        False,
        None,
    )
    assert device["best"]["label"] == FAST.label()
    assert device["best"]["latency"]["value"] == pytest.approx(5e-4, rel=0.02)
    assert device["ratio"]["ci"] is None
