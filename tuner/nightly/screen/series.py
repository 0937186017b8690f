"""One case night after night: what a detector is given and what it answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import isfinite

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Verdict(StrEnum):
    """What a series says on its last night."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    NO_CHANGE = "no change"
    INCONCLUSIVE = "inconclusive"
    NOT_YET = "not yet"
    NOT_MEASURED = "could not measure"


@dataclass(frozen=True, slots=True)
class Night:
    """One night of a series.

    value: log of the case's latency over that of its last good state, measured interleaved; above
    zero = slower. uncertainty: standard error of that value within the night, at least 0.
    software, machine: any text that differs where they differ.
    """

    value: float
    uncertainty: float = 0.0
    software: str = ""
    machine: str = ""

    def __post_init__(self) -> None:
        if not isfinite(self.value):
            raise ValueError(f"the value of a night must be finite; got {self.value}")
        if not (isfinite(self.uncertainty) and self.uncertainty >= 0):
            raise ValueError(
                f"the uncertainty of a night must be finite and at least 0; got {self.uncertainty}"
            )


@dataclass(frozen=True, slots=True)
class Change:
    """A step in a series.

    first: index of the first night at the new level. earliest, latest: the nights among which the
    first one is at 95 %. step: new level minus old one, a log ratio, above zero = slower. level:
    the old one. found: index of the night that raised it. causes: what is known to have changed
    between those nights, such as ``software``.
    """

    first: int
    earliest: int
    latest: int
    step: float
    level: float
    found: int
    causes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Series:
    """The nights of one case, oldest first.

    start: index of the first night that still counts. refuted: the last change that a run of both
    states did not confirm, if any.
    """

    nights: tuple[Night, ...]
    start: int = 0
    refuted: Change | None = None

    @property
    def values(self) -> FloatArray:
        """Log ratios of the nights that count, [nights]."""
        return np.array([night.value for night in self.nights[self.start :]])

    @property
    def uncertainties(self) -> FloatArray:
        """Their standard errors, [nights]."""
        return np.array([night.uncertainty for night in self.nights[self.start :]])

    def until(self, night: int) -> Series:
        """What was known on that night, an index."""
        return replace(self, nights=self.nights[: night + 1])

    def after(self, change: Change) -> Series:
        """Without the nights before a change that was confirmed or is expected."""
        return replace(self, start=change.first, refuted=None)

    def without(self, change: Change) -> Series:
        """With a change that was not confirmed; its nights stay."""
        return replace(self, refuted=change)

    def known_changes(self) -> dict[int, tuple[str, ...]]:
        """Nights, by index, before which software or machine changed."""
        changes = {}
        for index in range(self.start + 1, len(self.nights)):
            before, after = self.nights[index - 1], self.nights[index]
            names = [
                name
                for name, changed in (
                    ("software", before.software != after.software),
                    ("machine", before.machine != after.machine),
                )
                if changed
            ]
            if names:
                changes[index] = tuple(names)
        return changes

    def known_ages(self) -> frozenset[int]:
        """How many nights ago those were, tonight included."""
        return frozenset(len(self.nights) - night for night in self.known_changes())
