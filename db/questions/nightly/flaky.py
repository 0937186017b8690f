"""Series whose nights cannot be relied on: each reason is one condition and one sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import expm1
from statistics import median

from sqlalchemy import select

from db.night_records import ChangeState
from db.questions.nightly.series import Case, NightOfSeries, history
from db.questions.views import EVERYTHING, Subject
from db.reader import StoreReader
from db.schema import ChangePointRow
from farm.units import counted

NIGHTS = 30
"""Nights of a series that are looked at, the newest."""

_LEAST_NIGHTS = 5
_SHARE = 0.2  # of nights that say nothing
_FALSE_ALARMS = 2
_SPREAD = 0.02  # between nights; less is nobody's concern
_TIMES_WITHIN = 3.0  # the spread between nights over that within one
_NO_CHANGE = (ChangeState.REFUTED, ChangeState.AWAY, ChangeState.NOISE)
# The median of |x - y| of normal values of which each has standard deviation 1.
_MEDIAN_DIFFERENCE = 0.9539


@dataclass(frozen=True, slots=True)
class Flaky:
    """A series with the reasons not to rely on it. Counts are of its newest nights.

    false_alarms: changes that were refuted, went away by themselves or were called noise. spread:
    typical deviation of one night from the next, a ratio minus 1; uncertainty: the same as the
    blocks within a night would make it. None where too few nights were measured.
    """

    suite: str
    case_name: str
    device: str
    metric: str
    environment: str
    model: str
    nights: int
    not_measured: int
    inconclusive: int
    false_alarms: int
    spread: float | None
    uncertainty: float | None
    series_id: str

    def reasons(self) -> Iterator[str]:
        """Why it is flaky, one sentence each; none of a series that is not."""
        if self.nights < _LEAST_NIGHTS:
            return
        of = f"of {counted(self.nights, 'night')}"
        if self.not_measured >= _SHARE * self.nights:
            yield f"{self.not_measured} {of} could not be measured."
        if self.inconclusive >= _SHARE * self.nights:
            yield f"{self.inconclusive} {of} were inconclusive."
        if self.false_alarms >= _FALSE_ALARMS:
            yield f"{self.false_alarms} alarms were none."
        if self.spread is None or self.uncertainty is None or self.spread < _SPREAD:
            return
        if self.spread > _TIMES_WITHIN * self.uncertainty:
            yield (
                f"Nights differ by {self.spread:.1%}, and the blocks of one by "
                f"{self.uncertainty:.1%}."
            )


def flaky(
    store: StoreReader,
    subject: Subject = EVERYTHING,
    case: Case | None = None,
    nights: int = NIGHTS,
    limit: int | None = None,
) -> tuple[Flaky, ...]:
    """Series with at least one reason, by name. nights: the newest that are looked at.

    Raises NotInStore: there is no such series.
    """
    alarms = _false_alarms(store)
    rows = sorted(
        history(store, subject, case, nights=nights),
        key=lambda row: (row.suite, row.case_name, row.device, row.metric, row.series_id),
    )
    each = (
        _of_series(list(group), alarms) for _, group in groupby(rows, lambda row: row.series_id)
    )
    return tuple(series for series in each if any(series.reasons()))[:limit]


def _of_series(rows: Sequence[NightOfSeries], alarms: Mapping[tuple[str, str], int]) -> Flaky:
    """rows: nights of one series, newest first."""
    verdicts = [row.verdict for row in rows]
    values = [row.log_ratio for row in rows if row.log_ratio is not None]
    within = [row.uncertainty for row in rows if row.uncertainty is not None]
    enough = len(values) >= _LEAST_NIGHTS and within
    newest = rows[0]
    return Flaky(
        newest.suite,
        newest.case_name,
        newest.device,
        newest.metric,
        newest.environment,
        newest.model,
        len(rows),
        verdicts.count("could not measure"),
        verdicts.count("inconclusive"),
        sum(alarms.get((row.series_id, row.night), 0) for row in rows),
        expm1(_spread(values)) if enough else None,
        expm1(median(within)) if enough else None,
        newest.series_id,
    )


def _spread(values: Sequence[float]) -> float:
    """Standard deviation by the differences of neighbours, which one step hardly moves."""
    return median(abs(a - b) for a, b in pairwise(values)) / _MEDIAN_DIFFERENCE


def _false_alarms(store: StoreReader) -> Mapping[tuple[str, str], int]:
    """How often a night of a series raised a change that was none."""
    row = ChangePointRow
    query = select(row.series_id, row.found_night).where(row.state.in_(_NO_CHANGE))
    found: dict[tuple[str, str], int] = {}
    with store.reading() as session:
        for series_id, night in session.execute(query):
            found[series_id, night] = found.get((series_id, night), 0) + 1
    return found
