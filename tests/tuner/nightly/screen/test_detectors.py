"""The tests that agree or not, against textbook formulas, brute force and simulation."""

from __future__ import annotations

import numpy as np
import pytest

from tests.tuner.nightly.screen.nights import autoregressive, quiet
from tuner.nightly.screen.detectors import mean_p, rank_p, step_t
from tuner.nightly.screen.scores import noise


def both(values: np.ndarray, age: int) -> list[float]:
    return [mean_p(values, np.full(len(values), 0.002), age), rank_p(values, age)]


def test_the_step_is_the_least_squares_step_of_correlated_nights():
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
    # The error of the level is in every night after, less what the last one before brings along.
    error = (weights @ (1 - carried) / weights.sum()) ** 2 * usual.mean_variance
    expected = step / np.sqrt(1 / weights.sum() + error)
    assert step_t(scores, age)[0] == pytest.approx(expected)


@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize("age", [2, 8])
def test_p_values_are_what_they_say(rho, age):
    seen = np.array([both(autoregressive(100, rho, seed), age) for seed in range(400)])
    # 400 series: a true share of 0.10 shows up as 0.13 in one of fifty tests.
    assert np.all(np.mean(seen <= 0.10, axis=0) <= 0.13)


@pytest.mark.parametrize("age", [2, 3, 8])
def test_both_agree_with_a_step_of_five_deviations(age):
    values = quiet(100 + age)
    values[100:] += 0.05
    assert max(both(values, age)) < 0.01
    assert min(both(-values, age)) > 0.99


def test_ranks_alone_see_a_single_spike_for_what_it_is():
    values = quiet(103)
    values[101] += 1.0
    mean, rank = both(values, 3)
    assert mean > 0.05
    assert rank > 0.01
