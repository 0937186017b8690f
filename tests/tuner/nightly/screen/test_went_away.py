from __future__ import annotations

import numpy as np

from tests.tuner.nightly.screen.nights import quiet, series
from tuner.nightly.screen.series import Change
from tuner.nightly.screen.went_away import went_away

CHANGE = Change(first=60, earliest=60, latest=60, step=0.05, level=0.0, found=61)


def lasting(nights: int, until: int) -> np.ndarray:
    values = quiet(until)
    values[60:] = 0.0
    values[60 : 60 + nights] = 0.05
    return values


def test_not_before_the_night_after():
    assert not went_away(series(lasting(2, until=62)), CHANGE)


def test_back_on_the_first_night_after():
    assert went_away(series(lasting(2, until=63)), CHANGE)


def test_back_on_the_second_night_after():
    assert not went_away(series(lasting(3, until=63)), CHANGE)
    assert went_away(series(lasting(3, until=64)), CHANGE)


def test_what_comes_back_later_is_a_change_of_its_own():
    assert not went_away(series(lasting(4, until=80)), CHANGE)


def test_what_stays_stays():
    assert not went_away(series(lasting(20, until=80)), CHANGE)


def test_a_small_step_needs_both_nights():
    values = lasting(0, until=64)
    values[60:62] = 0.02
    assert not went_away(series(values[:63]), CHANGE)
    assert went_away(series(values), CHANGE)
