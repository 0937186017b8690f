"""The search: it finds the fastest, goes on after failures, keeps limits, can be resumed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest

from db.records import Phase
from db.store import Store
from farm.candidate import (
    CalibrationMethod,
    Candidate,
    CPackageEmulated,
    DynamicInt8,
    Fake,
    FloatType,
    Precision,
    StaticInt8,
)
from farm.errors import InfrastructureError
from farm.measurement import Estimate, Measurement, Method, Metric, Outcome
from tests.db.samples import RUN
from tests.tuner.imagined import (
    BASELINE,
    DEVICE,
    POWER,
    SECONDS_PER_PACKET,
    CountedBudget,
    Imagined,
    ImaginedExecutor,
    Traits,
    fakes,
)
from tuner.events import BestChanged, StageStarted, TrialFinished
from tuner.goals import Constraints, Objective
from tuner.results import Verdict
from tuner.runs.history import Entry
from tuner.search.confirm import Confirmed
from tuner.search.search import COHORT, Found, count_outcomes, prefer_plain
from workers.jobs import TrialJob, TrialReport


def test_finds_the_fastest(store: Store) -> None:
    candidates = fakes(0.9, 0.8, 1.2, 0.5, 0.7, 0.95, 1.1, 0.6, 2.0)
    imagined = Imagined(store, ImaginedExecutor(), candidates)
    found = imagined.search()
    assert found.finalists[0].candidate == candidates[3]
    assert found.finalists[0].ratio == pytest.approx(0.5, rel=0.02)
    assert len(found.entries) == 1 + len(candidates)
    assert not imagined.executor.alive, "every child is released at the end"


def test_tells_what_it_does(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor(), fakes(0.5, 0.9))
    imagined.search()
    stages = [e.stage for e in imagined.events if isinstance(e, StageStarted)]
    assert stages == ["baseline", "engines", "final race"]
    assert sum(isinstance(e, TrialFinished) for e in imagined.events) == 3
    best = [e for e in imagined.events if isinstance(e, BestChanged)]
    assert best[-1].speedup == pytest.approx(2.0, rel=0.02)
    assert "0.0005 s" in best[-1].label


@pytest.mark.parametrize("outcome", [o for o in Outcome if o is not Outcome.OK])
def test_goes_on_after_every_kind_of_failure(store: Store, outcome: Outcome) -> None:
    candidates = fakes(0.1, 0.5)
    executor = ImaginedExecutor({candidates[0]: Traits(outcome=outcome)})
    found = Imagined(store, executor, candidates).search()
    assert count_outcomes(found.entries) == {Outcome.OK: 2, outcome: 1}
    assert [e.candidate for e in found.finalists] == [candidates[1]]


def test_goes_on_when_everything_fails(store: Store) -> None:
    candidates = fakes(*[0.1] * 9)
    executor = ImaginedExecutor(dict.fromkeys(candidates, Traits(outcome=Outcome.TIMEOUT)))
    found = Imagined(store, executor, candidates).search()
    assert found.finalists == ()
    assert count_outcomes(found.entries) == {Outcome.OK: 1, Outcome.TIMEOUT: 9}


@pytest.mark.parametrize("block", [0, 2, 10])
def test_a_candidate_that_fails_in_its_race_is_withdrawn(store: Store, block: int) -> None:
    candidates = fakes(0.3, 0.5, 0.9)
    executor = ImaginedExecutor({candidates[0]: Traits(3e-4, fails_in_block=block)})
    found = Imagined(store, executor, candidates).search()
    failed = next(e for e in found.entries if e.candidate == candidates[0])
    assert (failed.outcome, failed.message) == (Outcome.OUT_OF_MEMORY, "it leaked.")
    assert store.trial(failed.trial_id).outcome is Outcome.OUT_OF_MEMORY
    assert found.finalists[0].candidate == candidates[1]


def test_all_that_race_may_fail(store: Store) -> None:
    candidates = fakes(0.3, 0.5)
    executor = ImaginedExecutor(dict.fromkeys(candidates, Traits(3e-4, fails_in_block=1)))
    assert Imagined(store, executor, candidates).search().finalists == ()


def test_without_a_baseline_there_is_nothing_to_compare_with(store: Store) -> None:
    executor = ImaginedExecutor({BASELINE: Traits(outcome=Outcome.RUN_ERROR)})
    with pytest.raises(InfrastructureError, match=r"baseline cannot be measured \(run-error\)"):
        Imagined(store, executor, fakes(0.5)).search()


def test_a_baseline_that_fails_in_a_race_ends_the_search(store: Store) -> None:
    executor = ImaginedExecutor({BASELINE: Traits(fails_in_block=3)})
    with pytest.raises(InfrastructureError, match=r"baseline failed in a race .*it leaked"):
        Imagined(store, executor, fakes(0.5, 0.6)).search()


@pytest.mark.parametrize("limit", [1, 2, 7, 8])
def test_max_trials_counts_the_baseline(store: Store, limit: int) -> None:
    executor = ImaginedExecutor()
    found = Imagined(store, executor, fakes(*[0.5] * 20), max_trials=limit).search()
    assert len(found.entries) == len(executor.trials) == limit


def test_stops_when_time_is_needed_for_the_confirmation(store: Store) -> None:
    executor = ImaginedExecutor()
    budget = CountedBudget(40.0, executor)
    found = Imagined(store, executor, fakes(*[0.5] * 200), budget=budget).search()
    assert 1 + COHORT <= len(found.entries) < 40
    assert budget.left > 0, "something is left for the confirmation"


class SlowTrials(ImaginedExecutor):
    """On which a trial takes as much of a ``CountedBudget`` as twelve blocks."""

    def run_trials(self, device: str, jobs: Iterable[TrialJob]) -> Iterator[TrialReport]:
        for report in super().run_trials(device, jobs):
            for _ in range(11):
                self._count("goes on")
            yield report


def test_on_a_slow_device_something_is_tried_with_what_the_baseline_leaves(store: Store) -> None:
    executor = SlowTrials()
    budget = CountedBudget(20.0, executor)
    found = Imagined(store, executor, fakes(*[0.5] * 20), budget=budget).search()
    assert len(found.entries) == 2, "and not a whole cohort, for which there is no time"
    assert found.alone is None
    assert [e.trial_id for e in found.finalists] == [found.entries[1].trial_id]


def test_what_is_gone_through_again_is_what_there_was_time_for(store: Store) -> None:
    executor = SlowTrials()
    candidates = fakes(*[0.5] * 20)
    once = Imagined(store, executor, candidates, budget=CountedBudget(20.0, executor)).search()
    again = ImaginedExecutor()
    spent = CountedBudget(20.0, again, used=20.0)
    found = Imagined(store, again, candidates, budget=spent).search()
    assert [e.trial_id for e in found.entries] == [e.trial_id for e in once.entries]
    assert not again.trials


def test_slow_candidates_do_not_race(store: Store) -> None:
    candidates = fakes(0.5, 5.0)
    imagined = Imagined(store, ImaginedExecutor(), candidates)
    imagined.search()
    slow = imagined.journal.job(candidates[1], Phase.SEARCH).trial_id
    blocks = store.blocks(RUN.name, DEVICE)
    assert blocks
    assert all(slow not in {s.trial_id for s in block.samples} for block in blocks)


@pytest.mark.parametrize(
    ("limit", "broken"),
    [
        (Constraints(0.5, max_latency=4e-4), "latency 450 µs is above the limit of 400 µs"),
        (Constraints(0.5, 20 << 20), "peak memory 40.0 MiB is above the limit of 20.0 MiB"),
        (Constraints(0.5, max_energy=4e-4), "modelled energy 450 µJ is above the limit of 400 µJ"),
        (Constraints(max_accuracy_drop=0.05), "accuracy 0.9000 is 0.0900 below the baseline's"),
    ],
)
def test_limits_bind(store: Store, limit: Constraints, broken: str) -> None:
    candidates = fakes(0.45, 0.39)
    traits = {
        BASELINE: Traits(accuracy=0.99),
        candidates[0]: Traits(4.5e-4, 40 << 20, accuracy=0.9),
        candidates[1]: Traits(3.9e-4, 20 << 20, accuracy=0.95),
    }
    found = Imagined(store, ImaginedExecutor(traits), candidates, constraints=limit).search()
    rejected = next(e for e in found.entries if e.candidate == candidates[0])
    assert rejected.outcome is Outcome.REJECTED
    assert broken in rejected.message
    assert store.trial(rejected.trial_id).message == rejected.message
    assert [e.candidate for e in found.finalists] == [candidates[1]]


@pytest.mark.parametrize(("objective", "best"), [(Objective.MEMORY, 1), (Objective.ENERGY, 0)])
def test_other_objectives_rank_by_themselves(
    store: Store, objective: Objective, best: int
) -> None:
    candidates = fakes(0.5, 0.9)
    traits = {candidates[0]: Traits(5e-4, 9 << 20), candidates[1]: Traits(9e-4, 3 << 20)}
    executor = ImaginedExecutor(traits)
    found, confirmed = Imagined(store, executor, candidates, objective).run()
    assert found.finalists[0].candidate == candidates[best]
    assert confirmed.verdict is Verdict.IMPROVED
    assert confirmed.gain is not None
    expected = {Objective.MEMORY: 10 / 3, Objective.ENERGY: 2.0}[objective]
    assert confirmed.gain.value == pytest.approx(expected, rel=0.02)


def test_plain_candidates_are_preferred_among_equals() -> None:
    def entry(ratio: float, precision: Precision, accuracy: float, peak: float = 1.0) -> Entry:
        measured = {
            Metric.ACCURACY: Measurement(Metric.ACCURACY, accuracy, Method.MEASURED),
            Metric.PEAK_MEMORY: Measurement(Metric.PEAK_MEMORY, peak, Method.MEASURED),
        }
        candidate = Candidate(Fake(), precision)
        return Entry("", candidate, Outcome.OK, measurements=measured, ratio=ratio)

    plain, half = Precision(), Precision(FloatType.BFLOAT16)
    int8 = Precision(quantization=StaticInt8())
    alike = [
        entry(0.500, int8, 0.98),
        entry(0.501, half, 0.98),
        entry(0.503, plain, 0.98, peak=2.0),
        entry(0.504, plain, 0.98, peak=1.0),
        entry(0.504, int8, 0.99),
    ]
    worse = entry(0.52, plain, 1.0)
    chosen = prefer_plain([*alike, worse])
    assert chosen == [alike[4], alike[3], alike[2], alike[1], alike[0], worse]
    assert prefer_plain([]) == []


# Resuming

CANDIDATES = [
    *fakes(0.9, 0.8, 1.2, 0.55, 0.7, 0.95, 1.1, 0.63, 3.0),
    Candidate(Fake(seconds=4e-4), Precision(quantization=DynamicInt8())),
]
TRAITS = {
    CANDIDATES[1]: Traits(outcome=Outcome.RUN_ERROR),
    CANDIDATES[4]: Traits(7e-4, fails_in_block=5),
    CANDIDATES[9]: Traits(4e-4, confirmed=0.5),
    BASELINE: Traits(confirmed=0.9),
}
"""One fails at once, one in its race, and the fastest is rejected on the confirmation data."""


def uninterrupted() -> tuple[list[str], Candidate]:
    with Store.open(":memory:") as store:
        from tests.db.samples import fill

        executor = ImaginedExecutor(TRAITS)
        _, confirmed = Imagined(fill(store), executor, CANDIDATES).run()
        return executor.calls, confirmed.winner.candidate


CALLS, WINNER = uninterrupted()


@pytest.mark.parametrize("at", range(0, len(CALLS), 7))
def test_a_resumed_run_repeats_nothing_and_ends_alike(store: Store, at: int) -> None:
    first = ImaginedExecutor(TRAITS)
    first.interrupt_at = at
    with pytest.raises(KeyboardInterrupt):
        Imagined(store, first, CANDIDATES).run()
    second = ImaginedExecutor(TRAITS)
    found, confirmed = Imagined(store, second, CANDIDATES).run()
    assert confirmed.winner.candidate == WINNER == CANDIDATES[3]
    asked = [call for call in first.calls + second.calls if call.startswith("trial")]
    assert asked == [call for call in CALLS if call.startswith("trial")], "in the same order"
    blocks = (first.calls + second.calls).count("block")
    # Who failed in a race does not race when it is resumed, which may end it a few blocks sooner.
    assert abs(blocks - CALLS.count("block")) <= 8
    assert len(found.entries) == 1 + len(CANDIDATES)
    assert count_outcomes(found.entries) == {
        Outcome.OK: 9,
        Outcome.RUN_ERROR: 1,
        Outcome.OUT_OF_MEMORY: 1,
    }


def test_a_finished_run_is_resumed_without_measuring(store: Store) -> None:
    _, before = Imagined(store, ImaginedExecutor(TRAITS), CANDIDATES).run()
    again = ImaginedExecutor(TRAITS)
    _, after = Imagined(store, again, CANDIDATES).run()
    assert again.calls == []
    assert after.winner == replace(before.winner)
    assert after.ratio == before.ratio


def test_first_samples_decide_when_it_is_resumed_as_they_did_before(store: Store) -> None:
    """Races correct the latencies that the store has, and a busy machine makes samples differ."""
    candidates = fakes(0.9, 0.5, 0.7, 0.8, 0.6, 0.4)
    traits = {candidates[1]: Traits(seconds=0.5e-3, quick=3.0), BASELINE: Traits(quick=4.0)}

    def run() -> tuple[Imagined, Found, Confirmed]:
        imagined = Imagined(store, ImaginedExecutor(traits), candidates)
        imagined.executor.disturbed = "another program ran"
        return (imagined, *imagined.run())

    (before, found, confirmed), (after, found_again, confirmed_again) = run(), run()
    assert after.executor.calls == []
    assert [e.ratio for e in found_again.entries] == [e.ratio for e in found.entries]
    assert confirmed_again == confirmed
    assert after.track.disturbed == before.track.disturbed > 0
    assert after.track.tolerated == before.track.tolerated > 0


def test_a_state_that_lasts_costs_no_block(store: Store) -> None:
    imagined = Imagined(store, ImaginedExecutor(), fakes(0.9, 1.2))
    imagined.executor.disturbed, imagined.executor.lasts = "the GPU was slowed down", True
    _, confirmed = imagined.run()
    assert confirmed.gain is not None
    assert imagined.track.disturbed == 0
    assert imagined.track.tolerated > 0, "and the record keeps what it was"


def test_a_baseline_that_nothing_was_paired_with_is_gone_through_again(store: Store) -> None:
    def run() -> tuple[Imagined, Confirmed]:
        imagined = Imagined(store, ImaginedExecutor(), fakes(1.2))
        imagined.executor.disturbed = "another program ran"
        return imagined, imagined.run()[1]

    (before, confirmed), (after, again) = run(), run()
    assert after.executor.calls == []
    assert again == confirmed
    assert (after.track.disturbed, after.track.tolerated) == (
        before.track.disturbed,
        before.track.tolerated,
    )


def test_a_run_whose_time_is_up_keeps_what_it_found(store: Store) -> None:
    """Interrupted in the confirmation, when nothing is left of the budget."""
    first = ImaginedExecutor()
    candidates = fakes(0.9, 0.5, 0.7)
    first.interrupt_at = next(i for i, _ in enumerate(CALLS)) + 30
    with pytest.raises(KeyboardInterrupt):
        Imagined(store, first, candidates).run()
    second = ImaginedExecutor()
    budget = CountedBudget(100.0, second, used=100.0)
    found, confirmed = Imagined(store, second, candidates, budget=budget).run()
    assert len(found.entries) == 4
    assert confirmed.winner.candidate == candidates[1]
    assert not any(call.startswith("trial") for call in second.calls[:-2])


def test_a_run_killed_in_the_final_race_may_search_on(store: Store) -> None:
    """With time left the resumed run tries more before it comes to that race again."""
    first = ImaginedExecutor()
    few, many = fakes(0.9, 0.5, 0.7), fakes(0.9, 0.5, 0.7, 0.3, 0.8, 0.85, 0.75, 0.2)
    Imagined(store, first, few).search()
    found, confirmed = Imagined(store, ImaginedExecutor(), many).run()
    assert confirmed.winner.candidate == many[7]
    assert count_outcomes(found.entries) == {Outcome.OK: 9}, "nobody is taken for failed"


class TestCounted:
    """Devices whose packets are counted: no noise at all, and limits that the baseline breaks."""

    FLOAT, INT8, ENTROPY = (
        Candidate(CPackageEmulated()),
        Candidate(CPackageEmulated(), Precision(quantization=StaticInt8())),
        Candidate(
            CPackageEmulated(),
            Precision(quantization=StaticInt8(calibration=CalibrationMethod.ENTROPY)),
        ),
    )
    TOO_LARGE = Traits(
        1e-2, accuracy=0.95, confirmed=0.94, outcome=Outcome.REJECTED, message="6656 bytes more."
    )

    def imagined(self, store: Store, traits: dict[Candidate, Traits], **options) -> Imagined:
        executor = ImaginedExecutor(traits)
        baselines = (self.FLOAT, self.INT8, self.ENTROPY)
        return Imagined(store, executor, baselines, baselines=baselines, **options)

    def test_two_blocks_without_noise_decide(self, store: Store) -> None:
        traits = {self.FLOAT: Traits(1e-2), self.INT8: Traits(1e-4), self.ENTROPY: Traits(2e-4)}
        imagined = self.imagined(store, traits)
        found, confirmed = imagined.run()
        assert [e.candidate for e in found.finalists] == [self.INT8, self.ENTROPY]
        assert found.finalists[0].ratio == pytest.approx(0.01)
        races = {b.race for b in store.blocks(RUN.name, DEVICE)}
        assert imagined.executor.calls.count("block") == 2 * len(races)
        assert confirmed.verdict is Verdict.IMPROVED
        assert confirmed.ratio == Estimate(*[pytest.approx(100.0)] * 3)
        assert confirmed.winner.measurements[Metric.LATENCY].method is Method.MODELLED
        assert Metric.LATENCY_P99 not in confirmed.winner.measurements

    def test_equals_are_no_gain(self, store: Store) -> None:
        traits = {self.FLOAT: Traits(1e-3), self.INT8: Traits(1e-3), self.ENTROPY: Traits(1e-3)}
        _, confirmed = self.imagined(store, traits).run()
        assert confirmed.verdict is Verdict.NO_GAIN

    def test_energy_is_that_of_the_packets(self, store: Store) -> None:
        _, confirmed = self.imagined(store, {self.INT8: Traits(1e-4)}).run()
        packets = 1e-4 / SECONDS_PER_PACKET
        assert confirmed.winner.value(Metric.PACKETS) == pytest.approx(packets)
        watts = POWER.static_watts
        assert confirmed.winner.value(Metric.ENERGY) == pytest.approx(watts * 1e-4)

    def test_the_first_that_fits_is_the_baseline(self, store: Store) -> None:
        traits = {
            self.FLOAT: self.TOO_LARGE,
            self.INT8: Traits(2e-4, accuracy=0.948, confirmed=0.938),
            self.ENTROPY: Traits(1e-4, accuracy=0.947, confirmed=0.937),
        }
        found, confirmed = self.imagined(store, traits).run()
        assert (found.baseline.candidate, found.original.candidate) == (self.INT8, self.FLOAT)
        assert found.original.message == "6656 bytes more."
        assert confirmed.winner.candidate == self.ENTROPY
        assert confirmed.original.value(Metric.ACCURACY) == 0.94
        assert confirmed.ratio is not None
        assert confirmed.ratio.value == pytest.approx(2.0)

    def test_accuracy_is_held_against_what_does_not_fit(self, store: Store) -> None:
        traits = {
            self.FLOAT: self.TOO_LARGE,
            self.INT8: Traits(1e-4, accuracy=0.90, confirmed=0.90),
            self.ENTROPY: Traits(2e-4, accuracy=0.949, confirmed=0.939),
        }
        _, confirmed = self.imagined(store, traits).run()
        assert confirmed.verdict is Verdict.WITHIN_LIMITS, "and the baseline is not"
        assert confirmed.winner.candidate == self.ENTROPY

    def test_where_nothing_fits_the_last_sentence_is_the_nearest(self, store: Store) -> None:
        rejected = Traits(outcome=Outcome.REJECTED, message="3 bytes more.")
        traits = {self.FLOAT: self.TOO_LARGE, self.INT8: rejected, self.ENTROPY: rejected}
        with pytest.raises(InfrastructureError, match=r"measured \(rejected\): 3 bytes more\."):
            self.imagined(store, traits).run()

    def test_what_cannot_be_compiled_makes_no_room(self, store: Store) -> None:
        failed = Traits(outcome=Outcome.COMPILE_ERROR, message="does not support LSTM.")
        imagined = self.imagined(store, {self.FLOAT: failed})
        with pytest.raises(InfrastructureError, match="does not support LSTM"):
            imagined.run()
        assert len(imagined.executor.trials) == 1
