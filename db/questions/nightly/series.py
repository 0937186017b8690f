"""Series of nights: how each went on, what is open, and which cannot be relied on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.orm import Session

from db.questions.views import EVERYTHING, Subject, asked, found, view_of
from db.reader import StoreReader
from db.schema import SeriesRow
from farm.errors import NotInStore, OptionError
from farm.measurement import Metric
from farm.text import did_you_mean


@dataclass(frozen=True, slots=True)
class Case:
    """Which series: those of a suite, or of one of its cases."""

    suite: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> Case:
        """``SUITE`` or ``SUITE/CASE``. Raises OptionError."""
        suite, slash, name = text.partition("/")
        if not suite or (slash and not name):
            raise OptionError(
                f"--series takes SUITE or SUITE/CASE, for example shop-floor/detector, got "
                f"'{text}'."
            )
        return cls(suite, name)

    def __str__(self) -> str:
        """As it is given."""
        return f"{self.suite}/{self.name}" if self.name else self.suite


@dataclass(frozen=True, slots=True)
class NightOfSeries:
    """A row of the view ``history``: what one night says of one series.

    log_ratio: log of the value over that of the last good state, above 0 is worse; uncertainty is
    its standard error. value, good_value: in the metric's unit. change_state: of a change that
    begins on this night. ratio_low, ratio_high: the 95 % interval of the ratio by which the night
    was judged; None where it was not measured or has none. It lies about the ratio as its blocks
    do: not evenly, as one by the standard error would.
    """

    suite: str
    case_name: str
    device: str
    metric: str
    environment: str
    model: str
    model_sha256: str
    night: str
    measured_at: datetime
    verdict: str
    log_ratio: float | None
    uncertainty: float | None
    value: float | None
    good_value: float | None
    p_value: float | None
    change_state: str | None
    machine: str
    software_id: str
    run: str
    series_id: str
    ratio_low: float | None
    ratio_high: float | None


@dataclass(frozen=True, slots=True)
class OpenRegression:
    """A row of the view ``regressions``: a series that became worse, was confirmed, and stays.

    ratio: new level over old, above 1 is worse, with its interval. last_log_ratio: of the newest
    night, as in ``NightOfSeries``.
    """

    suite: str
    case_name: str
    device: str
    metric: str
    environment: str
    model: str
    model_sha256: str
    ratio: float
    low: float
    high: float
    state: str
    note: str
    first_night: str
    found_night: str
    found_at: datetime
    last_night: str | None
    last_log_ratio: float | None
    change_id: str
    series_id: str


def history(
    store: StoreReader,
    subject: Subject = EVERYTHING,
    case: Case | None = None,
    metric: Metric | None = None,
    nights: int | None = None,
    limit: int | None = None,
) -> tuple[NightOfSeries, ...]:
    """Nights of series, newest first. nights: at most so many of each series; limit: of all.

    Raises NotInStore: there is no such series.
    """
    each = min((n for n in (nights, limit) if n is not None), default=None)
    view = view_of("history", NightOfSeries)
    with store.reading() as session:
        series = _series(session, store, subject, case, metric)
        rows = [
            NightOfSeries(*night)
            for series_id in series
            for night in session.execute(_newest(view, series_id).limit(each))
        ]
    rows.sort(key=lambda row: row.measured_at, reverse=True)
    return tuple(rows[:limit])


def regressions(
    store: StoreReader,
    subject: Subject = EVERYTHING,
    case: Case | None = None,
    above: float = 0.0,
    limit: int | None = None,
) -> tuple[OpenRegression, ...]:
    """Those that are open, the newest first. above: only where the ratio is more than 1 + above.

    Raises NotInStore: there is no such series.
    """
    view = view_of("regressions", OpenRegression)
    order = (view.c.found_at.desc(), view.c.suite, view.c.case_name, view.c.change_id)
    with store.reading() as session:
        query = asked(view, subject, order).where(view.c.ratio > 1.0 + above)
        if case is not None:
            query = query.where(view.c.series_id.in_(_series(session, store, subject, case, None)))
        return found(session, OpenRegression, query, limit)


def _newest(view: Table, series_id: str) -> Any:  # noqa: ANN401 (a Select of every column)
    """The nights of one series, which an index has in order."""
    query = select(view).where(view.c.series_id == series_id)
    return query.order_by(view.c.measured_at.desc())


def _series(
    session: Session,
    store: StoreReader,
    subject: Subject,
    case: Case | None,
    metric: Metric | None,
) -> Sequence[str]:
    """Ids of the series that are asked for. Raises NotInStore: there is none of this case."""
    query = select(SeriesRow.id).where(*subject.conditions(SeriesRow.__table__), *_of_case(case))
    if metric is not None:
        query = query.where(SeriesRow.metric == metric)
    ids = session.scalars(query).all()
    if not ids and case is not None:
        _require(session, store, case)
    return ids


def _of_case(case: Case | None) -> Iterator[ColumnElement[bool]]:
    if case is not None:
        yield SeriesRow.suite == case.suite
        if case.name:
            yield SeriesRow.case == case.name


def _require(session: Session, store: StoreReader, case: Case) -> None:
    """Raise NotInStore where a case was never followed, whatever the device or model."""
    if session.scalar(select(SeriesRow.id).where(*_of_case(case)).limit(1)) is not None:
        return
    rows = session.execute(select(SeriesRow.suite, SeriesRow.case).distinct())
    known = {str(each) for suite, name in rows for each in (Case(suite), Case(suite, name))}
    raise NotInStore(
        f"There is no series {case} in the store at {store.place}. "
        f"{did_you_mean(str(case), sorted(known))}`farm results history` lists what there is."
    )
