"""Members side by side: one candidate with several pins, failures, and measuring twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from db.records import Phase, RunKind
from db.store import Store
from farm.devices.profile import load_profiles
from farm.measurement import Metric, Outcome
from reports.progress import TuneProgress
from tests.conftest import furnish
from tests.tuner.imagined import BASELINE, ImaginedExecutor, Traits, fakes
from tuner.nightly.states.members import Measured, Member, measure_side_by_side
from tuner.racing.statistics import compare
from tuner.request import TuneRequest
from tuner.runs.start import OpenRun, check_request, start_run
from workers.executor import LocalExecutor
from workers.jobs import Pinned

PROFILES = load_profiles()
OLD, NEW = Pinned("old"), Pinned("new", "/kept/artifact")
(OTHER,) = fakes(0.5)


@pytest.fixture
def empty() -> Iterator[Store]:
    with Store.open(":memory:") as store:
        yield store


@pytest.fixture
def opened(empty: Store, tmp_path: Path) -> OpenRun:
    furnish(tmp_path)
    request = TuneRequest(str(tmp_path / "model.onnx"), ("fake",), seed=5)
    return start_run(empty, check_request(request, PROFILES), RunKind.NIGHTLY)


@pytest.fixture
def executor() -> ImaginedExecutor:
    made = ImaginedExecutor()
    made.environments = {"old": {"environment": "old 123", "tiny": "1.0"}}
    made.pinned = {(BASELINE, "old"): Traits(2e-3)}
    return made


def until(count: int) -> Callable[[int, float], bool]:
    return lambda done, _: done < count


def measure(
    store: Store,
    executor: ImaginedExecutor | LocalExecutor,
    opened: OpenRun,
    *members: Member,
    wanted: Callable[[int, float], bool] | None = None,
    phase: Phase = Phase.BENCH,
) -> tuple[Measured, ...]:
    return measure_side_by_side(
        store,
        executor,  # type: ignore[arg-type]
        opened,
        PROFILES["fake"],
        members,
        wanted or until(8),
        lambda _: None,
        phase=phase,
    )


def seconds(measured: Measured) -> np.ndarray:
    return np.array([sample.seconds for sample in measured.samples])


def test_one_candidate_as_it_is_today_and_pinned(
    empty: Store, executor: ImaginedExecutor, opened: OpenRun
) -> None:
    members = [Member("today", BASELINE), Member("old", BASELINE, OLD), Member("b", BASELINE, NEW)]
    today, old, new = measure(empty, executor, opened, *members)
    assert [each.member for each in (today, old, new)] == members
    assert len({each.trial_id for each in (today, old, new)}) == 3
    assert {len(each.samples) for each in (today, old, new)} == {8}
    found = compare(seconds(today), seconds(old))
    assert found.ratio.value == pytest.approx(2.0, rel=0.01)
    for each, pinned in ((today, None), (old, OLD), (new, NEW)):
        trial = empty.trial(each.trial_id)
        told = json.loads(trial.details).get("pinned")
        assert told == (
            pinned and {"environment": pinned.environment, "artifact": pinned.artifact}
        )
        assert each.entry.pinned == (pinned or Pinned())
        latency = each.entry.measurements[Metric.LATENCY]
        assert latency.value == pytest.approx(np.median(seconds(each)))
    blocks = empty.blocks(opened.name, "fake")
    assert [len(block.samples) for block in blocks] == [3] * 8


def test_the_software_is_that_of_the_environment(
    empty: Store, executor: ImaginedExecutor, opened: OpenRun
) -> None:
    today, old = measure(
        empty, executor, opened, Member("today", BASELINE), Member("old", BASELINE, OLD)
    )
    versions = [
        json.loads(empty.software(empty.trial(each.trial_id).software_id).versions)
        for each in (today, old)
    ]
    assert versions == [
        {"python": "3"},
        {"python": "3", "fake: environment": "old 123", "fake: tiny": "1.0"},
    ]


def test_an_environment_that_is_installed_afterwards_is_known(
    empty: Store, executor: ImaginedExecutor, opened: OpenRun
) -> None:
    from tuner.nightly.states.members import journal_of

    journal = journal_of(empty, executor, opened, PROFILES["fake"])  # type: ignore[arg-type]
    executor.environments = {"late": {"tiny": "2.0"}}
    (entry,) = journal.run_jobs([journal.job(BASELINE, Phase.BENCH, Pinned("late"))], Phase.BENCH)
    software = empty.software(empty.trial(entry.trial_id).software_id)
    assert json.loads(software.versions)["fake: tiny"] == "2.0"


def test_again_in_the_same_run_are_new_blocks(
    empty: Store, executor: ImaginedExecutor, opened: OpenRun
) -> None:
    members = (Member("today", BASELINE), Member("old", BASELINE, OLD))
    first = measure(empty, executor, opened, *members)
    trials = list(executor.trials)
    second = measure(empty, executor, opened, *members, wanted=until(5))
    assert [m.trial_id for m in first] == [m.trial_id for m in second]
    assert executor.trials == trials, "they were loaded and checked before"
    assert [len(m.samples) for m in second] == [5, 5]
    assert {block.race for block in empty.blocks(opened.name, "fake")} == {0, 1}
    third = measure(empty, executor, opened, *members, phase=Phase.CONFIRM)
    assert {m.trial_id for m in third}.isdisjoint(m.trial_id for m in first)


def test_a_member_that_cannot_be_loaded_leaves_the_others_alone(
    empty: Store, executor: ImaginedExecutor, opened: OpenRun
) -> None:
    executor.pinned[BASELINE, "new"] = Traits(outcome=Outcome.RUN_ERROR, message="no such thing.")
    members = [Member("today", BASELINE), Member("old", BASELINE, OLD), Member("b", BASELINE, NEW)]
    today, old, new = measure(empty, executor, opened, *members)
    assert (len(today.samples), len(old.samples), new.samples) == (8, 8, ())
    assert (today.failure, new.failure) == ("", "run-error: no such thing.")
    today, new = measure(empty, executor, opened, members[0], members[2])
    assert (today.samples, new.samples) == ((), ()), "nothing to be compared with"


def test_a_member_that_fails_in_a_block_leaves_the_others_alone(
    empty: Store, executor: ImaginedExecutor, opened: OpenRun
) -> None:
    executor.pinned[BASELINE, "new"] = Traits(fails_in_block=3)
    asked: list[int] = []

    def wanted(done: int, seconds: float) -> bool:
        assert seconds >= 0
        asked.append(done)
        return done < 8

    members = [Member("today", BASELINE), Member("old", BASELINE, OLD), Member("b", BASELINE, NEW)]
    today, old, new = measure(empty, executor, opened, *members, wanted=wanted)
    assert [len(each.samples) for each in (today, old, new)] == [8, 8, 3]
    assert new.failure == "out-of-memory: it leaked."
    assert (asked[0], asked[-1]) == (0, 8)
    assert empty.trial(new.trial_id).outcome is Outcome.OUT_OF_MEMORY


def test_one_alone(empty: Store, executor: ImaginedExecutor, opened: OpenRun) -> None:
    (alone,) = measure(empty, executor, opened, Member("today", OTHER))
    assert len(alone.samples) == 8


def test_real_processes_and_what_is_shown_of_them(
    empty: Store, opened: OpenRun, tmp_path: Path
) -> None:
    slow, fast = fakes(2.0, 1.0)
    console = Console(file=(tmp_path / "shown").open("w"), width=100)
    with (
        LocalExecutor([PROFILES["fake"]], tmp_path / "cache") as real,
        TuneProgress(console) as progress,
    ):
        found = measure_side_by_side(
            empty,
            real,
            opened,
            PROFILES["fake"],
            [Member("slow", slow), Member("fast", fast), Member("gone", fast, OLD)],
            until(6),
            progress,
        )
    console.file.close()
    assert (tmp_path / "shown").read_text().split("\n") == [
        "fake: load and check",
        "fake: blocks",
        "",
    ]
    one, other, gone = found
    assert (len(one.samples), len(other.samples)) == (6, 6)
    assert compare(seconds(other), seconds(one)).ratio.low > 1.5
    assert gone.failure == (
        "infrastructure-error: Environment old is not installed. Installed environments: none."
    )
