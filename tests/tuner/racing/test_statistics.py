"""The rank statistics against independent implementations, brute force and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tuner.racing.statistics import (
    Comparison,
    compare,
    compare_net,
    hodges_lehmann,
    is_told,
    median_interval,
    net_ratio,
    paired_interval,
    pairs_needed,
    quantile,
    quantile_samples,
    signed_rank_p,
)

quick = settings(max_examples=60, deadline=None, derandomize=True)
differences = st.lists(st.integers(-6, 6), min_size=1, max_size=9).map(
    lambda values: np.array(values, dtype=float)
)


def brute_force_p(d: np.ndarray, alternative: str) -> float:
    """Every assignment of signs to the ranks, one by one."""
    d = d[d != 0]
    ranks = stats.rankdata(np.abs(d))
    observed = ranks[d > 0].sum()
    sums = np.array([np.dot(ranks, s) for s in itertools.product((0, 1), repeat=len(d))])
    less, greater = np.mean(sums <= observed + 1e-9), np.mean(sums >= observed - 1e-9)
    return {"less": less, "greater": greater, "two-sided": min(1.0, 2 * min(less, greater))}[
        alternative
    ]


class TestSignedRank:
    @quick
    @given(d=differences, alternative=st.sampled_from(["less", "greater", "two-sided"]))
    def test_is_exact_with_ties_and_zeros(self, d, alternative):
        assert signed_rank_p(d, alternative) == pytest.approx(brute_force_p(d, alternative))

    @pytest.mark.parametrize("pairs", [8, 30, 64])
    @pytest.mark.parametrize("alternative", ["less", "greater", "two-sided"])
    def test_agrees_with_scipy(self, pairs, alternative):
        d = np.random.default_rng(pairs).normal(0.2, 1.0, pairs)
        expected = stats.wilcoxon(d, alternative=alternative, method="exact").pvalue
        assert signed_rank_p(d, alternative) == pytest.approx(expected)

    def test_joins_the_normal_approximation_smoothly(self):
        d = np.random.default_rng(3).normal(0.25, 1.0, 65)
        exact = stats.wilcoxon(d, method="exact").pvalue
        assert signed_rank_p(d) == pytest.approx(exact, rel=0.1)

    def test_only_zeros_say_nothing(self):
        assert signed_rank_p(np.zeros(20)) == 1.0

    def test_smallest_one_sided_p_of_eight_pairs(self):
        assert signed_rank_p(np.arange(1.0, 9.0), "greater") == pytest.approx(1 / 256)

    @quick
    @given(d=differences)
    def test_mirrored_differences_mirror_the_alternatives(self, d):
        assert signed_rank_p(d, "less") == pytest.approx(signed_rank_p(-d, "greater"))


class TestPairedInterval:
    @quick
    @given(d=differences, shift=st.integers(-5, 5))
    def test_holds_its_centre_and_moves_with_the_data(self, d, shift):
        interval, moved = paired_interval(d, 0.9), paired_interval(d + shift, 0.9)
        assert interval.low <= interval.value <= interval.high
        assert interval.value == hodges_lehmann(d)
        assert moved.value == pytest.approx(interval.value + shift)
        assert moved.low == pytest.approx(interval.low + shift)

    @quick
    @given(seed=st.integers(0, 10_000), pairs=st.integers(6, 30))
    def test_is_the_inverse_of_the_test(self, seed, pairs):
        d = np.random.default_rng(seed).normal(0.5, 1.0, pairs)
        interval = paired_interval(d, 0.95)
        nudge = 1e-6
        assert signed_rank_p(d - interval.low - nudge) > 0.05
        assert signed_rank_p(d - interval.low + nudge) <= 0.05
        assert signed_rank_p(d - interval.high + nudge) > 0.05
        assert signed_rank_p(d - interval.high - nudge) <= 0.05

    def test_known_limits_for_six_pairs(self):
        interval = paired_interval(np.array([3.0, 1.0, 2.0, 6.0, 5.0, 4.0]), 0.95)
        assert (interval.low, interval.value, interval.high) == (1.0, 3.5, 6.0)

    def test_five_pairs_cannot_bound_95_per_cent(self):
        interval = paired_interval(np.arange(5.0), 0.95)
        assert (interval.low, interval.value, interval.high) == (-math.inf, 2.0, math.inf)

    @pytest.mark.parametrize("pairs", [8, 20, 80])
    def test_covers_the_centre_as_often_as_it_says(self, pairs):
        rng = np.random.default_rng(pairs)
        covered = 0
        for _ in range(600):
            interval = paired_interval(rng.standard_t(3, pairs), 0.95)
            covered += interval.low <= 0.0 <= interval.high
        assert covered / 600 >= 0.93

    def test_equal_differences_give_a_point(self):
        interval = paired_interval(np.full(12, 0.5), 0.95)
        assert (interval.low, interval.value, interval.high) == (0.5, 0.5, 0.5)

    def test_the_normal_quantile_takes_over_smoothly(self):
        d = np.random.default_rng(1).normal(size=65)
        exact, approximated = paired_interval(d[:64], 0.95), paired_interval(d, 0.95)
        assert approximated.high - approximated.low == pytest.approx(
            exact.high - exact.low, rel=0.1
        )


class TestCompare:
    def test_twice_as_fast_is_a_ratio_of_two(self):
        rng = np.random.default_rng(1)
        drift = np.exp(rng.normal(0.0, 0.3, 20))
        reference = 2e-3 * drift * np.exp(rng.normal(0.0, 0.01, 20))
        comparison = compare(1e-3 * drift, reference)
        assert comparison.ratio.value == pytest.approx(2.0, rel=0.01)
        assert 1.97 < comparison.ratio.low < 2.0 < comparison.ratio.high < 2.03
        assert comparison.p_value < 1e-4
        assert comparison.pairs == 20

    def test_equal_times_are_equal(self):
        seconds = np.linspace(1.0, 2.0, 10)
        comparison = compare(seconds, seconds)
        assert comparison.p_value == 1.0
        assert comparison.ratio.low == comparison.ratio.value == comparison.ratio.high == 1.0

    def test_too_few_blocks_bound_nothing(self):
        comparison = compare(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
        assert (comparison.ratio.low, comparison.ratio.high) == (0.0, math.inf)
        assert isinstance(comparison, Comparison)

    def test_needs_pairs(self):
        with pytest.raises(ValueError, match="got 2 of the candidate and 3 of the reference"):
            compare(np.ones(2), np.ones(3))

    def test_needs_blocks(self):
        with pytest.raises(ValueError, match="at least one block; the candidate has none"):
            compare(np.array([]), np.array([]))

    @pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
    def test_needs_positive_finite_times(self, bad):
        with pytest.raises(ValueError, match="times of the reference must be positive and finite"):
            compare(np.ones(2), np.array([1.0, bad]))


class TestPairsNeeded:
    @pytest.mark.parametrize(("noise", "pairs"), [(0.02, 12), (0.05, 71)])
    def test_figures_of_the_formula(self, noise, pairs):
        assert pairs_needed(0.02, noise, alpha=0.05, power=0.9) == pairs

    def test_that_many_pairs_find_the_effect(self):
        rng = np.random.default_rng(5)
        pairs = pairs_needed(0.02, 0.03, alpha=0.05, power=0.9)
        found = [
            signed_rank_p(rng.normal(math.log(1.02), 0.03, pairs)) <= 0.05 for _ in range(1000)
        ]
        assert np.mean(found) == pytest.approx(0.9, abs=0.03)

    def test_no_noise_needs_one_pair(self):
        assert pairs_needed(0.02, 0.0) == 1

    @pytest.mark.parametrize("effect", [0.0, -1.0])
    def test_refuses_an_effect_that_is_none(self, effect):
        with pytest.raises(ValueError, match="must not be 0 and must be above -1"):
            pairs_needed(effect, 0.02)


class TestQuantile:
    @pytest.mark.parametrize(("q", "samples"), [(0.9, 64), (0.99, 662), (0.1, 64), (0.5, 11)])
    def test_is_reported_from_so_many_samples_on(self, q, samples):
        assert quantile_samples(q) == samples
        values = np.random.default_rng(2).random(samples)
        assert quantile(values[:-1], q) is None
        estimate = quantile(values, q)
        assert estimate is not None
        assert estimate.low <= estimate.value <= estimate.high

    def test_agrees_with_scipy(self):
        values = np.random.default_rng(4).random(200)
        estimate = quantile(values, 0.9)
        expected = stats.quantile_test(values, p=0.9).confidence_interval(0.95)
        assert estimate is not None
        assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))

    def test_covers_the_quantile_as_often_as_it_says(self):
        rng = np.random.default_rng(6)
        true = stats.expon.ppf(0.9)
        estimates = [quantile(rng.exponential(size=80), 0.9) for _ in range(1000)]
        covered = [e is not None and e.low <= true <= e.high for e in estimates]
        assert np.mean(covered) >= 0.94

    def test_too_much_confidence_for_the_samples(self):
        values = np.random.default_rng(2).random(64)
        assert quantile(values, 0.9, confidence=0.9999) is None

    @pytest.mark.parametrize("q", [0.0, 1.0])
    def test_refuses_the_extremes(self, q):
        with pytest.raises(ValueError, match="between 0 and 1, both excluded"):
            quantile(np.ones(100), q)

    def test_median(self):
        estimate = median_interval(np.arange(1.0, 16.0))
        assert estimate is not None
        assert (estimate.low, estimate.value, estimate.high) == (4.0, 8.0, 12.0)
        assert median_interval(np.arange(10.0)) is None


class TestNetValues:
    """Ratios of energies from which idle power was subtracted."""

    def test_without_noise_the_ratio_is_exact(self):
        under = np.linspace(1.0, 2.0, 8)
        found = net_ratio(2.5 * under, under, 0.95)
        assert (found.value, found.low, found.high) == pytest.approx((2.5, 2.5, 2.5))

    def test_the_interval_holds_what_it_says(self):
        """Half of the small one's noise is as large as itself: log ratios would not exist."""
        rng, held = np.random.default_rng(11), 0
        for _ in range(200):
            over, under = rng.normal(11.0, 1.5, 11), rng.normal(1.0, 0.7, 11)
            found = net_ratio(over, under, 0.95)
            held += found.low <= 11.0 <= found.high
            assert found.low <= found.value <= found.high
        assert held >= 185

    @quick
    @given(seed=st.integers(0, 1000), shift=st.floats(-1.0, 1.0))
    def test_the_interval_excludes_one_exactly_when_the_test_rejects(self, seed, shift):
        rng = np.random.default_rng(seed)
        over, under = rng.normal(1.0 + shift, 1.0, 9), rng.normal(1.0, 1.0, 9)
        found = compare_net(under, over)
        rejects = found.p_value <= 0.05
        if found.ratio.low > 1.0 or found.ratio.high < 1.0:
            assert rejects
        if rejects and is_told(under) and is_told(over):
            assert not found.ratio.low <= 1.0 <= found.ratio.high

    def test_nothing_is_a_multiple_of_what_is_not_told_from_zero(self):
        rng = np.random.default_rng(3)
        over, under = rng.normal(10.0, 0.5, 11), rng.normal(0.0, 0.5, 11)
        assert not is_told(under)
        assert is_told(over)
        assert net_ratio(over, under, 0.95).high == math.inf
        assert net_ratio(under, over, 0.95).low == 0.0

    def test_too_few_for_an_interval(self):
        assert is_told(np.array([1.0, 2.0]))
        assert not is_told(np.array([1.0, -0.1]))
        found = net_ratio(np.array([4.0, 4.0]), np.array([2.0, 2.0]), 0.95)
        assert (found.value, found.low, found.high) == (2.0, 0.0, math.inf)

    def test_series_of_different_lengths(self):
        with pytest.raises(ValueError, match="one value of each per block"):
            compare_net(np.ones(2), np.ones(3))
