"""Conformal intervals: known quantiles, weights of models, coverage of simulated rows."""

import math

import numpy as np
import pytest

from tuner.learning.statistics.conformal import coverage, cv_plus, reach, scores


def test_reach_of_single_rows_is_the_conformal_quantile() -> None:
    """Of 19 exchangeable scores 0.9 takes the ceil(0.9 * 20) = 18th."""
    found = reach(np.arange(1.0, 20.0), range(19), 0.9)
    assert found == 18.0


def test_models_count_alike_however_many_rows_they_have() -> None:
    """Nine models of one row with scores 1...9, one of a thousand rows with score 0: 9 of 11."""
    scored = np.concatenate([np.arange(1.0, 10.0), np.zeros(1000)])
    models = [*range(9), *[9] * 1000]
    assert reach(scored, models, 0.5) == 5.0


def test_few_models_give_the_largest_score() -> None:
    assert reach(np.array([1.0, 3.0, 2.0]), ["a", "b", "c"]) == 3.0
    assert reach(np.array([]), []) == math.inf


def test_cv_plus_with_one_model_is_split_conformal() -> None:
    errors = np.arange(1.0, 20.0)
    low, high = cv_plus(errors, [0] * 19, np.array([[10.0, 0.0]]), 0.9)
    assert high.tolist() == [28.0, 18.0]
    assert low.tolist() == [-8.0, -18.0]


def test_cv_plus_of_too_few_rows_says_nothing() -> None:
    low, high = cv_plus(np.array([1.0]), [0], np.array([[0.0]]))
    assert (low[0], high[0]) == (-math.inf, math.inf)


def test_scores_are_errors_over_spreads() -> None:
    assert scores(np.array([-2.0, 1.0]), np.array([1.0, 2.0])).tolist() == [2.0, 0.5]


def test_models_that_are_left_out_are_covered() -> None:
    """Errors of one model go the same way; spreads tell some rows from others."""
    random = np.random.default_rng(5)
    models = np.repeat(np.arange(200), 10)
    spreads = random.uniform(0.05, 0.2, 2000)
    errors = spreads * (random.normal(size=200)[models] + random.normal(size=2000))
    found = coverage(errors, spreads, models.tolist())
    assert (found.rows, found.models) == (2000, 200)
    assert found.share == pytest.approx(0.9, abs=0.03)
    assert 0.2 < found.half_width < 0.4
