"""What was decided about a candidate, from a search that was recorded."""

from __future__ import annotations

import pytest

from db.records import Block, BlockSample, Phase
from db.store import Store
from farm.candidate import Candidate
from farm.measurement import Method, Outcome
from farm.profile.kernels import OperatorProfile
from tests.db.samples import RUN, START
from tests.tuner.imagined import BASELINE, DEVICE, Imagined, ImaginedExecutor, Traits, fakes
from tuner.explain.decisions import Past, decisions
from tuner.explain.explanation import Decision
from tuner.explain.of_trials import ask, explain
from tuner.goals import Constraints, Objective
from tuner.search.rules import COHORT_RULES

FAST, NEAR, SLOW, HOPELESS, TOO_SLOW = fakes(0.88, 0.9, 1.1, 1.9, 3.0)


def ran(store: Store, *candidates: Candidate, **more) -> Imagined:
    imagined = Imagined(store, more.pop("executor", ImaginedExecutor()), candidates, **more)
    imagined.run()
    return imagined


def trial_of(store: Store, candidate: Candidate, phase: Phase = Phase.SEARCH) -> str:
    trials = store.trials(run=RUN.name, device=DEVICE, phase=phase)
    return next(t.id for t in trials if t.candidate_id == candidate.id)


def decided(
    store: Store, candidate: Candidate, phase: Phase = Phase.SEARCH
) -> tuple[Decision, ...]:
    trial = store.trial(trial_of(store, candidate, phase))
    return decisions(store, Past.of(store, trial), trial)


def test_a_candidate_that_lost_was_dropped_for_a_ratio_a_p_and_blocks(store: Store) -> None:
    ran(store, FAST, SLOW)
    proposed, dropped = decided(store, SLOW)
    assert proposed.what == "proposed"
    assert proposed.why == (
        "proposed because the float model is tried on every engine, as its makers recommend it "
        "and with its main options (engines)"
    )
    assert (dropped.what, dropped.race, dropped.blocks) == ("dropped", 0, 8)
    assert dropped.ratio == pytest.approx(1.1 / 0.88, rel=0.02)
    assert dropped.p_value == pytest.approx(2**-8)
    assert dropped.why == (
        f"dropped from race 0 against 2 others because {dropped.ratio - 1:.0%} slower than "
        f"{FAST.label()} at p = 0.0039 after 8 blocks"
    )


def test_a_hopeless_one_needs_no_test(store: Store) -> None:
    ran(store, FAST, HOPELESS)
    dropped = decided(store, HOPELESS)[1]
    assert (dropped.blocks, dropped.p_value) == (3, None)
    assert dropped.why.endswith(
        f"slower than {FAST.label()} after 3 blocks, and far behind in each of them"
    )


def test_the_winner_led_and_was_confirmed(store: Store) -> None:
    ran(store, FAST, SLOW)
    found = decided(store, FAST)
    assert [each.what for each in found] == ["proposed", "led", "confirmed"]
    assert found[1].why == (
        "led race 0 against 2 others after 8 blocks, until nobody else was left"
    )
    assert found[2].why.startswith("confirmed at 1.1")
    assert found[2].why.endswith("20 blocks in fresh processes")
    assert found[2].ratio == pytest.approx(0.88, rel=0.02)
    assert found == decided(store, FAST, Phase.CONFIRM), "of the candidate, not of one trial"


def test_the_final_race_has_rules_of_its_own(store: Store) -> None:
    ran(store, FAST, NEAR)
    races = [each for each in decided(store, NEAR) if each.race is not None]
    assert races
    assert all(each.what in ("dropped", "stayed") for each in races), races
    assert all(each.ratio > 1.0 for each in races if each.ratio)


def test_no_race_for_what_was_slow_at_first(store: Store) -> None:
    ran(store, FAST, TOO_SLOW)
    (_, found) = decided(store, TOO_SLOW)
    assert found.what == "not raced"
    assert found.why == (
        "not raced because its first samples were 200% slower than the baseline's"
    )


def test_a_broken_limit_and_a_failure_are_told_in_their_words(store: Store) -> None:
    executor = ImaginedExecutor(
        {
            BASELINE: Traits(accuracy=0.9),
            FAST: Traits(seconds=8e-4, accuracy=0.7),
            SLOW: Traits(outcome=Outcome.COMPILE_ERROR, message="no such operator."),
        }
    )
    ran(store, FAST, SLOW, executor=executor, constraints=Constraints(max_accuracy_drop=0.01))
    assert decided(store, FAST)[-1].why.startswith(
        "rejected because accuracy 0.7000 is 0.2000 below the baseline's 0.9000"
    )
    assert decided(store, SLOW)[-1].why == "ended as compile-error: no such operator"


def test_the_baseline_is_what_everything_is_compared_with(store: Store) -> None:
    ran(store, SLOW)
    proposed, *others = decided(store, BASELINE)
    assert proposed.why.startswith("proposed because everything is compared with it")
    assert all(each.what in ("led", "stayed") for each in others)


def test_another_objective_has_its_own_word(store: Store) -> None:
    heavy, light = fakes(0.9, 0.9)
    executor = ImaginedExecutor(
        {heavy: Traits(9e-4, peak=9 << 20), light: Traits(9e-4, peak=5 << 20)}
    )
    store.update_run(RUN.name, request='{"objective":"memory"}')
    ran(store, heavy, light, executor=executor, objective=Objective.MEMORY)
    told = " ".join(each.why for each in decided(store, heavy))
    assert "80% more peak memory than" in told


@pytest.mark.parametrize("window", [None, 5.0])
def test_energy_is_told_where_a_counter_told_it(store: Store, window: float | None) -> None:
    """That of power figures is not in the store, and nothing is told of it."""
    heavy, light = fakes(0.9, 0.9)
    executor = ImaginedExecutor({heavy: Traits(joules=9e-4), light: Traits(joules=5e-4)})
    store.update_run(RUN.name, request='{"objective":"energy"}')
    more = {"objective": Objective.ENERGY, "energy_window": window}
    ran(store, heavy, light, executor=executor, **more)
    told = " ".join(each.why for each in decided(store, heavy))
    assert ("% more energy than" in told) is (window is not None)


def test_where_the_stage_is_not_recorded_nothing_is_said_of_it(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor())
    list(imagined.journal.run_trials([BASELINE, FAST], Phase.SEARCH))
    (found,) = decided(store, FAST)
    assert found.what == "not raced"


def test_time_may_end_a_race(store: Store) -> None:
    imagined, calls = Imagined(store, ImaginedExecutor()), iter(range(100))
    entries = list(imagined.journal.run_trials([BASELINE, FAST, NEAR], Phase.SEARCH))
    tracked = [imagined.journal.job(e.candidate, Phase.SEARCH) for e in entries]
    imagined.track.race(entries, tracked, COHORT_RULES, entries[0], lambda: next(calls) < 4)
    found = decided(store, NEAR)[-1]
    assert found.what == "stayed"
    assert found.blocks == 4
    assert found.why.endswith("until the time for searching was over")


def test_nobody_led_a_race_of_which_no_block_counted(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor())
    entries = list(imagined.journal.run_trials([BASELINE, FAST], Phase.SEARCH))
    samples = tuple(
        BlockSample(each.trial_id, 1e-3, 1e-3, 1, order) for order, each in enumerate(entries)
    )
    store.add_block(Block(RUN.name, DEVICE, 0, 0, START, False, samples, "stolen", 2e-3))
    found = decided(store, FAST)[-1]
    assert (found.what, found.blocks) == ("raced", 0)
    assert found.why == "raced in race 0 against 1 other, in which no block counted"


def test_what_was_confirmed_is_explained_against_what_was(store: Store) -> None:
    ran(store, FAST, SLOW)
    for phase in (Phase.SEARCH, Phase.CONFIRM):
        found = explain(store, ask(store, trial_of(store, FAST, phase)))
        assert found.against is not None
        assert found.against.measured == trial_of(store, BASELINE, phase)
        assert found.trial.measured == trial_of(store, FAST, phase)


def test_latencies_of_two_phases_are_told_to_be_that(store: Store) -> None:
    ran(store, FAST, SLOW)
    kernel = OperatorProfile("all", "Conv", ("conv",), "", 8e-4, None, Method.MEASURED)
    store.add_profile(trial_of(store, BASELINE, Phase.CONFIRM), [kernel])
    found = explain(store, ask(store, trial_of(store, SLOW)))
    assert any("of the phases search and confirm, at different" in note for note in found.notes)
    alike = explain(store, ask(store, trial_of(store, FAST)))
    assert not any("phases" in note for note in alike.notes)


def test_explained_against_the_baseline_of_the_run_by_its_best_profile(store: Store) -> None:
    ran(store, FAST, SLOW)
    confirmed = trial_of(store, FAST, Phase.CONFIRM)
    kernel = OperatorProfile("all", "Conv", ("conv",), "", 8e-4, None, Method.MEASURED)
    store.add_profile(confirmed, [kernel])
    searched = trial_of(store, FAST)
    found = explain(store, ask(store, searched))
    assert (found.trial.trial, found.trial.measured) == (searched, confirmed)
    assert found.against is not None
    assert found.against.trial == trial_of(store, BASELINE)
    assert found.against.measured == trial_of(store, BASELINE, Phase.CONFIRM), "as the other is"
    assert found.comparison is not None
    assert found.comparison.pairs == 20, "blocks of the confirmation, as both latencies are"
    assert "times as fast as the baseline (" in found.sentence
    assert [row.name for row in found.operators] == ["conv"]
    assert any(note.endswith(f"farm explain {searched[:8]} --measure") for note in found.notes), (
        "the baseline has no profile"
    )
