"""Nights of a suite: its series, their values, and the changes in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import select

from db.night_records import ChangePoint, Night, NightValue, Series
from db.reader import StoreReader, columns
from db.schema import ChangePointRow, NightRow, NightValueRow, SeriesRow
from farm.errors import NotInStore, OptionError

_SHOWN = 4


def nights(store: StoreReader, suite: str, *, limit: int | None = None) -> tuple[Night, ...]:
    """The nights of a suite, newest first."""
    query = (
        columns(NightRow, Night)
        .where(NightRow.suite == suite)
        .order_by(NightRow.started_at.desc(), NightRow.name.desc())
    )
    with store.reading() as session:
        return tuple(Night(*row) for row in session.execute(query.limit(limit)))


def series_of(store: StoreReader, suite: str) -> tuple[Series, ...]:
    """The series of a suite, by case, environment and metric."""
    row = SeriesRow
    query = (
        columns(row, Series)
        .where(row.suite == suite)
        .order_by(row.case, row.environment, row.metric, row.id)
    )
    with store.reading() as session:
        return tuple(Series(*found) for found in session.execute(query))


def values_of(store: StoreReader, series_id: str) -> tuple[NightValue, ...]:
    """What the nights say of one series, oldest first."""
    row = NightValueRow
    query = (
        columns(row, NightValue)
        .where(row.series_id == series_id)
        .order_by(row.measured_at, row.night)
    )
    with store.reading() as session:
        return tuple(NightValue(*found) for found in session.execute(query))


def values_on(store: StoreReader, night: str) -> tuple[NightValue, ...]:
    """What one night says of every series that it measured."""
    query = columns(NightValueRow, NightValue).where(NightValueRow.night == night)
    with store.reading() as session:
        return tuple(NightValue(*found) for found in session.execute(query))


def changes_of(
    store: StoreReader, series_ids: Sequence[str]
) -> Mapping[str, tuple[ChangePoint, ...]]:
    """The change points of each series, oldest first; series without any are not there."""
    row = ChangePointRow
    query = (
        columns(row, ChangePoint)
        .where(row.series_id.in_(series_ids))
        .order_by(row.found_at, row.id)
    )
    found: dict[str, tuple[ChangePoint, ...]] = defaultdict(tuple)
    with store.reading() as session:
        for values in session.execute(query):
            change = ChangePoint(*values)
            found[change.series_id] += (change,)
    return dict(found)


def change_called(store: StoreReader, text: str) -> tuple[ChangePoint, Series]:
    """The change point whose id this is, or begins so, with its series.

    Raises NotInStore. Raises OptionError: no id, or several begin so.
    """
    if not text.strip():
        raise OptionError("Give the id of a change; `farm nightly check SUITE` names them.")
    text = text.lower()
    begins = ChangePointRow.id.startswith(text, autoescape=True)
    query = columns(ChangePointRow, ChangePoint).where(begins).order_by(ChangePointRow.id)
    with store.reading() as session:
        found = [ChangePoint(*row) for row in session.execute(query.limit(_SHOWN))]
        if not found:
            raise NotInStore(
                f"There is no change {text!r} in the store at {store.place}. "
                "`farm nightly check SUITE` names those of the last night."
            )
        if len(found) > 1 and found[0].id != text:
            names = ", ".join(change.id for change in found)
            raise OptionError(f"The change {text!r} is ambiguous: it may be {names}.")
        change = found[0]
        series = session.execute(
            columns(SeriesRow, Series).where(SeriesRow.id == change.series_id)
        ).one()
        return change, Series(*series)


def suites(store: StoreReader) -> tuple[str, ...]:
    """The names of all suites that ever ran."""
    with store.reading() as session:
        return tuple(session.scalars(select(NightRow.suite).distinct().order_by(NightRow.suite)))
