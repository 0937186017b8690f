"""Series of nights that tests put into a store, row by row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from math import exp

from sqlalchemy import insert

from db.night_records import ChangePoint, ChangeState, Night, NightValue, Series
from db.schema import Base, ChangePointRow, NightRow, NightValueRow, SeriesRow
from db.store import Store
from db.writer import fields_of
from farm.measurement import Metric
from tests.db.samples import MACHINE, MODEL, SOFTWARE, START

SUITE = "shop-floor"


def series(case: str, metric: Metric = Metric.LATENCY, environment: str = "") -> Series:
    """A series of the suite on the model of the samples."""
    return Series.identify(SUITE, case, "cpu", metric, environment, MODEL.sha256)


def follow(store: Store, one: Series, values: Sequence[float | None], verdict: str = "") -> None:
    """Add a series with a night for each value, a log ratio; None could not be measured."""
    _add(store, SeriesRow, one)
    for number, value in enumerate(values):
        when = START + timedelta(days=number)
        night = Night(f"night-{number}", one.suite, MACHINE.id, when, when)
        with store.reading() as session:
            is_new = session.get(NightRow, night.name) is None
        if is_new:
            _add(store, NightRow, night)
        known = value is not None
        said = verdict or ("no change" if known else "could not measure")
        seconds = 1e-3 * (1 + value) if value is not None else None
        _add(
            store,
            NightValueRow,
            NightValue(
                one.id,
                night.name,
                when,
                f"run-{number}",
                said,
                value,
                0.004 if known else None,
                seconds,
                1e-3 if known else None,
                0.5 if known else None,
                MACHINE.id,
                SOFTWARE.id,
                _details(value),
            ),
        )


def change(
    store: Store, one: Series, first: int, ratio: float, state: ChangeState, note: str = ""
) -> ChangePoint:
    """Add a change that began on a night and was found on the next one."""
    found = first + 1
    point = ChangePoint(
        f"{one.case}-{first}-{state}",
        one.id,
        f"night-{first}",
        f"night-{found}",
        START + timedelta(days=found),
        ratio,
        ratio - 0.01,
        ratio + 0.01,
        state,
        note,
    )
    _add(store, ChangePointRow, point)
    return point


def _details(value: float | None) -> str:
    """With an interval that is wider above than below, as those of few blocks are."""
    if value is None:
        return "{}"
    ratio = {"value": exp(value), "low": exp(value - 0.004), "high": exp(value + 0.012)}
    return json.dumps({"ratio": ratio})


def _add(store: Store, row: type[Base], record: object) -> None:
    with store.writing() as session:
        session.execute(insert(row).values(fields_of(record)))
