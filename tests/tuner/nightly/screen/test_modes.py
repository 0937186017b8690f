from __future__ import annotations

import numpy as np
import pytest

from tests.tuner.nightly.screen.nights import autoregressive, quiet
from tuner.nightly.screen.modes import modes


def two_modes(nights: int, share: float, apart: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, 0.01, nights) + 0.01 * apart * (rng.random(nights) < share)


def test_two_levels_are_found_where_they_are():
    found = modes(two_modes(200, 0.3, 5.0, seed=1))
    assert found is not None
    assert found.low == pytest.approx(0.0, abs=0.003)
    assert found.high == pytest.approx(0.05, abs=0.003)
    assert found.share == pytest.approx(0.3, abs=0.08)
    assert found.deviation == pytest.approx(0.01, abs=0.002)


@pytest.mark.parametrize("seed", range(20))
def test_one_level_is_not_two(seed):
    assert modes(quiet(100, seed)) is None
    assert modes(autoregressive(100, 0.5, seed)) is None


def test_a_step_is_not_two_modes():
    assert modes(quiet(100) + 0.05 * (np.arange(100) >= 60)) is None


def test_few_spikes_are_not_a_mode():
    values = quiet(100)
    values[10::25] += 0.1
    assert modes(values) is None


def test_a_series_that_never_moves_has_one_level():
    assert modes(np.ones(50)) is None


def test_levels_without_any_spread_are_two():
    found = modes(np.tile([0.0, 0.0, 0.02], 20))
    assert found is not None
    assert (found.low, found.high) == (pytest.approx(0.0), pytest.approx(0.02))
