from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.tuner.nightly.screen.nights import quiet, series, stepped
from tuner.nightly.screen.localise import localise


@pytest.mark.parametrize("seed", range(5))
def test_five_deviations_are_located_exactly(seed):
    change = localise(stepped(60, 10, 5.0, seed), age=8, upwards=True)
    assert change.first == 60
    assert change.earliest <= 60 <= change.latest
    assert change.step == pytest.approx(0.05, abs=0.01)
    assert change.level == pytest.approx(0.0, abs=0.005)
    assert change.found == 69
    assert change.causes == ()


def test_indices_are_those_of_all_nights():
    whole = stepped(60, 10, 5.0)
    assert localise(replace(whole, start=15), age=8, upwards=True).first == 60


def test_a_known_change_nearby_is_named_and_weighs_more():
    values = np.where(np.arange(70) >= 60, 0.03, 0.0) + quiet(70) / 10
    values[60] = 0.015  # between both levels: either night could be the first
    plain = series(values, uncertainty=0.01)
    for known in (60, 61):
        nights = tuple(
            replace(night, software="b" if index >= known else "a")
            for index, night in enumerate(plain.nights)
        )
        change = localise(replace(plain, nights=nights), age=8, upwards=True)
        assert (change.first, change.causes) == (known, ("software",))


def test_a_step_down_is_located_as_one_up_is():
    up = localise(stepped(60, 10, 3.0, seed=2), age=8, upwards=True)
    down = localise(stepped(60, 10, -3.0, seed=2), age=8, upwards=False)
    assert (up.first, down.first) == (60, 60)
    assert down.step < 0 < up.step


def test_a_spike_before_a_step_is_no_part_of_it():
    values = quiet(64)
    values[[10, 30, 57]] += 0.12
    values[60:] += 0.03
    assert localise(series(values), age=4, upwards=True).first == 60


def test_one_night_is_located_only_where_it_was_seen_on_its_own():
    one = stepped(60, 1, 6.0)
    assert localise(one, age=1, upwards=True).first == 60
    assert localise(one, age=2, upwards=True).first == 59


def test_a_step_that_is_older_than_all_that_is_looked_at():
    assert localise(stepped(60, 200, 8.0), age=14, upwards=True).first >= 196
