"""A run that is taken up again: after an error, when it is finished, with more time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from db.records import RunStatus
from db.store import Store
from farm.candidate import Candidate, OnnxRuntimeCpu
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import InfrastructureError, OptionError, StoreError
from farm.measurement import Outcome
from tests.conftest import furnish
from tests.tuner.imagined import ImaginedExecutor, Traits
from tuner.events import DeviceStarted, Event, Ticked
from tuner.request import TuneRequest
from tuner.results import DeviceResult, Status, TuneResult, Verdict
from tuner.runs.memory import Memory
from tuner.runs.overview import overview
from tuner.runs.start import check_request, resume_run, start_run
from tuner.tune import tune_run

PROFILES = load_profiles()
PROFILES |= {"other": replace(PROFILES["fake"], name="other")}
FAST = Candidate(OnnxRuntimeCpu(threads=1))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "farm.db"), timeout=0.05) as opened:
        yield opened


@pytest.fixture
def request_(tmp_path: Path) -> TuneRequest:
    furnish(tmp_path)
    output = str(tmp_path / "out")
    return TuneRequest(str(tmp_path / "model.onnx"), ("cpu",), output=output, max_trials=4)


def cpu(seconds: float = 5e-4, **traits: object) -> ImaginedExecutor:
    """ONNX Runtime, of which one choice is faster than the others."""
    executor = ImaginedExecutor({FAST: Traits(seconds, **traits)})  # type: ignore[arg-type]
    executor.engines = ("onnxruntime-cpu",)
    return executor


Executors = Callable[[Sequence[DeviceProfile]], AbstractContextManager[ImaginedExecutor]]


def given(executor: ImaginedExecutor) -> Executors:
    return lambda _: executor


def tune(store: Store, request: TuneRequest, executor: ImaginedExecutor) -> TuneResult:
    opened = start_run(store, check_request(request, PROFILES))
    return tune_run(store, opened, given(executor), lambda _: None)  # type: ignore[arg-type]


def again(store: Store, run: str, executor: ImaginedExecutor, more: float = 0.0) -> TuneResult:
    opened = resume_run(store, run, PROFILES, more_seconds=more)
    return tune_run(store, opened, given(executor), lambda _: None)  # type: ignore[arg-type]


def only(result: TuneResult) -> DeviceResult:
    (device,) = result.devices
    return device


# How it ended


def test_executors_that_cannot_be_started(store: Store, request_: TuneRequest) -> None:
    def fail(_: Sequence[DeviceProfile]) -> ImaginedExecutor:
        raise InfrastructureError("the cluster cannot be started.")

    opened = start_run(store, check_request(request_, PROFILES))
    with pytest.raises(InfrastructureError, match="cannot be started"):
        tune_run(store, opened, fail, lambda _: None)  # type: ignore[arg-type]
    assert store.run(opened.name).status is RunStatus.FAILED
    assert only(again(store, opened.name, cpu())).verdict is Verdict.IMPROVED
    assert store.run(opened.name).status is RunStatus.FINISHED


def test_a_store_that_fails_for_a_while(store: Store, request_: TuneRequest) -> None:
    class Locking(ImaginedExecutor):
        """At its third call another program locks the store, until the executor ends."""

        def _count(self, call: str) -> None:
            super()._count(call)
            if len(self.calls) == 3:
                self.other = sqlite3.connect(store.place, isolation_level=None)
                self.other.execute("BEGIN IMMEDIATE")

        def close(self) -> None:
            super().close()
            self.other.close()

    executor = Locking(cpu().traits)
    executor.engines = ("onnxruntime-cpu",)
    with pytest.raises(StoreError, match="is locked by another program"):
        tune(store, request_, executor)
    (run,) = store.runs()
    assert run.status is RunStatus.FAILED
    assert only(again(store, run.name, cpu())).verdict is Verdict.IMPROVED


def test_nobody_is_there_to_be_told(store: Store, request_: TuneRequest) -> None:
    """Standard error is a pipe that was closed."""

    def broken(_: object) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    opened = start_run(store, check_request(request_, PROFILES))
    with pytest.raises(BrokenPipeError):
        tune_run(store, opened, given(cpu()), broken)  # type: ignore[arg-type]
    assert store.run(opened.name).status is RunStatus.INTERRUPTED


# Finished


def test_a_finished_run_measures_nothing_and_is_delivered_again(
    store: Store, request_: TuneRequest, tmp_path: Path
) -> None:
    first = tune(store, request_, cpu())
    before = store.run(first.run)
    (tmp_path / "out" / "cpu" / "model.onnx").unlink()
    executor = cpu()
    assert again(store, first.run, executor) == first
    assert executor.calls == []
    assert (tmp_path / "out" / "cpu" / "model.onnx").read_bytes() == b"imagined"
    assert store.run(first.run) == before


def test_a_finished_run_that_cannot_be_delivered_stays_finished(
    store: Store, request_: TuneRequest, tmp_path: Path
) -> None:
    class Lost(ImaginedExecutor):
        def artifact_files(self, *_: object) -> dict[str, bytes]:
            raise InfrastructureError("the artifact is not there.")

    first = tune(store, request_, cpu())
    before = store.run(first.run)
    lost = Lost(cpu().traits)
    lost.engines = ("onnxruntime-cpu",)
    assert only(again(store, first.run, lost)).status is Status.FAILED
    assert store.run(first.run) == before
    elsewhere = resume_run(store, first.run, PROFILES, output=str(tmp_path / "model.onnx"))
    with pytest.raises(OptionError, match="The winner cannot be written"):
        tune_run(store, elsewhere, given(cpu()), lambda _: None)  # type: ignore[arg-type]
    assert store.run(first.run) == before
    assert only(again(store, first.run, cpu())) == only(first)


def test_a_finished_run_tries_nothing_again(store: Store, request_: TuneRequest) -> None:
    """Neither what the farm itself failed in, nor a device that failed."""

    class Half(ImaginedExecutor):
        def describe(self, device: str):
            facts = super().describe(device)
            return replace(facts, engines=()) if device == "other" else facts

        def _traits(self, candidate: Candidate) -> Traits:
            broken = candidate.engine.fault != "none"
            lost = Traits(outcome=Outcome.INFRASTRUCTURE_ERROR, message="the worker was lost.")
            return lost if broken else super()._traits(candidate)

    request = replace(request_, devices=("fake", "other"), max_trials=0)
    first = tune(store, request, Half())
    fake, other = first.devices
    assert fake.trials[Outcome.INFRASTRUCTURE_ERROR] > 0
    assert store.run(first.run).status is RunStatus.FINISHED
    whole = ImaginedExecutor()
    resumed = again(store, first.run, whole)
    assert whole.calls == []
    assert resumed.devices[0] == fake
    remedy = f"give it time: farm tune --resume {first.run} --budget +TIME"
    reason = "the run finished without it: none of the engines of other can run here."
    assert resumed.devices[1] == replace(other, reason=reason, remedy=remedy)
    more = again(store, first.run, ImaginedExecutor(), more=30.0)
    assert [device.status for device in more.devices] == [Status.TUNED, Status.TUNED]


# More time

MORE = 8  # trials, which end these searches: not the time, that a busy machine needs more of


def begun(store: Store, request: TuneRequest) -> TuneResult:
    """A run whose time is up when two candidates are measured."""
    result = tune(store, replace(request, max_trials=2), cpu())
    run = store.run(result.run)
    opened = TuneRequest.from_json(run.request)
    store.update_run(run.name, request=replace(opened, max_trials=MORE).to_json())
    return result


def test_more_time_finds_more_and_replaces_the_winner_by_a_better_one(
    store: Store, request_: TuneRequest, tmp_path: Path
) -> None:
    first = begun(store, request_)
    executor = cpu()
    executor.traits = {FAST: Traits(2.5e-4)} | dict(executor.traits)
    result = again(store, first.run, executor, more=60.0)
    assert sum(only(result).trials.values()) > 2
    assert only(result).verdict is Verdict.IMPROVED
    run = store.run(first.run)
    assert run.status is RunStatus.FINISHED
    assert TuneRequest.from_json(run.request).budget_seconds == 180.0
    winner = only(result).winner
    assert winner is not None
    assert Memory.of(run).devices["cpu"].trial == winner.trial_id
    assert again(store, first.run, cpu()) == result, "and it is finished again"


def test_more_time_is_had_though_the_confirmation_went_beyond_the_budget(
    store: Store, request_: TuneRequest
) -> None:
    first = begun(store, request_)
    memory = Memory.of(store.run(first.run)).spent("cpu", 1000.0)
    store.update_run(first.run, summary=memory.to_json())
    events: list[Event] = []
    opened = resume_run(store, first.run, PROFILES, more_seconds=60.0)
    result = tune_run(store, opened, given(cpu()), events.append)  # type: ignore[arg-type]
    assert sum(only(result).trials.values()) > 2
    (left,) = [e.budget_seconds for e in events if isinstance(e, DeviceStarted)]
    assert left == pytest.approx(60.0, abs=1.0)
    assert max(e.used_seconds for e in events if isinstance(e, Ticked)) < 30.0
    assert Memory.of(store.run(first.run)).seconds["cpu"] == pytest.approx(1000.0, abs=30.0)
    (device,) = overview(store, first.run).devices
    assert device.left == pytest.approx(60.0, abs=30.0)


def test_a_reopened_run_that_is_interrupted_keeps_its_winner(
    store: Store, request_: TuneRequest, tmp_path: Path
) -> None:
    first = tune(store, request_, cpu())
    delivered = (tmp_path / "out" / "cpu" / "provenance.json").read_bytes()
    opened = TuneRequest.from_json(store.run(first.run).request)
    store.update_run(first.run, request=replace(opened, max_trials=MORE).to_json())
    executor = cpu()
    executor.interrupt_at = 2
    assert again(store, first.run, executor, more=60.0).interrupted
    run = store.run(first.run)
    assert run.status is RunStatus.INTERRUPTED
    assert Memory.of(run).champion("cpu") == FAST.id
    assert (tmp_path / "out" / "cpu" / "provenance.json").read_bytes() == delivered
    assert only(again(store, first.run, cpu())).winner == only(first).winner


# Profiles, which come last


def test_a_run_profiles_its_baseline_and_its_winner(store: Store, request_: TuneRequest) -> None:
    executor = cpu()
    result = only(tune(store, request_, executor))
    assert executor.calls[-2:] == ["profile", "profile"], "nothing is measured after them"
    for each in (result.baseline, result.winner):
        assert each is not None
        assert [row.operators for row in store.profile(each.trial_id)] == [("conv",)]
    resumed = cpu()
    again(store, tuned_run(store), resumed)
    assert "profile" not in resumed.calls


def test_profiles_that_fail_leave_a_tuned_run(store: Store, request_: TuneRequest) -> None:
    result = only(tune(store, request_, cpu(fails_in_profile=True)))
    assert result.status is Status.TUNED
    assert (
        "onnxruntime-cpu 1 thread float32 has no profile of its operators: it cannot be watched."
        in result.notes
    )
    assert store.run(tuned_run(store)).status is RunStatus.FINISHED
    resumed = cpu()
    assert only(again(store, tuned_run(store), resumed)).notes == result.notes
    assert "profile" not in resumed.calls
    mended = only(again(store, tuned_run(store), cpu(), more=60.0))
    assert not any("has no profile" in note for note in mended.notes), "they are taken after all"


def test_an_interruption_of_the_profiles_keeps_the_winner(
    store: Store, request_: TuneRequest
) -> None:
    class Interrupted(ImaginedExecutor):
        """Ctrl-C comes while the winner is profiled."""

        def _count(self, call: str) -> None:
            if call == "profile" and call in self.calls:
                raise KeyboardInterrupt
            super()._count(call)

    executor = Interrupted(cpu().traits)
    executor.engines = ("onnxruntime-cpu",)
    result = tune(store, request_, executor)
    assert result.interrupted
    assert only(result).verdict is Verdict.IMPROVED
    assert Path(only(result).output, "model.onnx").exists()
    resumed = cpu()
    assert only(again(store, result.run, resumed)).verdict is Verdict.IMPROVED
    assert "profile" not in resumed.calls, "nothing more is measured once it is confirmed"


def test_more_time_profiles_only_what_has_none_yet(store: Store, request_: TuneRequest) -> None:
    run = tune(store, request_, cpu()).run
    executor = cpu()
    again(store, run, executor, more=60.0)
    assert "profile" not in executor.calls


def tuned_run(store: Store) -> str:
    (run,) = store.runs()
    return run.name
