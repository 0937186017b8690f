"""Races over made-up blocks: who is dropped, when it ends, and that the best one wins."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner.racing.race import Finish, Race, RaceRules, relative_latencies, replay

NOISE = 0.02
quick = settings(max_examples=25, deadline=None, derandomize=True)


def noisy(truth: Mapping[str, float], seed: int = 0, noise: float = NOISE):
    """Endless blocks of all entrants under drift."""
    rng = np.random.default_rng(seed)
    drift = 0.0
    while True:
        drift += rng.normal(0.0, 0.1)
        factors = np.exp(drift + rng.normal(0.0, noise, len(truth)))
        yield {name: t * f for (name, t), f in zip(truth.items(), factors, strict=True)}


def run(race: Race, truth: Mapping[str, float], seed: int = 0, noise: float = NOISE) -> None:
    """Feed a race until it ends."""
    for block in noisy(truth, seed, noise):
        if race.finished is not None:
            return
        race.record({name: block[name] for name in race.live})


class TestLooks:
    def test_are_a_third_apart(self):
        assert RaceRules().looks() == (8, 11, 15, 20, 27, 36, 48, 64)

    def test_the_first_can_drop_somebody(self):
        rules = RaceRules()
        assert rules.alpha / len(rules.looks()) >= 2.0**-8

    def test_those_that_could_drop_nobody_are_left_out(self):
        rules = RaceRules(first_look=4, max_blocks=20)
        assert rules.looks() == (8, 11, 15, 20)

    def test_none_within_too_short_a_race(self):
        assert RaceRules(max_blocks=5).looks() == ()

    @pytest.mark.parametrize(
        "change", [{"alpha": 0.0}, {"equivalence": 0.0}, {"hopeless_ratio": 1.0}]
    )
    def test_impossible_rules_are_refused(self, change):
        with pytest.raises(ValueError, match="a race needs alpha between 0 and 1"):
            RaceRules(**change)

    def test_blocks_below_one_are_refused(self):
        with pytest.raises(ValueError, match="are at least 1"):
            RaceRules(first_look=0)


class TestDropping:
    def test_slower_in_all_of_eight_blocks(self):
        race = Race(["fast", "slow"])
        for block in range(8):
            assert race.live == ("fast", "slow")
            dropped = race.record({"fast": 1.0, "slow": 1.05 + block / 1000})
        assert dropped == ("slow",)
        assert race.finished is Finish.ONE_LEFT
        assert race.leader == "fast"

    def test_one_faster_block_of_eight_saves_until_the_next_look(self):
        race = Race(["fast", "slow"])
        for block in range(8):
            race.record({"fast": 1.0, "slow": 0.9 if block == 4 else 1.05 + block / 1000})
        assert race.live == ("fast", "slow")

    def test_the_hopeless_after_three_blocks(self):
        race = Race(["a", "hopeless", "b"])
        dropped = [race.record({"a": 1.0, "hopeless": 2.1, "b": 1.01}) for _ in range(3)]
        assert dropped == [(), (), ("hopeless",)]

    def test_not_hopeless_with_one_good_block(self):
        race = Race(["a", "b"])
        for block in range(4):
            assert race.record({"a": 1.0, "b": 1.9 if block == 1 else 2.5}) == ()

    def test_a_slow_block_hurts_nobody(self):
        race = Race(["fast", "slow"])
        for block in range(8):
            machine = 10.0 if block % 2 else 1.0
            race.record({"fast": machine, "slow": machine * (1.05 + block / 1000)})
        assert race.leader == "fast"
        assert race.live == ("fast",)

    def test_never_a_protected_one(self):
        truth = {"baseline": 3.0, "a": 1.0, "b": 1.5}
        race = Race(list(truth), protect=frozenset({"baseline"}))
        run(race, truth)
        assert race.live == ("baseline", "a")
        assert race.finished is Finish.ONE_LEFT
        baseline = race.standings()[1]
        assert baseline.entrant == "baseline"
        assert baseline.ratio.low < 3.0 < baseline.ratio.high


class TestEnd:
    def test_one_entrant_needs_no_race(self):
        race = Race(["only"])
        assert race.finished is Finish.ONE_LEFT
        assert race.leader == "only"

    def test_a_single_contender_still_meets_the_baseline(self):
        race = Race(["baseline", "only"], protect=frozenset({"baseline"}))
        run(race, {"baseline": 1.0, "only": 0.5})
        assert (race.finished, race.blocks) == (Finish.ONE_LEFT, 8)

    def test_equivalent_survivors(self):
        truth = {"a": 1.0, "b": 1.001, "c": 0.999}
        race = Race(list(truth))
        run(race, truth, noise=0.003)
        assert race.finished is Finish.EQUIVALENT
        assert race.blocks < 64

    def test_a_protected_one_is_not_waited_for(self):
        truth = {"baseline": 1.02, "a": 1.0, "b": 1.0}
        race = Race(list(truth), protect=frozenset({"baseline"}))
        run(race, truth, noise=0.003)
        assert race.finished is Finish.EQUIVALENT

    def test_block_limit(self):
        truth = {"a": 1.0, "b": 1.0}
        race = Race(list(truth), RaceRules(max_blocks=5))
        run(race, truth)
        assert (race.finished, race.blocks) == (Finish.BLOCK_LIMIT, 5)

    def test_takes_no_block_after_the_end(self):
        race = Race(["a", "b"], RaceRules(max_blocks=1))
        race.record({"a": 1.0, "b": 1.0})
        with pytest.raises(ValueError, match=r"the race is over \(block-limit\)"):
            race.record({"a": 1.0, "b": 1.0})


class TestWithdrawing:
    def test_takes_a_crashed_entrant_out(self):
        race = Race(["a", "b", "c"])
        race.record({"a": 1.0, "b": 2.0, "c": 3.0})
        race.withdraw("a")
        assert race.live == ("b", "c")
        assert race.leader == "b"
        assert [(s.entrant, s.dropped_at) for s in race.standings()] == [
            ("b", None),
            ("c", None),
            ("a", 1),
        ]

    def test_all_of_them(self):
        race = Race(["a", "b"])
        race.record({"a": 1.0, "b": 2.0})
        race.withdraw("a")
        race.withdraw("b")
        assert race.finished is Finish.ONE_LEFT
        assert race.leader is None
        assert [s.entrant for s in race.standings()] == ["a", "b"]

    def test_before_it_ever_ran(self):
        race = Race(["a", "b"])
        race.withdraw("b")
        assert race.standings() == []

    def test_only_a_live_one(self):
        race = Race(["a", "b"])
        with pytest.raises(ValueError, match="'x' is not live in this race"):
            race.withdraw("x")


class TestBlocks:
    def test_hold_exactly_the_live_entrants(self):
        race = Race(["a", "b"])
        with pytest.raises(ValueError, match=r"missing: \['b'\], not live: \['x'\]"):
            race.record({"a": 1.0, "x": 1.0})

    @pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
    def test_hold_positive_finite_latencies(self, bad):
        race = Race(["a", "b"])
        with pytest.raises(ValueError, match="latency of 'b' must be positive and finite"):
            race.record({"a": 1.0, "b": bad})
        assert race.blocks == 0

    @pytest.mark.parametrize("entrants", [[], ["a", "a"]])
    def test_entrants_have_different_names(self, entrants):
        with pytest.raises(ValueError, match="entrants with different names"):
            Race(entrants)

    def test_protected_ones_take_part(self):
        with pytest.raises(ValueError, match=r"not in the race: \['x'\]"):
            Race(["a"], protect=frozenset({"x"}))


class TestStandings:
    def test_best_first_then_those_that_left(self):
        truth = {"c": 1.3, "a": 1.0, "far": 4.0, "b": 1.005}
        race = Race(list(truth), RaceRules(max_blocks=12))
        run(race, truth, noise=0.01)
        standings = race.standings()
        assert [s.entrant for s in standings] == ["a", "b", "c", "far"]
        assert [s.dropped_at for s in standings] == [None, None, 8, 3]
        assert standings[0].ratio.value == 1.0
        assert standings[2].ratio.low < 1.3 < standings[2].ratio.high
        assert standings[3].ratio.high == math.inf

    def test_median_is_in_seconds(self):
        race = Race(["a", "b"], RaceRules(max_blocks=3))
        for latency in (1.0, 2.0, 9.0):
            race.record({"a": latency, "b": latency})
        assert race.standings()[0].median == pytest.approx(2.0)


@quick
@given(seed=st.integers(0, 1000), entrants=st.integers(2, 8))
def test_a_race_can_be_replayed(seed, entrants):
    truth = {f"e{index}": 1 + index / 20 for index in range(entrants)}
    first, second = Race(list(truth)), Race(list(truth))
    run(first, truth, seed)
    run(second, truth, seed)
    assert first.standings() == second.standings()
    assert first.finished == second.finished


@quick
@given(seed=st.integers(0, 1000), scale=st.floats(1e-6, 1e3))
def test_units_and_drift_do_not_matter(seed, scale):
    rng = np.random.default_rng(seed)
    blocks = rng.lognormal(0.0, 0.05, (64, 6)) * np.linspace(1.0, 1.3, 6)
    drift = scale * np.exp(rng.normal(0.0, 0.5, (64, 1)))
    names = list("abcdef")
    plain, drifted = replay(blocks, names), replay(blocks * drift, names)
    assert (plain.winner, plain.runs) == (drifted.winner, drifted.runs)


def test_equals_are_rarely_dropped():
    rng = np.random.default_rng(1)
    dropped = 0
    for _ in range(200):
        race = Race(["a", "b"], RaceRules(max_blocks=20))
        while race.finished is None:
            dropped += len(race.record(dict(zip("ab", rng.lognormal(0.0, 0.03, 2), strict=True))))
    # Either of the two can be the one that is dropped, hence twice alpha.
    assert dropped / 200 <= 0.10


def test_the_best_wins_with_fewer_runs():
    rng = np.random.default_rng(2)
    good, runs, exhaustive = [], 0, 0
    names = [f"e{index}" for index in range(12)]
    for _ in range(30):
        truth = 1 + rng.uniform(0.0, 0.5, 12)
        drift = np.exp(np.cumsum(rng.normal(0.0, 0.05, (64, 1)), axis=0))
        result = replay(truth * drift * rng.lognormal(0.0, 0.03, (64, 12)), names, truth=truth)
        good.append(result.regret <= 0.01)
        runs += result.runs
        exhaustive += result.exhaustive_runs
    assert np.mean(good) >= 0.95
    assert runs <= 0.65 * exhaustive


class TestReplay:
    def test_counts_runs_and_regret(self):
        blocks = np.tile([1.0, 1.1, 5.0], (20, 1))
        result = replay(blocks, ["a", "b", "c"], truth=np.array([1.0, 0.8, 5.0]))
        assert (result.winner, result.regret) == ("a", pytest.approx(0.25))
        assert result.runs == 3 * 3 + 5 * 2
        assert result.exhaustive_runs == 60

    def test_takes_the_whole_recording_for_the_truth(self):
        blocks = np.array([[1.0, 1.1]] * 4 + [[20.0, 10.0]] * 5)
        assert relative_latencies(blocks)[0] > relative_latencies(blocks)[1]
        result = replay(blocks, ["a", "b"], RaceRules(max_blocks=4))
        assert result.winner == "a"
        assert result.regret > 0

    def test_a_block_has_a_latency_per_name(self):
        with pytest.raises(ValueError, match=r"2 entrants need blocks of as many; got \(5, 3\)"):
            replay(np.ones((5, 3)), ["a", "b"])


class TestNetRace:
    """Net energies, which are compared by their differences."""

    RULES = RaceRules(max_blocks=15, hopeless_ratio=1.3)

    def raced(self, means: dict[str, float], noise: float, rules: RaceRules = RULES) -> Race:
        rng, race = np.random.default_rng(8), Race(list(means), rules, net=True)
        while race.finished is None:
            race.record({e: float(rng.normal(means[e], noise)) for e in race.live})
        return race

    def test_who_needs_more_is_dropped_though_some_blocks_are_below_zero(self):
        race = self.raced({"a": 1.0, "b": 11.0, "c": 4.0}, 0.8)
        assert race.leader == "a"
        assert {drop.entrant for drop in race.drops} == {"b", "c"}
        ratios = {s.entrant: s.ratio.value for s in race.standings("b")}
        assert ratios["a"] == pytest.approx(1 / 11, rel=0.5)

    def test_nobody_is_dropped_for_noise(self):
        race = self.raced({"a": 0.0, "b": 0.0, "c": 0.0}, 1.0)
        assert race.finished is Finish.BLOCK_LIMIT
        assert race.live == ("a", "b", "c")

    def test_the_same_twice_is_equivalent(self):
        assert self.raced({"a": 10.0, "b": 10.0}, 0.001).finished is Finish.EQUIVALENT
