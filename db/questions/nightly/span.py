"""The newest nights of a suite with all of their values, as pictures want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select

from db.reader import StoreReader
from db.schema import NightValueRow


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


def points_on(store: StoreReader, nights: Sequence[str]) -> tuple[Point, ...]:
    """All values of these nights, in no order."""
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
    with store.reading() as session:
        return tuple(Point(*found) for found in session.execute(query))
