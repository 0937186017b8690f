"""Whose kernels are timed at the end of a run, and that each is timed once."""

from __future__ import annotations

import pytest

from db.records import Phase
from db.store import Store
from farm.accuracy.damage import Damage
from farm.candidate import (
    Candidate,
    CPackage,
    Fake,
    OnnxRuntimeCpu,
    OpenVinoRuntime,
    Precision,
    StaticInt8,
)
from farm.measurement import Outcome
from tests.tuner.imagined import CountedBudget, Imagined, ImaginedExecutor, Traits
from tuner.events import StageStarted
from tuner.runs.clock import Budget
from tuner.runs.history import Entry
from tuner.runs.record.details import damage_in
from tuner.runs.record.journal import Journal
from tuner.search.profiles import (
    kept_for_profiles,
    take_damage,
    take_profiles,
    worth_profiling,
)

ORT, FAST_ORT = Candidate(OnnxRuntimeCpu()), Candidate(OnnxRuntimeCpu(threads=1))
VINO, SLOW_VINO = Candidate(OpenVinoRuntime(threads=1)), Candidate(OpenVinoRuntime())
PACKAGE = Candidate(CPackage())
INT8 = Candidate(OnnxRuntimeCpu(), Precision(quantization=StaticInt8()))
SECONDS = {ORT: 4e-3, FAST_ORT: 3e-3, VINO: 1e-3, SLOW_VINO: 2e-3, PACKAGE: 5e-3}


def entry(candidate: Candidate, ratio: float | None = 1.0, outcome: Outcome = Outcome.OK) -> Entry:
    made = Entry(f"trial {candidate.id}", candidate, outcome, "", "", {})
    made.ratio = ratio
    return made


def measured(store: Store, **fails: bool) -> tuple[Imagined, list[Entry]]:
    """A device on which all of these were measured."""
    executor = ImaginedExecutor({c: Traits(s, **fails) for c, s in SECONDS.items()})
    imagined = Imagined(store, executor)
    return imagined, list(imagined.journal.run_trials(list(SECONDS), Phase.CONFIRM))


def test_the_baseline_the_winner_and_the_best_of_every_engine() -> None:
    baseline, winner = entry(ORT), entry(VINO, 0.3)
    tried = [entry(ORT), entry(FAST_ORT, 0.9), entry(SLOW_VINO, 0.5), winner, entry(PACKAGE, 1.4)]
    chosen = worth_profiling((baseline, winner), tried)
    assert [e.candidate for e in chosen] == [ORT, VINO, FAST_ORT, PACKAGE]
    assert chosen[0] is baseline


def test_a_baseline_that_is_the_best_of_its_engine_is_there_once() -> None:
    tried = [entry(ORT), entry(FAST_ORT, 1.1), entry(VINO, 0.3)]
    chosen = worth_profiling((entry(ORT), entry(VINO, 0.3)), tried)
    assert [e.candidate for e in chosen] == [ORT, VINO]


def test_of_one_engine_the_best_that_is_ok() -> None:
    failed = entry(VINO, 0.1, Outcome.RUN_ERROR)
    chosen = worth_profiling((entry(ORT),), [failed, entry(SLOW_VINO, 0.7), entry(PACKAGE, None)])
    assert [e.candidate for e in chosen] == [ORT, SLOW_VINO], "the package was never compared"


def test_a_winner_that_is_the_baseline_is_profiled_once() -> None:
    assert len(worth_profiling((entry(ORT), entry(ORT)), [])) == 1


def test_the_fake_engine_is_not_profiled() -> None:
    assert worth_profiling((entry(Candidate(Fake())),), []) == ()


def test_profiles_go_to_the_store_and_are_not_taken_again(store: Store) -> None:
    imagined, entries = measured(store)
    assert take_profiles(imagined.journal, entries, Budget(1e6), imagined.events.append) == ()
    assert imagined.executor.calls.count("profile") == len(entries)
    assert [e.stage for e in imagined.events if isinstance(e, StageStarted)] == ["profiles"]
    for each in entries:
        (row,) = store.profile(each.trial_id)
        assert row.operators == ("conv",)
        assert row.seconds == SECONDS[each.candidate]
    resumed = ImaginedExecutor()
    journal = Journal(store, resumed, imagined.journal.scope)  # type: ignore[arg-type]
    assert take_profiles(journal, entries, Budget(1e6), imagined.events.append) == ()
    assert resumed.calls == []


def test_a_complete_run_takes_no_profiles(store: Store) -> None:
    imagined, entries = measured(store)
    scope, executor = imagined.journal.scope, imagined.executor
    journal = Journal(store, executor, scope, complete=True)  # type: ignore[arg-type]
    assert take_profiles(journal, entries, Budget(1e6), imagined.events.append) == ()
    assert "profile" not in executor.calls


def test_a_profile_that_fails_is_a_sentence_and_the_trial_stays_ok(store: Store) -> None:
    imagined, entries = measured(store, fails_in_profile=True)
    notes = take_profiles(imagined.journal, entries, Budget(1e6), imagined.events.append)
    assert notes[0] == (
        "onnxruntime-cpu float32 has no profile of its operators: it cannot be watched."
    )
    assert len(notes) == len(entries)
    assert all(store.trial(e.trial_id).outcome is Outcome.OK for e in entries)


def test_without_time_only_baseline_and_winner_are_profiled(store: Store) -> None:
    imagined, entries = measured(store)
    used = CountedBudget(len(imagined.executor.calls) + 0.0, imagined.executor)
    take_profiles(imagined.journal, entries, used, imagined.events.append)
    assert imagined.executor.calls.count("profile") == 2


@pytest.mark.parametrize(("budget", "kept"), [(20.0, 1.0), (120.0, 6.0), (7200.0, 30.0)])
def test_a_share_of_the_budget_is_kept(budget: float, kept: float) -> None:
    assert kept_for_profiles(budget) == pytest.approx(kept)


def searched(store: Store, candidate: Candidate) -> tuple[Imagined, Entry]:
    """A candidate that a search tried, on a device that knows what quantising it does."""
    executor = ImaginedExecutor({candidate: Traits(1e-3)})
    executor.damage = Damage((("b", 0.04), ("a", 0.01)), at_outputs=False)
    imagined = Imagined(store, executor)
    (found,) = imagined.journal.run_trials([candidate], Phase.SEARCH)
    return imagined, found


def test_the_damage_of_an_int8_winner_is_kept_and_not_measured_again(store: Store) -> None:
    imagined, winner = searched(store, INT8)
    assert take_damage(imagined.journal, winner) == ()
    details = store.trial(winner.trial_id).details
    assert damage_in(details) == imagined.executor.damage
    assert '"accuracy"' in details, "what was there before is there still"
    resumed = ImaginedExecutor()
    journal = Journal(store, resumed, imagined.journal.scope)  # type: ignore[arg-type]
    assert journal.damage(INT8).operators == ("b", "a")
    assert resumed.calls == []


def test_no_damage_of_float_winners(store: Store) -> None:
    imagined, winner = searched(store, ORT)
    assert take_damage(imagined.journal, winner) == ()
    assert "damage" not in imagined.executor.calls
    assert damage_in(store.trial(winner.trial_id).details) is None
