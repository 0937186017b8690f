"""Series night after night, as data that a page draws when it is asked for one of them.

Of 500 series most are never looked at, so that they are kept short: a value is a whole number of
hundred-thousandths of a log ratio, a verdict one letter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, log

from db.night_records import ChangePoint, Night, Series
from db.questions.nightly.span import Point
from db.records import Software
from farm.measurement import UNITS
from farm.text import printable
from reports.pages.section import Drawing, cell
from reports.pages.sections.provenance import version_changes, versions_of
from tuner.nightly.screen.series import Verdict

_SCALE = 1e5
_VERDICTS = tuple(str(verdict) for verdict in Verdict)


@dataclass(frozen=True, slots=True)
class Followed:
    """A series. points: oldest first. changes: of these nights. sentence: of the newest night."""

    series: Series
    points: tuple[Point, ...]
    changes: tuple[ChangePoint, ...] = ()
    sentence: str = ""

    @property
    def name(self) -> str:
        """``detector on cpu, latency``, and with which environment."""
        one = self.series
        beside = f" with environment {one.environment}" if one.environment else ""
        return f"{one.case} on {one.device}, {one.metric}{beside}"


def followed(
    series: Sequence[Series],
    nights: Sequence[Night],
    points: Sequence[Point],
    changes: Mapping[str, Sequence[ChangePoint]],
    sentences: Mapping[str, str],
) -> tuple[Followed, ...]:
    """Each series with what these nights say of it. nights: oldest first."""
    order = {night.name: number for number, night in enumerate(nights)}
    by_series: dict[str, list[Point]] = defaultdict(list)
    for point in sorted(points, key=lambda each: order[each.night]):
        by_series[point.series_id].append(point)
    return tuple(
        Followed(
            one,
            tuple(by_series[one.id]),
            tuple(c for c in changes.get(one.id, ()) if c.first_night in order),
            sentences.get(one.id, ""),
        )
        for one in series
    )


def history(
    nights: Sequence[Night], found: Sequence[Followed], software: Mapping[str, Software]
) -> Drawing:
    """What the page's script draws series from.

    nights: name and time of each, oldest first. verdicts: that letters stand for, ``a`` the
    first. series: n: their nights by number, null for all. r, l, h: log of the ratio and of the
    ends of its 95 % interval, in hundred-thousandths, null where it was not measured or has none.
    v: a letter for each night. s: values in the unit of the metric. w: nights with other software
    than the night before, and what changed. c: changes.
    """
    order = {night.name: number for number, night in enumerate(nights)}
    return {
        "nights": [[cell(n.name), f"{n.started_at:%Y-%m-%d %H:%M:%S}"] for n in nights],
        "verdicts": list(_VERDICTS),
        "series": [_one(each, order, software) for each in found],
    }


def _one(each: Followed, order: Mapping[str, int], software: Mapping[str, Software]) -> Drawing:
    at = [order[point.night] for point in each.points]
    return {
        "name": cell(each.name),
        "unit": UNITS[each.series.metric],
        "n": None if at == list(range(len(order))) else at,
        "r": [_whole(point.value) for point in each.points],
        "l": [_end(point, point.low) for point in each.points],
        "h": [_end(point, point.high) for point in each.points],
        "v": "".join(_letter(point.verdict) for point in each.points),
        "s": [None if p.seconds is None else float(f"{p.seconds:.4g}") for p in each.points],
        "w": list(_marks(each.points, order, software)),
        "c": [_change(change, order) for change in each.changes],
    }


def _marks(
    points: Sequence[Point], order: Mapping[str, int], software: Mapping[str, Software]
) -> Iterator[list[object]]:
    """Where the software changed, and what did."""
    before = points[0].software_id if points else ""
    for point in points:
        if point.software_id != before:
            sides = [software.get(key) for key in (before, point.software_id)]
            versions = [versions_of(side) if side else {} for side in sides]
            yield [order[point.night], cell(version_changes(versions)[0])]
            before = point.software_id


def _change(change: ChangePoint, order: Mapping[str, int]) -> list[object]:
    interval = f"{change.ratio:.3f} [{change.low:.3f}, {change.high:.3f}]"
    note = f": {printable(change.note)}" if change.note else ""
    return [order[change.first_night], interval, f"{change.state}{note}", change.id]


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value * _SCALE)


def _end(point: Point, ratio: float) -> int | None:
    known = point.value is not None and point.low > 0.0 and isfinite(point.high)
    return _whole(log(ratio)) if known else None


def _letter(verdict: str) -> str:
    return chr(ord("a") + _VERDICTS.index(verdict)) if verdict in _VERDICTS else "?"
