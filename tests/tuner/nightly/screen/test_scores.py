from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tests.tuner.nightly.screen.nights import autoregressive
from tuner.nightly.screen.scores import CLIP, clipped, noise, normal_scores, supported


def test_residuals_are_in_robust_deviations_and_clipped():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 1000.0, 4.4826])
    scores = clipped(values, np.zeros(7), before=5)
    assert scores[:5] == pytest.approx(np.array([-2, -1, 0, 1, 2]) / 1.4826)
    assert scores[5:] == pytest.approx([CLIP, 1.0])


def test_a_night_that_measured_badly_says_less():
    values, sure = np.array([-1.0, 0.0, 1.0, 3.0]), np.zeros(4)
    unsure = np.array([0.0, 0.0, 0.0, 6.0])
    assert clipped(values, unsure, 3)[3] == pytest.approx(0.5)
    assert clipped(values, sure, 3)[3] == pytest.approx(3 / 1.4826)


def test_no_night_is_far_ahead_of_the_next_one():
    scores = np.array([9.0, -9.0, 4.0, 1.0, -0.2, -3.0])
    assert supported(scores, 2).tolist() == [9.0, -9.0, 1.5, 1.0, -0.2, pytest.approx(-0.7)]
    assert supported(scores, 4).tolist() == [9.0, -9.0, 4.0, 1.0, -0.2, pytest.approx(-0.7)]


def test_normal_scores_are_quantiles_of_ranks():
    values = np.array([10.0, 30.0, 20.0, 99.0, 20.0, -5.0])
    expected = norm.ppf([0.5 / 4, 2.5 / 4, 1.5 / 4])
    # Those before rank among themselves, half of themselves below them.
    scores = normal_scores(values, before=3)
    assert scores[:3] == pytest.approx(norm.ppf(np.array([1.0, 3.0, 2.0]) / 4))
    assert scores[3:] == pytest.approx([norm.ppf(3.5 / 4), norm.ppf(2 / 4), expected[0]])


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_noise_has_the_correlation_that_it_was_made_with(rho):
    fitted = noise(autoregressive(4000, rho, seed=3) / 0.01)
    assert fitted.correlation == pytest.approx(rho, abs=0.05)
    assert fitted.deviation == pytest.approx((1 - rho**2) ** 0.5, abs=0.03)


def test_few_nights_leave_half_of_a_guess_for_their_correlation():
    for rho, expected in ((0.0, 0.2 + 0.05), (0.4, 0.4), (0.8, 0.6)):
        fitted = [noise(autoregressive(30, rho, seed) / 0.01).correlation for seed in range(300)]
        assert np.mean(fitted) == pytest.approx(expected, abs=0.04)


def test_nights_that_are_far_away_are_no_part_of_the_noise():
    scores = autoregressive(200, 0.5, seed=5) / 0.01
    spiky = scores.copy()
    spiky[10::20] += 12
    assert noise(spiky).deviation == pytest.approx(noise(scores).deviation, abs=0.05)
    assert noise(spiky).nights == 190


def test_a_series_that_never_moved_has_some_noise_all_the_same():
    fitted = noise(np.zeros(30))
    assert (fitted.correlation, fitted.deviation) == (pytest.approx(0.2 + 1 / 60), 0.5)
