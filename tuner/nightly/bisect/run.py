"""Bisects a case: over the versions of a package, then over options, then down to operators.

Each point on the way is measured beside the good state, in the same blocks of fresh processes. It
is bad where it is worse at p < .01 and by more than half of the whole step: the drift of the
machine decides nothing then, and neither does a smaller step on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from db.night_records import Series
from farm.candidate import Candidate
from farm.errors import InfrastructureError, OptionError
from farm.measurement import Estimate, Metric
from tuner.nightly.bisect.ends import Asked, Ends, find_ends
from tuner.nightly.bisect.measure import (
    Comparing,
    Point,
    PointNotMeasured,
    Setting,
    operators_or_why,
)
from tuner.nightly.bisect.operators import OperatorChange
from tuner.nightly.bisect.options import options_between
from tuner.nightly.bisect.result import Axis, Bisection, Step
from tuner.nightly.bisect.search import Search, between
from tuner.nightly.bisect.sentence import guilty_sentence, nothing_sentence
from tuner.nightly.case import CaseNight, OpenCase
from tuner.nightly.tonight import ALPHA, Tonight

_SHOWN_VERSIONS = 12


def bisect(setting: Setting, suite: str, series: Sequence[Series], asked: Asked) -> Bisection:
    """Find what made a case worse.

    series: of the case, with its last good state.

    Raises OptionError: the two states are not known, or do not differ. Raises DeviceError: the
    versions cannot be had. Raises InfrastructureError: one of the two states cannot be run.
    """
    case = replace(setting.case, metrics=(asked.metric,))  # so that blocks are measured for it
    night = CaseNight(setting.place, suite, case, series)
    with night.opened() as (opened, today):
        ends = find_ends(asked, series, today, opened.facts)
        return _Line(setting, opened, ends, asked.metric).bisected()


class _Line:
    """The way from the good state to the bad one, in one run."""

    def __init__(self, setting: Setting, opened: OpenCase, ends: Ends, metric: Metric) -> None:
        self._setting = setting
        self._opened = opened
        self._ends = ends
        self._metric = metric
        self._comparing = Comparing(setting, opened, metric)
        self._good = self._point(ends.good.candidate, ends.good.version)
        self._bad = self._point(ends.bad.candidate, ends.bad.version)
        self._limit = 0.0
        self._steps: list[Step] = []

    def bisected(self) -> Bisection:
        """All of it; see ``bisect``."""
        versions = self._versions()
        try:
            whole = self._comparing.pair(self._good, self._bad).found
        except PointNotMeasured as error:
            raise InfrastructureError(f"Nothing can be found out: {error}") from None
        is_worse = whole.p_value <= ALPHA and whole.log_ratio > 0
        self._note(_step(Axis.BOTH, self._bad.name, whole, bad=is_worse))
        if not is_worse:
            told = nothing_sentence(self._ends.package, self._metric, whole)
            return self._result(whole.ratio, (), told)
        self._limit = whole.log_ratio / 2
        if len(versions) > 1 and self._is_of_version(versions[-1]):
            return self._guilty(versions, Axis.VERSION)
        return self._guilty([versions[-1], *self._options()], Axis.OPTION)

    def _point(self, candidate: Candidate, version: str) -> Point:
        package = self._ends.package
        name = f"{package} {version}" if package else candidate.label()
        return Point(name, candidate, package, version)

    def _versions(self) -> list[Point]:
        """The good candidate with every version on the way. Raises OptionError, DeviceError."""
        package, good, bad = self._ends.package, self._ends.good, self._ends.bad
        if not package or good.version == bad.version:
            return [self._good]
        released = self._setting.released(package)
        for version in (good.version, bad.version):
            if version not in released:
                shown = ", ".join(released[-_SHOWN_VERSIONS:])
                raise OptionError(
                    f"{package} {version} is not among the versions that pip can install here; "
                    f"the newest of {len(released)} are {shown}."
                )
        return [
            self._point(good.candidate, version)
            for version in between(released, good.version, bad.version)
        ]

    def _options(self) -> list[Point]:
        """The candidates on the way, all with the bad version."""
        ends = self._ends
        return [
            Point(option.name, option.candidate, ends.package, ends.bad.version)
            for option in options_between(ends.good.candidate, ends.bad.candidate)
        ]

    def _is_of_version(self, last: Point) -> bool:
        """Whether the bad version is bad with the good candidate, too."""
        if self._ends.good.candidate == self._ends.bad.candidate:
            return True
        return bool(self._looked_at(last, Axis.VERSION).bad)

    def _looked_at(self, point: Point, axis: Axis) -> Step:
        """A point beside the good state; one that cannot be measured says nothing."""
        try:
            found = self._comparing.pair(self._good, point).found
        except PointNotMeasured as error:
            step = Step(axis, point.name, reason=str(error))
        else:
            bad = found.p_value <= ALPHA and found.log_ratio > self._limit
            step = _step(axis, point.name, found, bad=bad)
        self._note(step)
        return step

    def _note(self, step: Step) -> None:
        self._steps.append(step)
        self._setting.told(step)

    def _guilty(self, points: Sequence[Point], axis: Axis) -> Bisection:
        """Find the last good and the first bad point, and look into both side by side."""
        search = Search(len(points))
        while (at := search.next) is not None:
            search.take(at, bad=self._looked_at(points[at], axis).bad)
        last, first = points[search.last_good], points[search.first_bad]
        unknown = tuple(points[at].name for at in search.unknown)
        try:
            pair = self._comparing.pair(last, first)
        except PointNotMeasured as error:  # both ran before
            raise InfrastructureError(str(error)) from None
        operators, notes = operators_or_why(self._comparing, pair)
        is_version = axis is Axis.VERSION
        told = guilty_sentence(
            first.name if is_version else f"With {first.name}",
            last.version if is_version else "without",
            self._metric,
            pair.found.ratio,
            unknown,
            operators,
        )
        return self._result(
            pair.found.ratio,
            operators,
            told,
            versions=(last.version, first.version) if is_version else ("", ""),
            option="" if is_version else first.name,
            unknown=unknown,
            notes=notes,
        )

    def _result(
        self,
        ratio: Estimate,
        operators: tuple[OperatorChange, ...],
        sentence: str,
        *,
        versions: tuple[str, str] = ("", ""),
        option: str = "",
        unknown: tuple[str, ...] = (),
        notes: tuple[str, ...] = (),
    ) -> Bisection:
        ends = self._ends
        return Bisection(
            self._setting.case.name,
            self._metric,
            ends.package,
            ends.good.version,
            ends.bad.version,
            ends.good.candidate,
            ends.bad.candidate,
            *versions,
            option,
            unknown,
            ratio,
            operators,
            sentence,
            tuple(self._steps),
            self._opened.opened.name,
            (*self._opened.notes, *notes),
        )


def _step(axis: Axis, name: str, found: Tonight, *, bad: bool) -> Step:
    return Step(axis, name, found.ratio, found.p_value, found.pairs, bad)
