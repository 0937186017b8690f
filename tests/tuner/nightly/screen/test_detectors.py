"""The detectors against textbook formulas, brute force and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tuner.nightly.screen.nights import autoregressive, quiet
from tuner.nightly.screen.detectors import cusum, mean_scan, positions, rank_scan, step_t
from tuner.nightly.screen.scores import noise


def evidence(values: np.ndarray) -> list:
    where = positions(values, alpha=0.01)
    unsure = np.full(len(values), 0.002)
    return [mean_scan(values, unsure, where), rank_scan(values, where), cusum(values, unsure)]


class TestStep:
    def test_is_students_where_nights_are_independent(self):
        # Alternating nights are negatively correlated, which counts as no correlation.
        before = np.tile([1.0, -1.0], 15)
        after = np.array([2.0, 3.0, 4.0])
        t, freedom = step_t(np.concatenate([before, after]), age=3)
        spread = np.sqrt(29 / 28)
        assert t == pytest.approx(3.0 / (spread * np.sqrt(1 / 3 + 1 / 30)))
        assert freedom == 29

    def test_is_the_least_squares_step_of_correlated_nights(self):
        scores = autoregressive(60, 0.5, seed=8) / 0.01
        usual = noise(scores[:50])
        rho, n, age = usual.correlation, 50, 10
        covariance = (
            usual.deviation**2
            / (1 - rho**2)
            * rho ** np.abs(np.subtract.outer(np.arange(age), np.arange(age)))
        )
        # Given the last night before, what is left is known up to the step.
        carried = rho ** np.arange(1, age + 1)
        left = scores[n:] - usual.mean - carried * (scores[n - 1] - usual.mean)
        given = covariance - usual.deviation**2 / (1 - rho**2) * np.outer(carried, carried)
        weights = np.linalg.solve(given, np.ones(age))
        step = weights @ left / weights.sum()
        # The error of the level is in every night, less what the last one before brings along.
        error = (weights @ (1 - carried) / weights.sum()) ** 2 * usual.mean_variance
        expected = step / np.sqrt(1 / weights.sum() + error)
        assert step_t(scores, age)[0] == pytest.approx(expected)


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_p_values_are_what_they_say_or_larger(rho):
    seen = [evidence(autoregressive(100, rho, seed)) for seed in range(400)]
    smallest = np.array([[min(one.up.p_value, one.down.p_value) for one in s] for s in seen])
    # 400 series: a true share of 0.10 shows up as 0.13 in one of fifty tests.
    assert np.all(np.mean(2 * smallest <= 0.10, axis=0) <= 0.13)


@pytest.mark.parametrize("sign", [1, -1])
def test_all_three_see_five_deviations_on_the_third_night(sign):
    values = quiet(103)
    values[100:] += sign * 0.05
    for one in evidence(values):
        seen, other = (one.up, one.down) if sign > 0 else (one.down, one.up)
        assert seen.p_value < 0.001
        assert other.p_value > 0.5
        assert seen.age <= 6


class TestPositions:
    def test_share_one_probability(self):
        where = positions(quiet(100), 0.01)
        assert sum(one.share for one in where) == pytest.approx(1)
        assert [one.age for one in where] == [2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64]
        assert where[0].share == pytest.approx(2 * where[2].share)

    def test_keep_twenty_nights_before(self):
        assert [one.age for one in positions(quiet(26), 0.01)] == [2, 3, 4, 6]

    def test_spend_half_of_it_on_what_is_known(self):
        where = {one.age: one.share for one in positions(quiet(100), 0.01, frozenset({5, 90}))}
        assert where[5] == pytest.approx(0.5)
        assert 90 not in where
        assert sum(where.values()) == pytest.approx(1)

    def test_two_spikes_in_a_row_are_nothing_new_where_one_night_in_ten_has_one(self):
        values = quiet(100)
        values[5::10] += 0.1
        values[98:] += 0.1
        assert not positions(values, 0.01)[0].up
        values[5::10] -= 0.1
        assert positions(values, 0.01)[0].up
