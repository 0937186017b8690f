from __future__ import annotations

import math

import pytest

from tuner.nightly.screen.series import Change, Night, Series


def test_a_night_is_a_finite_number():
    with pytest.raises(ValueError, match="the value of a night must be finite; got nan"):
        Night(math.nan)
    with pytest.raises(ValueError, match="uncertainty of a night must be finite and at least 0"):
        Night(0.0, -0.1)


def test_nights_before_an_expected_change_do_not_count():
    series = Series(tuple(Night(float(value)) for value in range(6)))
    change = Change(first=4, earliest=4, latest=4, step=1.0, level=0.0, found=5)
    assert series.without(change).values.tolist() == [0, 1, 2, 3, 4, 5]
    assert series.without(change).after(change).values.tolist() == [4, 5]
    assert series.without(change).after(change).refuted is None


def test_knows_when_software_or_machine_changed():
    nights = (
        Night(0.0, software="a", machine="x"),
        Night(0.0, software="b", machine="x"),
        Night(0.0, software="b", machine="x"),
        Night(0.0, software="c", machine="y"),
    )
    assert Series(nights).known_changes() == {1: ("software",), 3: ("software", "machine")}
    assert Series(nights, start=2).known_changes() == {3: ("software", "machine")}
