"""Nights, their values and the changes in them, whatever database the store is in."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from db.night_records import ChangePoint, ChangeState, Night, NightValue, Series
from db.questions.nightly.nights import (
    change_called,
    changes_of,
    nights,
    series_of,
    suites,
    values_of,
    values_on,
)
from db.records import utc_now
from db.store import Store
from farm.errors import NotInStore, OptionError, StoreError
from farm.measurement import Metric
from tests.db.samples import MACHINE, MODEL, RUN, SOFTWARE, START, fill

SERIES = Series.identify("shop", "kws", "cpu", Metric.LATENCY, "", MODEL.sha256)
BESIDE = Series.identify("shop", "kws", "cpu", Metric.LATENCY, "next", MODEL.sha256)


def night(number: int) -> Night:
    at = START + timedelta(days=number)
    return Night(f"shop-{number}", "shop", MACHINE.id, at, at + timedelta(minutes=3))


def value(number: int, series: Series = SERIES) -> NightValue:
    return NightValue(
        *(series.id, f"shop-{number}", START + timedelta(days=number), RUN.name, "no change"),
        *(0.01 * number, 0.002, 1.1e-3, 1e-3, 0.3, MACHINE.id, SOFTWARE.id),
    )


def change(text: str) -> ChangePoint:
    return ChangePoint(
        *(text, SERIES.id, "shop-1", "shop-2", START, 1.03, 1.02, 1.04, ChangeState.CONFIRMED)
    )


@pytest.fixture
def shop(store: Store) -> Store:
    fill(store)
    store.add_series(SERIES)
    store.add_series(BESIDE)
    for number in range(3):
        store.add_night(night(number))
        store.add_night_value(value(number))
    return store


def test_nights_come_newest_first(shop: Store) -> None:
    assert nights(shop, "shop") == (night(2), night(1), night(0))
    assert nights(shop, "shop", limit=1) == (night(2),)
    assert nights(shop, "another") == ()
    assert suites(shop) == ("shop",)


def test_values_come_oldest_first(shop: Store) -> None:
    assert values_of(shop, SERIES.id) == (value(0), value(1), value(2))
    assert values_of(shop, BESIDE.id) == ()
    shop.add_night_value(value(2, BESIDE))
    assert set(values_on(shop, "shop-2")) == {value(2), value(2, BESIDE)}


def test_a_value_is_replaced_when_it_was_judged(shop: Store) -> None:
    judged = replace(value(1), verdict="regression", details='{"judged": true}')
    shop.add_night_value(judged)
    assert values_of(shop, SERIES.id) == (value(0), judged, value(2))


def test_a_series_keeps_its_id_and_gets_a_good_state(shop: Store) -> None:
    good = replace(SERIES, good='{"artifact": "abc"}')
    shop.add_series(good)
    assert series_of(shop, "shop") == (good, BESIDE)
    assert SERIES.id != BESIDE.id


def test_a_night_that_ends_stays_one_night(shop: Store) -> None:
    ended = replace(night(2), finished_at=utc_now())
    shop.add_night(ended)
    assert nights(shop, "shop", limit=1) == (ended,)


def test_changes_are_found_by_the_beginning_of_their_id(shop: Store) -> None:
    for text in ("abc1", "abc2"):
        shop.add_change(change(text))
    assert changes_of(shop, [SERIES.id, BESIDE.id]) == {
        SERIES.id: (change("abc1"), change("abc2"))
    }
    assert change_called(shop, "abc1") == (change("abc1"), SERIES)
    with pytest.raises(OptionError, match="it may be abc1, abc2"):
        change_called(shop, "abc")
    with pytest.raises(NotInStore, match="There is no change 'x'"):
        change_called(shop, "x")


def test_a_value_needs_its_night_and_its_series(shop: Store) -> None:
    with pytest.raises(StoreError):
        shop.add_night_value(value(9))


def test_values_stay_when_their_run_is_removed(shop: Store) -> None:
    shop.delete_run(RUN.name, lambda *_: True)
    assert values_of(shop, SERIES.id) == (value(0), value(1), value(2))
