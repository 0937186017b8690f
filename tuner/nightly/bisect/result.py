"""What a bisection found, for people and programs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farm.candidate import Candidate
from farm.measurement import Estimate, Metric
from tuner.nightly.bisect.operators import OperatorChange


class Axis(StrEnum):
    """What differs between the points of a line."""

    BOTH = "good and bad"
    VERSION = "version"
    OPTION = "option"


@dataclass(frozen=True, slots=True)
class Step:
    """A point measured beside the good state, in the same blocks.

    ratio: its metric over the good state's, above 1 is worse; None where it cannot be measured,
    and ``reason`` says why. bad: whether it has more than half of the whole step.
    """

    axis: Axis
    name: str
    ratio: Estimate | None = None
    p_value: float | None = None
    pairs: int = 0
    bad: bool | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Bisection:
    """Which version or option made a case worse, and which operators.

    package: whose versions were gone through; empty where there is none. good, bad: the versions
    between which. last_good, first_bad: versions; empty where the step is no version's. option:
    ``threads 1 -> 4``; empty where the step is no option's. unknown: points between the last good
    and the first bad one that could not be measured. ratio: the first bad point over the last good
    one, or of the two ends where nothing was found. operators: those first that take most more.
    """

    case: str
    metric: Metric
    package: str
    good: str
    bad: str
    good_candidate: Candidate
    bad_candidate: Candidate
    last_good: str
    first_bad: str
    option: str
    unknown: tuple[str, ...]
    ratio: Estimate
    operators: tuple[OperatorChange, ...]
    sentence: str
    steps: tuple[Step, ...]
    run: str
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> bool:
        """Whether something is named."""
        return bool(self.first_bad or self.option)
