"""The newest nights of a suite with all of their values, as pictures want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from db.reader import StoreReader, columns
from db.records import Series
from db.schema import NightRow, NightValueRow, SeriesRow


@dataclass(frozen=True, slots=True)
class Point:
    """What one night says of one series, in short; see ``db.records.NightValue``."""

    series_id: str
    night: str
    verdict: str
    value: float | None
    uncertainty: float | None
    seconds: float | None
    software_id: str


def series_of_model(store: StoreReader, sha256: str) -> tuple[Series, ...]:
    """The series that follow a model, of the suite that ran last, by case and metric."""
    row = SeriesRow
    newest = (
        select(NightRow.suite)
        .where(NightRow.suite.in_(select(row.suite).where(row.model_sha256 == sha256)))
        .order_by(NightRow.started_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = (
        columns(row, Series)
        .where(row.model_sha256 == sha256, row.suite == newest)
        .order_by(row.case, row.environment, row.metric, row.id)
    )
    with store.reading() as session:
        return tuple(Series(*found) for found in session.execute(query))


def points_on(
    store: StoreReader, nights: Sequence[str], series: Sequence[str] = ()
) -> tuple[Point, ...]:
    """Values of these nights, in no order. series: ids of those that are meant; none for all."""
    row = NightValueRow
    query = select(
        row.series_id,
        row.night,
        row.verdict,
        row.value,
        row.uncertainty,
        row.seconds,
        row.software_id,
    ).where(row.night.in_(nights))
    if series:
        query = query.where(row.series_id.in_(series))
    with store.reading() as session:
        return tuple(Point(*found) for found in session.execute(query))
