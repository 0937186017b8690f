"""The confirmation: what it accepts, what it rejects, and that nothing beats the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from db.records import Phase
from db.store import Store
from farm.candidate import Candidate
from farm.errors import InfrastructureError
from farm.measurement import Method, Metric, Outcome
from tests.db.samples import RUN
from tests.tuner.imagined import (
    BASELINE,
    DEVICE,
    CountedBudget,
    Imagined,
    ImaginedExecutor,
    Traits,
    fakes,
)
from tuner.goals import Constraints
from tuner.racing.recorded import FEWEST_PAIRS
from tuner.results import Verdict
from tuner.runs.clock import Budget
from tuner.search import confirm
from tuner.search.confirm import MAX_PAIRS, MIN_PAIRS, Confirmed
from tuner.search.search import Alone
from workers.jobs import BlockJob, BlockReport, Part


def test_a_faster_candidate_is_confirmed(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor(), fakes(0.5))
    _, confirmed = imagined.run()
    assert confirmed.verdict is Verdict.IMPROVED
    assert confirmed.ratio is not None
    assert confirmed.ratio.value == pytest.approx(2.0, rel=0.01)
    assert confirmed.ratio.low < 2.0 < confirmed.ratio.high
    assert confirmed.gain == confirmed.ratio, "the objective is latency"
    parts = [part for _, part in imagined.executor.trials]
    assert parts == [Part.SEARCH, Part.SEARCH, Part.CONFIRMATION, Part.CONFIRMATION]


def test_the_winner_has_its_distribution_and_modelled_energy(store: Store) -> None:
    _, confirmed = Imagined(store, ImaginedExecutor(), fakes(0.5)).run()
    stored = {m.metric: m for m in store.measurements(confirmed.winner.trial_id)}
    assert Metric.LATENCY_P50 in stored
    assert Metric.LATENCY_P90 in stored, "100 runs are enough for it"
    assert Metric.LATENCY_P99 not in stored, "and too few for this"
    assert stored[Metric.ENERGY].method is Method.MODELLED
    assert stored[Metric.ENERGY].value == pytest.approx(5e-4, rel=0.02)
    assert MIN_PAIRS <= len(stored[Metric.LATENCY].samples) <= MAX_PAIRS


@pytest.mark.parametrize("milliseconds", [0.5, 1.0])
def test_pairs_that_take_too_long_are_few(
    store: Store, monkeypatch: pytest.MonkeyPatch, milliseconds: float
) -> None:
    monkeypatch.setattr(confirm, "_LONG_SECONDS", 0.0)
    imagined = Imagined(store, ImaginedExecutor(), fakes(3.0, milliseconds)[1:])
    found = imagined.search()
    imagined.budget = Budget(1e-9)
    confirmed = imagined.confirm(found)
    latency = confirmed.winner.measurements[Metric.LATENCY]
    assert len(latency.samples) == FEWEST_PAIRS
    assert latency.low is None, "so few have none"
    (said,) = confirmed.notes()
    assert said.startswith(
        "A block takes so long that 6 had to do, and latencies have no interval"
    )
    if milliseconds < 1.0:
        assert confirmed.verdict is Verdict.IMPROVED
        assert confirmed.ratio is not None
        assert 1.9 < confirmed.ratio.low < 2.0 < confirmed.ratio.high < 2.1
    again = Imagined(store, ImaginedExecutor(), imagined.candidates, budget=imagined.budget)
    again.journal.complete = True  # what ended is gone through again, and stays as it was
    champion = "" if confirmed.ratio is None else confirmed.winner.candidate.id
    assert again.run(champion)[1] == confirmed
    assert "block" not in again.executor.calls


@pytest.mark.parametrize("milliseconds", [1.0, 1.1, 3.0])
def test_the_baseline_wins_when_nothing_is_faster(store: Store, milliseconds: float) -> None:
    # The first of the fakes that takes 1 ms would be the baseline itself.
    candidates = fakes(3.0, milliseconds)[1:]
    _, confirmed = Imagined(store, ImaginedExecutor(), candidates).run()
    assert confirmed.verdict is Verdict.NO_GAIN
    assert confirmed.winner is confirmed.baseline
    assert confirmed.winner.candidate == BASELINE
    assert confirmed.ratio is None
    assert confirmed.winner.measurements[Metric.LATENCY].low is not None, "with its interval"


def test_without_candidates_the_baseline_wins_and_nothing_is_said_of_gain(store: Store) -> None:
    found, confirmed = Imagined(store, ImaginedExecutor(), []).run()
    assert confirmed.verdict is Verdict.NOTHING_TRIED
    assert confirmed.winner.candidate == BASELINE
    assert found.alone is Alone.EXHAUSTED


@pytest.mark.parametrize(
    ("options", "alone"),
    [({"max_trials": 1}, Alone.TRIALS), ({"budget": Budget(1e-9)}, Alone.BUDGET)],
)
def test_why_nothing_else_was_tried(store: Store, options: dict[str, Any], alone: Alone) -> None:
    found, confirmed = Imagined(store, ImaginedExecutor(), fakes(0.5), **options).run()
    assert (confirmed.verdict, found.alone) == (Verdict.NOTHING_TRIED, alone)


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.COMPILE_ERROR, Outcome.RUN_ERROR])
def test_nothing_is_said_of_gain_where_all_else_failed(store: Store, outcome: Outcome) -> None:
    candidates = fakes(0.5, 0.6)
    executor = ImaginedExecutor(dict.fromkeys(candidates, Traits(outcome=outcome)))
    found, confirmed = Imagined(store, executor, candidates).run()
    assert confirmed.verdict is Verdict.NOTHING_ELSE_OK
    assert found.alone is None
    assert [entry.outcome for entry in found.others] == [outcome, outcome]


def test_what_breaks_the_limit_on_new_data_makes_way_for_the_next(store: Store) -> None:
    fast, next_best = candidates = fakes(0.5, 0.7)
    traits = {
        BASELINE: Traits(1e-3, accuracy=0.95, confirmed=0.95),
        fast: Traits(5e-4, accuracy=0.95, confirmed=0.90),
        next_best: Traits(7e-4, accuracy=0.95, confirmed=0.94),
    }
    _, confirmed = Imagined(store, ImaginedExecutor(traits), candidates).run()
    assert confirmed.winner.candidate == next_best
    (rejected,) = store.trials(run=RUN.name, outcome=Outcome.REJECTED, phase=Phase.CONFIRM)
    assert rejected.candidate_id == fast.id
    assert rejected.message == (
        "on the confirmation data, accuracy 0.9000 is 0.0500 below the baseline's 0.9500; "
        "the limit is 0.01"
    )


def test_a_drop_of_exactly_the_limit_is_allowed(store: Store) -> None:
    (candidate,) = fakes(0.5)
    traits = {
        BASELINE: Traits(accuracy=0.95, confirmed=0.95),
        candidate: Traits(5e-4, accuracy=0.94, confirmed=0.94),
    }
    _, confirmed = Imagined(store, ImaginedExecutor(traits), [candidate]).run()
    assert confirmed.verdict is Verdict.IMPROVED


@pytest.mark.parametrize(
    "trouble", [{"fails_in_block": 15}, {"fails_in_block": 18}, {"fails_in_detail": True}]
)
def test_what_fails_in_the_confirmation_makes_way(store: Store, trouble: dict[str, int]) -> None:
    fast, next_best = candidates = fakes(0.5, 0.7)
    imagined = Imagined(store, ImaginedExecutor(), candidates)
    found = imagined.search()
    begun = imagined.executor.calls.count("block")
    if "fails_in_block" in trouble:  # in the first block of the confirmation, or in its tenth
        trouble = {"fails_in_block": begun + (trouble["fails_in_block"] - 15) * 3}
    imagined.executor.traits[fast] = Traits(5e-4, **trouble)  # type: ignore[arg-type]
    confirmed = imagined.confirm(found)
    assert confirmed.winner.candidate == next_best
    failed = imagined.journal.job(fast, Phase.CONFIRM).trial_id
    assert store.trial(failed).outcome in (Outcome.OUT_OF_MEMORY, Outcome.RUN_ERROR)


@pytest.mark.parametrize("trouble", [{"fails_in_block": 0}, {"fails_in_detail": True}])
def test_a_baseline_that_fails_ends_it(store: Store, trouble: dict[str, int]) -> None:
    imagined = Imagined(store, ImaginedExecutor(), fakes(0.5))
    found = imagined.search()
    imagined.executor.traits[BASELINE] = Traits(**trouble)  # type: ignore[arg-type]
    with pytest.raises(InfrastructureError, match="baseline failed in the confirmation"):
        imagined.confirm(found)


def test_a_limit_that_the_baseline_breaks_is_a_reason_of_its_own(store: Store) -> None:
    candidates = fakes(0.5, 1.2)
    traits = {candidates[0]: Traits(5e-4, peak=90 << 20), candidates[1]: Traits(1.2e-3, 5 << 20)}
    limits = Constraints(max_memory=8 << 20)
    executor = ImaginedExecutor(traits)
    _, confirmed = Imagined(store, executor, candidates, constraints=limits).run()
    assert confirmed.verdict is Verdict.WITHIN_LIMITS
    assert confirmed.winner.candidate == candidates[1], "slower, but it fits"
    assert confirmed.ratio is not None
    assert confirmed.ratio.value < 1


def test_nothing_may_be_within_the_limits(store: Store) -> None:
    limits = Constraints(max_latency=1e-4)
    _, confirmed = Imagined(store, ImaginedExecutor(), fakes(0.5), constraints=limits).run()
    assert confirmed.verdict is Verdict.NONE_WITHIN_LIMITS
    assert confirmed.winner.candidate == BASELINE


def test_every_pair_is_in_the_store(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor(), fakes(0.5))
    _, confirmed = imagined.run()
    ids = {confirmed.baseline.trial_id, confirmed.winner.trial_id}
    blocks = store.blocks(RUN.name, DEVICE)
    pairs = [b for b in blocks if {s.trial_id for s in b.samples} == ids]
    assert len(pairs) == MAX_PAIRS
    orders = {s.order for b in pairs for s in b.samples if s.trial_id == confirmed.winner.trial_id}
    assert orders == {0, 1}, "in random order"


# A run with more time: what it confirmed before is the champion


def confirmed_again(
    store: Store, executor: ImaginedExecutor, first: list[Candidate], then: list[Candidate]
) -> tuple[Confirmed, Confirmed]:
    """A run with the first candidates, and the same run with more time and more candidates."""
    before = Imagined(store, executor, first).run()[1]
    after = Imagined(store, executor, then).run(before.winner.candidate.id)[1]
    return before, after


def test_a_better_one_takes_the_champions_place(store: Store) -> None:
    champion, better = fakes(0.5, 0.4)
    _, after = confirmed_again(store, ImaginedExecutor(), [champion], [champion, better])
    assert after.winner.candidate == better
    assert after.verdict is Verdict.IMPROVED
    assert after.ratio is not None
    assert after.ratio.value == pytest.approx(2.5, rel=0.01)


class Fading(ImaginedExecutor):
    """Its second candidate wins the search, and is as fast as the first when it is confirmed."""

    def __init__(self, champion: Candidate, rival: Candidate, confirmed: Traits) -> None:
        super().__init__({champion: Traits(5e-4)})
        self.rival, self.confirmed = rival, confirmed

    def run_block(self, device: str, job: BlockJob) -> BlockReport:
        confirming = any(m.part is Part.CONFIRMATION for m in job.members)
        self.traits[self.rival] = self.confirmed if confirming else Traits(4e-4)
        return super().run_block(device, job)


@pytest.mark.parametrize(
    "confirmed",
    [Traits(5e-4), Traits(7e-4), Traits(2e-3), Traits(4e-4, fails_in_block=0)],
    ids=["as fast", "slower", "slower than the baseline", "crashes"],
)
def test_the_champion_stays_until_a_better_one_is_confirmed(
    store: Store, confirmed: Traits
) -> None:
    champion, rival = fakes(0.5, 0.4)
    executor = Fading(champion, rival, confirmed)
    before, after = confirmed_again(store, executor, [champion], [champion, rival])
    assert before.winner.candidate == champion
    assert after == before
    assert Imagined(store, executor, [champion, rival]).run(champion.id)[1] == before, "for good"


def test_the_champion_stays_where_the_search_ranks_others_before_it(store: Store) -> None:
    """Better ones by the search, of which none holds the limits on the confirmation data."""
    champion, *others = fakes(0.5, 0.3, 0.35, 0.4)
    fading = {other: Traits(accuracy=0.9, confirmed=0.1) for other in others}
    fading = {c: replace(t, seconds=c.engine.seconds) for c, t in fading.items()}  # type: ignore[union-attr]
    good = Traits(accuracy=0.9, confirmed=0.9)
    executor = ImaginedExecutor({BASELINE: good, champion: replace(good, seconds=5e-4), **fading})
    before, after = confirmed_again(store, executor, [champion], [champion, *others])
    assert after == before


def test_a_champion_that_crashes_beside_a_better_one_loses_its_place(store: Store) -> None:
    champion, better = fakes(0.5, 0.4)

    class Crashing(ImaginedExecutor):
        def run_block(self, device: str, job: BlockJob) -> BlockReport:
            if len(job.members) == 3 and job.members[0].part is Part.CONFIRMATION:
                self.traits[champion] = Traits(5e-4, fails_in_block=0)
            return super().run_block(device, job)

    _, after = confirmed_again(store, Crashing(), [champion], [champion, better])
    assert after.winner.candidate == better
    assert after.verdict is Verdict.IMPROVED


def test_more_time_does_not_unmake_the_champion(store: Store) -> None:
    """It was confirmed; what it does today, when nothing better is found, changes no verdict."""

    class Slow(ImaginedExecutor):
        """In confirmations the champion is as slow as the baseline now."""

        def run_block(self, device: str, job: BlockJob) -> BlockReport:
            confirming = any(m.part is Part.CONFIRMATION for m in job.members)
            self.traits[champion] = Traits(2e-3 if confirming else 5e-4)
            return super().run_block(device, job)

    champion, other = fakes(0.5, 0.9)
    executor = ImaginedExecutor()
    few = CountedBudget(24.0, executor)  # it ends before there are all pairs
    before = Imagined(store, executor, [champion], budget=few).run()[1]
    assert len(before.winner.measurements[Metric.LATENCY].samples) < MAX_PAIRS
    slow = Slow()
    after = Imagined(store, slow, [champion, other]).run(champion.id)[1]
    assert "block" in slow.calls
    assert after == before


def test_a_champion_that_is_not_known_any_more(store: Store) -> None:
    _, confirmed = Imagined(store, ImaginedExecutor(), fakes(0.5)).run("of another farm")
    assert confirmed.verdict is Verdict.IMPROVED
