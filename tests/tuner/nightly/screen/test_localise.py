from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tuner.nightly.screen.nights import quiet, series, stepped
from tuner.nightly.screen.localise import gains, localise


def test_gains_are_those_of_least_squares():
    scores, rho, deviation = quiet(30, seed=4) / 0.01, 0.4, 0.8
    lags = np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    inverse = np.linalg.inv(deviation**2 / (1 - rho**2) * rho**lags)

    def misfit(design: np.ndarray) -> float:
        levels = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse @ scores)
        left = scores - design @ levels
        return float(left @ inverse @ left)

    flat = np.ones((30, 1))
    won = gains(scores, rho, deviation)
    for first in (1, 7, 29):
        step = (np.arange(30) >= first).astype(float)[:, None]
        expected = (misfit(flat) - misfit(np.hstack([flat, step]))) / 2
        assert won[first] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(5))
def test_five_deviations_are_located_exactly(seed):
    change = localise(stepped(60, 10, 5.0, seed), age=8)
    assert change.first == 60
    assert change.earliest <= 60 <= change.latest
    assert change.step == pytest.approx(0.05, abs=0.01)
    assert change.level == pytest.approx(0.0, abs=0.005)
    assert change.found == 69
    assert change.causes == ()


def test_indices_are_those_of_all_nights():
    whole = stepped(60, 10, 5.0)
    assert localise(replace(whole, start=15), age=8).first == 60


def test_a_known_change_nearby_is_named_and_weighs_more():
    values = np.where(np.arange(70) >= 60, 0.03, 0.0) + quiet(70) / 10
    values[60] = 0.015  # between both levels: either night could be the first
    plain = series(values, uncertainty=0.01)
    for known in (60, 61):
        nights = tuple(
            replace(night, software="b" if index >= known else "a")
            for index, night in enumerate(plain.nights)
        )
        change = localise(replace(plain, nights=nights), age=8)
        assert (change.first, change.causes) == (known, ("software",))
