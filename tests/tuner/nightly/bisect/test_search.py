"""Binary search on a line of points, some of which cannot be looked at."""

from __future__ import annotations

from math import ceil, log2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner.nightly.bisect.search import Search, between


def searched(points: int, first_bad: int, unknown: set[int]) -> tuple[Search, int]:
    search, looks = Search(points), 0
    while (at := search.next) is not None:
        looks += 1
        search.take(at, bad=None if at in unknown else at >= first_bad)
    return search, looks


@given(st.data())
def test_it_ends_at_the_border(data: st.DataObject) -> None:
    points = data.draw(st.integers(2, 60))
    first_bad = data.draw(st.integers(1, points - 1))
    search, looks = searched(points, first_bad, set())
    assert (search.last_good, search.first_bad, search.unknown) == (first_bad - 1, first_bad, ())
    assert looks <= ceil(log2(points))


@given(st.data())
def test_what_cannot_be_looked_at_is_named_where_it_matters(data: st.DataObject) -> None:
    points = data.draw(st.integers(2, 40))
    first_bad = data.draw(st.integers(1, points - 1))
    unknown = data.draw(st.sets(st.integers(1, max(1, points - 2))))
    search, _ = searched(points, first_bad, unknown)
    assert search.last_good < first_bad <= search.first_bad
    assert search.unknown == tuple(range(search.last_good + 1, search.first_bad))
    assert set(search.unknown) <= unknown


def test_two_points_need_no_look() -> None:
    search = Search(2)
    assert (search.next, search.last_good, search.first_bad) == (None, 0, 1)
    with pytest.raises(ValueError, match="a good and a bad point; got 1"):
        Search(1)


def test_the_versions_between() -> None:
    released = ("1.0", "1.1", "1.2", "1.10")
    assert between(released, "1.1", "1.10") == ("1.1", "1.2", "1.10")
    assert between(released, "1.2", "1.0") == ("1.2", "1.1", "1.0"), "an upgrade undone"
    assert between(released, "1.0", "1.0") == ("1.0",)
