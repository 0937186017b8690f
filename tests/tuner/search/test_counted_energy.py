"""A search where a counter tells the energy of candidates, and energy decides."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import pytest

from db.store import Store
from farm.errors import InfrastructureError
from farm.measurement import Method, Metric, Outcome
from tests.db.samples import RUN
from tests.tuner.imagined import BASELINE, DEVICE, Imagined, ImaginedExecutor, Traits, fakes
from tuner.goals import Constraints, Objective
from tuner.racing.objective import UNTOLD
from tuner.results import Verdict
from tuner.runs.clock import Budget
from tuner.search.confirm import MIN_PAIRS


class TestCountedEnergy:
    """Where a counter tells the energy: the slower candidate needs less of it."""

    CANDIDATES = fakes(0.5, 0.9)
    TRAITS: ClassVar = {
        CANDIDATES[0]: Traits(5e-4, joules=9e-4),
        CANDIDATES[1]: Traits(9e-4, joules=4e-4),
    }

    def imagined(
        self, store: Store, objective: Objective = Objective.ENERGY, **more: object
    ) -> Imagined:
        executor = ImaginedExecutor(self.TRAITS)
        return Imagined(
            *(store, executor, self.CANDIDATES, objective),
            energy_window=5.0,
            **more,  # type: ignore[arg-type]
        )

    def test_what_is_counted_ranks(self, store: Store) -> None:
        imagined = self.imagined(store)
        found, confirmed = imagined.run()
        assert [e.candidate for e in found.finalists] == self.CANDIDATES[::-1]
        assert confirmed.winner.candidate == self.CANDIDATES[1]
        assert confirmed.gain is not None
        assert confirmed.gain.value == pytest.approx(2.5, rel=0.02)
        assert confirmed.gain.low < 2.5 < confirmed.gain.high
        assert all(imagined.executor.counted), "each block tells energy"
        energy = confirmed.winner.measurements[Metric.ENERGY]
        assert energy.method is Method.MEASURED
        assert energy.value == pytest.approx(4e-4, rel=0.02)
        assert len(energy.samples) >= MIN_PAIRS
        assert confirmed.winner.value(Metric.ENERGY_WINDOW) == 5.0
        assert confirmed.winner.value(Metric.IDLE_POWER) == 40.0
        assert {m.method for m in store.measurements(confirmed.winner.trial_id)
                if m.metric is Metric.ENERGY} == {Method.MEASURED}  # fmt: skip

    def test_the_store_keeps_what_each_block_told(self, store: Store) -> None:
        self.imagined(store).run()
        samples = [s for block in store.blocks(RUN.name, DEVICE) for s in block.samples]
        assert all(s.joules for s in samples)
        assert {(s.energy_window, s.idle_watts) for s in samples} == {(5.0, 40.0)}

    def test_a_resumed_run_ranks_alike(self, store: Store) -> None:
        first = self.imagined(store).run()
        again = self.imagined(store)
        again.journal.complete = True
        assert again.run(first[1].winner.candidate.id)[1] == first[1]
        assert "block" not in again.executor.calls

    @pytest.mark.parametrize("limit", [8e-4, 3e-4])
    def test_a_limit_binds_what_is_counted(self, store: Store, limit: float) -> None:
        imagined = self.imagined(
            store, Objective.LATENCY, constraints=Constraints(max_energy=limit)
        )
        found, confirmed = imagined.run()
        told = found.entries[1].message
        assert told == f"measured energy 900 µJ is above the limit of {round(limit * 1e6)} µJ"
        if limit < 4e-4:
            assert confirmed.verdict is Verdict.NONE_WITHIN_LIMITS
            return
        assert confirmed.winner.candidate == self.CANDIDATES[1]
        assert len(confirmed.winner.measurements[Metric.ENERGY].samples) >= MIN_PAIRS
        raced = len(imagined.executor.counted) - imagined.executor.counted.count(True)
        assert raced > 0, "in races trials tell what is only limited"
        assert imagined.executor.counted[-1]

    def test_time_is_kept_for_the_blocks_of_the_confirmation(self, store: Store) -> None:
        scorer = self.imagined(store).scorer
        assert (scorer.pair_energy_seconds, scorer.race_energy_seconds(7)) == (15.0, 40.0)
        limited = replace(
            scorer, objective=Objective.LATENCY, constraints=Constraints(max_energy=1.0)
        )
        assert (limited.pair_energy_seconds, limited.race_energy_seconds(7)) == (15.0, 0.0)
        fast = replace(scorer, objective=Objective.LATENCY)
        assert (fast.pair_energy_seconds, fast.race_energy_seconds(7)) == (0.0, 0.0)

    @pytest.mark.parametrize(("left", "races"), [(190.0, False), (205.0, True)])
    def test_no_block_is_begun_that_would_take_the_time_of_the_confirmation(
        self, store: Store, left: float, *, races: bool
    ) -> None:
        """Of 300 s it keeps 177: 165 count energy. A block of three counts for 20 s."""
        imagined = self.imagined(store, budget=Budget(300.0, used=300.0 - left))
        imagined.search()
        assert ("block" in imagined.executor.calls) is races


class TestNoisyEnergy:
    """Idle power that is subtracted adds noise, and takes net energies below 0 in some blocks."""

    CANDIDATES = fakes(0.5, 3.2)

    def imagined(self, store: Store, fast: Traits, slow: Traits, base: Traits) -> Imagined:
        traits = {BASELINE: base, self.CANDIDATES[0]: fast, self.CANDIDATES[1]: slow}
        executor = ImaginedExecutor(traits)
        return Imagined(store, executor, self.CANDIDATES, Objective.ENERGY, energy_window=5.0)

    def test_ratios_survive_noise(self, store: Store) -> None:
        """11 mJ against 1 mJ with noise of 0.6 mJ: in single pairs the ratio may be anything."""
        found, confirmed = self.imagined(
            store,
            Traits(7e-4, joules=1e-3, joules_noise=6e-4),
            Traits(3.2e-3, joules=8e-3, joules_noise=6e-4),
            Traits(7e-3, joules=11e-3, joules_noise=6e-4),
        ).run()
        samples = [s for block in store.blocks(RUN.name, DEVICE) for s in block.samples]
        assert any(s.joules is not None and s.joules < 0.0 for s in samples), "with their sign"
        assert confirmed.verdict is Verdict.IMPROVED
        assert confirmed.winner.candidate == self.CANDIDATES[0]
        assert confirmed.gain is not None
        assert 5.0 < confirmed.gain.low < confirmed.gain.high < 30.0
        assert found.finalists[0].ratio == pytest.approx(1 / 11, rel=0.4)

    def test_what_the_counter_does_not_tell_is_neither_best_nor_worst(self, store: Store) -> None:
        """The other candidate races and wins as if it were not there."""
        found, confirmed = self.imagined(
            store, Traits(7e-4, joules=4e-3), Traits(3.2e-3, joules=0.0), Traits(joules=8e-3)
        ).run()
        untold = next(e for e in found.entries if e.candidate == self.CANDIDATES[1])
        assert untold.outcome is Outcome.REJECTED
        assert untold.message == UNTOLD
        assert untold.value(Metric.ENERGY) is None
        assert confirmed.winner.candidate == self.CANDIDATES[0]

    def test_blocks_take_back_a_lucky_first_window(self, store: Store) -> None:
        """One window told 4 mJ, and blocks tell that it was noise."""
        lucky = Traits(3.2e-3, joules=1e-9, joules_noise=4e-3, quick_joules=4e-3)
        found, confirmed = self.imagined(
            store, Traits(7e-4, joules=6e-3), lucky, Traits(joules=8e-3)
        ).run()
        entry = next(e for e in found.entries if e.candidate == self.CANDIDATES[1])
        assert entry.message == UNTOLD
        measured = {m.metric for m in store.measurements(entry.trial_id)}
        assert Metric.ENERGY not in measured
        assert confirmed.winner.candidate == self.CANDIDATES[0]

    def test_a_baseline_that_the_counter_does_not_tell(self, store: Store) -> None:
        imagined = self.imagined(store, Traits(), Traits(), Traits(joules=0.0))
        with pytest.raises(InfrastructureError, match="energy of the baseline from idling"):
            imagined.search()

    def test_a_limit_is_not_held_by_what_the_counter_does_not_tell(self, store: Store) -> None:
        executor = ImaginedExecutor({self.CANDIDATES[0]: Traits(5e-4, joules=0.0)})
        found = Imagined(
            *(store, executor, self.CANDIDATES[:1], Objective.LATENCY, Constraints(max_energy=1)),
            energy_window=5.0,
        ).search()
        assert [e.message for e in found.entries] == ["", UNTOLD]
