"""Measures points of a bisection: two side by side, and what their operators take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np

from farm.candidate import Candidate
from farm.errors import CompileError, DeviceError, FarmError
from farm.measurement import Metric
from tuner.nightly.bisect.operators import OperatorChange, Profile, changed_operators
from tuner.nightly.bisect.result import Step
from tuner.nightly.case import OpenCase, Place
from tuner.nightly.states.members import Measured, Member, measure_side_by_side
from tuner.nightly.suites.suite import Case
from tuner.nightly.tonight import Tonight, compare_tonight, of_sample
from tuner.racing.statistics import FloatArray
from workers.jobs import TODAY, Pinned, ProfileJob
from workers.trials.process import ChildError

BLOCKS = 20
"""Of each comparison: a difference of 3 % is found where pairs vary by 3 %."""

_PROFILES, _PROFILE_SECONDS = 3, 0.5


@dataclass(frozen=True, slots=True)
class Setting:
    """What a bisection works with.

    released: versions of a package, oldest first. install: by kind of engine, package and version,
    the name of the installed environment that has it. Both raise DeviceError. told: hears of every
    step.
    """

    place: Place
    case: Case
    released: Callable[[str], tuple[str, ...]]
    install: Callable[[str, str, str], str]
    told: Callable[[Step], None]


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate with a version of a package; empty texts where no package matters."""

    name: str
    candidate: Candidate
    package: str
    version: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two points that were measured side by side. found: the second over the first."""

    first: Measured
    second: Measured
    found: Tonight


class PointNotMeasured(FarmError):
    """Why a point cannot be measured."""


class Comparing:
    """Compares points of one case in one run."""

    def __init__(self, setting: Setting, opened: OpenCase, metric: Metric) -> None:
        self._setting = setting
        self._opened = opened
        self._metric = metric
        self._profile = setting.place.profiles[setting.case.device]

    def pair(self, first: Point, second: Point) -> Pair:
        """Two points side by side, in blocks. Raises PointNotMeasured."""
        place = self._setting.place
        found = measure_side_by_side(
            place.store,
            self._opened.executor,
            self._opened.opened,
            self._profile,
            [self._member("first", first), self._member("second", second)],
            lambda done, _: done < BLOCKS,
            place.listen,
            journal=self._opened.journal,
        )
        for point, each in zip((first, second), found, strict=True):
            if each.failure:
                raise PointNotMeasured(
                    f"{point.name} cannot be measured ({each.failure.rstrip('.')})."
                )
        one, other = found
        compared = compare_tonight(self._metric, self._values(other), self._values(one))
        return Pair(one, other, compared)

    def operators(self, pair: Pair) -> tuple[OperatorChange, ...]:
        """Operators of both points, those first that take most more in the second one.

        None where the engine does not tell them. Raises ChildError, CompileError.
        """
        first: list[Profile] = []
        second: list[Profile] = []
        for _ in range(_PROFILES):
            for measured, profiles in ((pair.first, first), (pair.second, second)):
                profiles.append(self._profiled(measured))
        if not all((*first, *second)):
            return ()
        seconds = [median(s.seconds for s in m.samples) for m in (pair.first, pair.second)]
        return changed_operators(first, second, *seconds)

    def _profiled(self, measured: Measured) -> Profile:
        """A new profile; the first one of a point is kept in the store."""
        journal = self._opened.journal
        kept = self._setting.place.store.profile(measured.trial_id)
        if not kept:
            return journal.profile(measured.entry, _PROFILE_SECONDS)
        job = ProfileJob(journal.job_of(measured.entry), _PROFILE_SECONDS)
        return self._opened.executor.run_profile(self._profile.name, job)

    def _values(self, measured: Measured) -> FloatArray:
        candidate = measured.member.candidate
        return np.array([of_sample(self._metric, candidate, s) for s in measured.samples])

    def _member(self, name: str, point: Point) -> Member:
        """The point, its version installed. Raises PointNotMeasured: it cannot be."""
        pinned = TODAY
        if point.package:
            kind = point.candidate.engine.kind
            try:
                pinned = Pinned(self._setting.install(kind, point.package, point.version))
            except DeviceError as error:
                raise PointNotMeasured(str(error)) from None
        return Member(name, point.candidate, pinned)


def operators_or_why(
    comparing: Comparing, pair: Pair
) -> tuple[tuple[OperatorChange, ...], tuple[str, ...]]:
    """The operators of a pair; none where they cannot be told, and a sentence that says why."""
    try:
        found = comparing.operators(pair)
    except (ChildError, CompileError) as error:
        return (), (f"The operators are not known: {error}",)
    return found, () if found else ("The operators are not known: the engine tells none.",)
