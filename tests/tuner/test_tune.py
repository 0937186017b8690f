"""A whole run over several devices, on an executor that runs nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx.helper import make_node

from db.records import RunStatus
from db.store import Store
from farm.candidate import Candidate, Fake, GraphLevel, OnnxRuntimeCpu
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import OptionError
from farm.measurement import Outcome
from tests.conftest import furnish
from tests.models import build, save, value
from tests.tuner.imagined import ImaginedExecutor, Traits
from tuner.delivery.place import check_output
from tuner.events import DeviceStarted, Event
from tuner.goals import Constraints
from tuner.request import TuneRequest
from tuner.results import Status, TuneResult, Verdict
from tuner.runs.memory import Memory
from tuner.runs.start import check_request, resume_run, start_run
from tuner.tune import tune_run
from workers.jobs import TrialJob

PROFILES = load_profiles()
PROFILES |= {"other": replace(PROFILES["fake"], name="other")}
PROFILES |= {"gone": replace(PROFILES["fake"], name="gone", interpreter="/nowhere/python")}


@pytest.fixture
def request_(tmp_path: Path) -> TuneRequest:
    furnish(tmp_path)
    return TuneRequest(str(tmp_path / "model.onnx"), ("fake", "gone", "other"))


@pytest.fixture
def empty() -> Iterator[Store]:
    with Store.open(":memory:") as store:
        yield store


def given(executor: ImaginedExecutor) -> Callable[[Sequence[DeviceProfile]], ImaginedExecutor]:
    return lambda _: executor


class Unoptimised(ImaginedExecutor):
    """ONNX Runtime where every session fails whose graph is optimised."""

    def __init__(self) -> None:
        super().__init__()
        self.engines = ("onnxruntime-cpu",)

    def _traits(self, job: TrialJob) -> Traits:
        assert isinstance(job.candidate.engine, OnnxRuntimeCpu)
        works = job.candidate.engine.graph_level is GraphLevel.NONE
        return (
            Traits() if works else Traits(outcome=Outcome.RUN_ERROR, message="no fusion of Clip.")
        )


def tune(
    store: Store,
    request: TuneRequest,
    executor: ImaginedExecutor,
    events: list[Event] | None = None,
) -> TuneResult:
    opened = start_run(store, check_request(request, PROFILES))
    listen = [].append if events is None else events.append
    return tune_run(store, opened, given(executor), listen)  # type: ignore[arg-type]


def test_every_device_gets_a_result(empty: Store, request_: TuneRequest) -> None:
    executor = ImaginedExecutor()
    events: list[Event] = []
    result = tune(empty, request_, executor, events)
    assert [d.device for d in result.devices] == ["fake", "gone", "other"]
    assert [d.status for d in result.devices] == [
        Status.TUNED,
        Status.UNAVAILABLE,
        Status.TUNED,
    ]
    assert executor.closed
    assert executor.prepared
    assert [e.device for e in events if isinstance(e, DeviceStarted)] == ["fake", "other"]
    run = empty.run(result.run)
    assert run.status is RunStatus.FINISHED
    assert set(Memory.of(run).seconds) == {"fake", "other"}
    assert run.active_seconds == pytest.approx(sum(Memory.of(run).seconds.values()))
    assert result.any_tuned


def test_nothing_there_starts_nothing(empty: Store, request_: TuneRequest) -> None:
    executor = ImaginedExecutor()
    result = tune(empty, replace(request_, devices=("gone",)), executor)
    assert not result.any_tuned
    assert not executor.closed, "it was never opened"
    assert empty.run(result.run).status is RunStatus.FAILED


def test_a_device_that_fails_does_not_stop_the_others(empty: Store, request_: TuneRequest) -> None:
    class Half(ImaginedExecutor):
        def describe(self, device: str):
            facts = super().describe(device)
            return replace(facts, engines=()) if device == "fake" else facts

    fake, _, other = tune(empty, request_, Half()).devices
    assert (fake.status, other.status) == (Status.FAILED, Status.TUNED)
    assert fake.reason == "none of the engines of fake can run here."


def test_a_failed_baseline_is_counted(empty: Store, request_: TuneRequest) -> None:
    executor = ImaginedExecutor({Candidate(Fake()): Traits(outcome=Outcome.TIMEOUT)})
    (result,) = tune(empty, replace(request_, devices=("fake",)), executor).devices
    assert result.status is Status.FAILED
    assert "the baseline cannot be measured (timeout)" in result.reason
    assert result.trials == {Outcome.TIMEOUT: 1}


ALONE = "nothing else was tried"
SPENT = "the budget was used up by the baseline and its confirmation"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"budget_seconds": 1e-9},
            f"{SPENT}; {ALONE}: by what these took, --budget 1s is enough for another candidate",
        ),
        (
            {"max_trials": 1},
            f"{ALONE}, because the baseline alone was asked for: give more --trials",
        ),
    ],
)
def test_a_baseline_alone_says_nothing_of_gain(
    empty: Store, request_: TuneRequest, changes: dict[str, Any], reason: str
) -> None:
    request = replace(request_, devices=("fake", "other"), **changes)
    result = tune(empty, request, ImaginedExecutor())
    for device in result.devices:
        assert (device.status, device.verdict) == (Status.TUNED, Verdict.NOTHING_TRIED)
        assert device.reason == reason
    resumed = tune_run(
        empty, resume_run(empty, result.run, PROFILES), given(ImaginedExecutor()), lambda _: None
    )  # type: ignore[arg-type]
    assert resumed == result, "and the same when it is resumed"


def test_a_beginning_of_its_name_is_enough_to_resume_a_run(
    empty: Store, request_: TuneRequest
) -> None:
    checked = check_request(replace(request_, devices=("fake",)), PROFILES)
    first = start_run(empty, checked).name
    assert resume_run(empty, first[:-4], PROFILES).name == first
    second = start_run(empty, checked).name
    names = ", ".join(sorted((first, second)))
    with pytest.raises(OptionError, match=f"is ambiguous: it may be {names}. Give more"):
        resume_run(empty, first[:5], PROFILES)
    assert resume_run(empty, first, PROFILES).name == first, "also where another begins so"


def test_a_baseline_alone_outside_the_limits(empty: Store, request_: TuneRequest) -> None:
    limits = Constraints(max_latency=1e-9)
    request = replace(request_, devices=("fake",), max_trials=1, constraints=limits)
    (device,) = tune(empty, request, ImaginedExecutor()).devices
    assert (device.status, device.verdict) == (Status.FAILED, Verdict.NONE_WITHIN_LIMITS)
    assert device.reason.startswith(f"the baseline is not within the limits, and {ALONE}, because")


def test_what_else_failed_is_counted(empty: Store, request_: TuneRequest) -> None:
    class Picky(ImaginedExecutor):
        def _traits(self, job: TrialJob) -> Traits:
            fault = Outcome.REJECTED if job.candidate.engine.fault == "none" else Outcome.RUN_ERROR
            return Traits() if job.candidate == Candidate(Fake()) else Traits(outcome=fault)

    (device,) = tune(empty, replace(request_, devices=("fake",)), Picky()).devices
    assert device.verdict is Verdict.NOTHING_ELSE_OK
    assert device.reason == ("nothing else could run within the limits (6 rejected, 2 run-error)")


def test_a_baseline_that_fails_runs_at_a_lower_graph_level(
    empty: Store, request_: TuneRequest
) -> None:
    executor = Unoptimised()
    request = replace(request_, devices=("cpu",), max_trials=5)
    (device,) = tune(empty, request, executor).devices
    assert device.baseline is not None
    assert device.baseline.label == "onnxruntime-cpu graph=none float32"
    assert device.notes[0] == (
        "onnxruntime-cpu float32 cannot be run, and onnxruntime-cpu graph=none float32 takes its "
        "place: no fusion of Clip."
    )
    assert device.trials == {Outcome.OK: 3, Outcome.RUN_ERROR: 2}


def test_an_interruption_keeps_the_devices_that_are_done(
    empty: Store, request_: TuneRequest
) -> None:
    whole = ImaginedExecutor()
    tune(empty, replace(request_, devices=("fake",)), whole)
    executor = ImaginedExecutor()
    executor.interrupt_at = len(whole.calls) + 9
    result = tune(empty, request_, executor)
    assert result.interrupted
    assert [d.device for d in result.devices] == ["fake", "gone", "other"]
    assert [d.status for d in result.devices] == [
        Status.TUNED,
        Status.UNAVAILABLE,
        Status.INTERRUPTED,
    ]
    assert empty.run(result.run).status is RunStatus.INTERRUPTED
    again = ImaginedExecutor()
    opened = resume_run(empty, result.run, PROFILES)
    resumed = tune_run(empty, opened, given(again), lambda _: None)  # type: ignore[arg-type]
    assert [d.status for d in resumed.devices][::2] == [Status.TUNED, Status.TUNED]
    assert len(executor.calls) + len(again.calls) == 2 * len(whole.calls)
    assert resumed.devices[0] == result.devices[0]
    assert empty.run(result.run).status is RunStatus.FINISHED


def test_nothing_more_is_measured_where_the_confirmation_is_complete(
    empty: Store, request_: TuneRequest
) -> None:
    """However much time is left by the clock of the invocation that goes through it again."""
    first = tune(
        empty, replace(request_, devices=("fake",), budget_seconds=1e-9), ImaginedExecutor()
    )
    opened = resume_run(empty, first.run, PROFILES)
    longer = replace(opened.checked, request=replace(opened.request, budget_seconds=120.0))
    again = ImaginedExecutor()
    result = tune_run(empty, replace(opened, checked=longer), given(again), lambda _: None)  # type: ignore[arg-type]
    assert again.calls == []
    assert result == first


def test_time_goes_on_counting(empty: Store, request_: TuneRequest) -> None:
    events: list[Event] = []
    result = tune(empty, request_, ImaginedExecutor())
    memory = Memory.of(empty.run(result.run))
    spent = replace(memory, seconds={"fake": 100.0, "other": 0.0}, confirmed=())
    empty.update_run(result.run, summary=spent.to_json(), status=RunStatus.INTERRUPTED)
    opened = resume_run(empty, result.run, PROFILES)
    tune_run(empty, opened, given(ImaginedExecutor()), events.append)  # type: ignore[arg-type]
    left = {e.device: e.budget_seconds for e in events if isinstance(e, DeviceStarted)}
    assert left == {"fake": pytest.approx(20.0), "other": pytest.approx(120.0)}


# Delivering


@pytest.fixture
def real(request_: TuneRequest, tmp_path: Path) -> tuple[TuneRequest, ImaginedExecutor]:
    """A request for the CPU, whose engines are imagined, too."""
    executor = ImaginedExecutor({Candidate(OnnxRuntimeCpu(threads=1)): Traits(5e-4)})
    executor.engines = ("onnxruntime-cpu",)
    request = replace(request_, devices=("cpu",), output=str(tmp_path / "out"), max_trials=4)
    return request, executor


def test_the_winner_is_delivered(
    empty: Store, real: tuple[TuneRequest, ImaginedExecutor], tmp_path: Path
) -> None:
    result = tune(empty, *real)
    (device,) = result.devices
    assert device.verdict is Verdict.IMPROVED
    folder = tmp_path / "out" / "cpu"
    assert (result.output, device.output) == (str(tmp_path / "out"), str(folder))
    assert (folder / "model.onnx").read_bytes() == b"imagined"
    assert json.loads((folder / "session.json").read_text())["intra_op_num_threads"] == 1
    provenance = json.loads((folder / "provenance.json").read_text())
    assert device.winner is not None
    assert provenance["trial"] == device.winner.trial_id
    assert provenance["verdict"] == "improved"
    assert provenance["candidate"]["engine"]["threads"] == 1
    assert provenance["ratio"]["value"] == pytest.approx(2.0, rel=0.02)


def test_a_dimension_that_was_fixed_is_told(
    empty: Store, real: tuple[TuneRequest, ImaginedExecutor], tmp_path: Path
) -> None:
    request, executor = real
    ends = [value("x", ["batch", 8])], [value("y", ["batch", 8])]
    batched = save(build([make_node("Relu", ["x"], ["y"])], *ends, {}), tmp_path, "batched.onnx")
    request = replace(request, model=str(batched), shapes={"batch": 2}, data="", metric="")
    (device,) = tune(empty, request, executor).devices
    assert "The model's dynamic dimension is fixed: 'batch' to 2." in device.notes
    provenance = json.loads((tmp_path / "out" / "cpu" / "provenance.json").read_text())
    assert provenance["shapes"] == {"batch": 2}


def test_an_earlier_winner_is_replaced(
    empty: Store, real: tuple[TuneRequest, ImaginedExecutor], tmp_path: Path
) -> None:
    tune(empty, *real)
    check_output(check_request(real[0], PROFILES))
    (tmp_path / "out" / "cpu" / "model.onnx").write_bytes(b"old")
    tune(empty, *real)
    assert (tmp_path / "out" / "cpu" / "model.onnx").read_bytes() == b"imagined"


def test_an_output_that_goes_bad_later_fails_the_run_and_loses_nothing(
    empty: Store, real: tuple[TuneRequest, ImaginedExecutor], tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("in the way")
    with pytest.raises(OptionError, match=r"cannot be written to .*out/cpu: .*--resume model-"):
        tune(empty, *real)
    (run,) = empty.runs()
    assert run.status is RunStatus.FAILED
    (tmp_path / "out").unlink()
    again = ImaginedExecutor(real[1].traits)
    again.engines = real[1].engines
    opened = resume_run(empty, run.name, PROFILES)
    result = tune_run(empty, opened, given(again), lambda _: None)  # type: ignore[arg-type]
    assert again.calls == [], "nothing is measured again"
    assert result.devices[0].output == str(tmp_path / "out" / "cpu")


def test_an_empty_folder_is_no_obstacle(
    real: tuple[TuneRequest, ImaginedExecutor], tmp_path: Path
) -> None:
    (tmp_path / "out" / "cpu").mkdir(parents=True)
    check_output(check_request(real[0], PROFILES))
