"""The newest nights of a suite with all of their values, as pictures want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf

from sqlalchemy import select

from db.night_records import Series
from db.questions.nightly.interval import end, ends_of
from db.reader import StoreReader, columns
from db.schema import NightRow, NightValueRow, SeriesRow
from farm.measurement import Estimate


@dataclass(frozen=True, slots=True)
class Point:
    """What one night says of one series, in short; see ``db.night_records.NightValue``.

    low, high: of the ratio's 95 % interval; 0 and infinity where too few values have none.
    """

    series_id: str
    night: str
    verdict: str
    value: float | None
    uncertainty: float | None
    seconds: float | None
    software_id: str
    low: float = 0.0
    high: float = inf

    @property
    def ratio(self) -> Estimate | None:
        """Above 1 is worse; None where it was not measured."""
        return None if self.value is None else Estimate(exp(self.value), self.low, self.high)


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
    with store.reading() as session:
        query = select(
            *(row.series_id, row.night, row.verdict, row.value, row.uncertainty, row.seconds),
            row.software_id,
            *ends_of(session),
        ).where(row.night.in_(nights))
        if series:
            query = query.where(row.series_id.in_(series))
        return tuple(
            Point(*(*known, end(low, 0.0), end(high, inf)))
            for *known, low, high in session.execute(query)
        )
