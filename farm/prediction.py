"""Predictions: values that nobody measured, with what they rest on.

A prediction is never stored as a measurement, and is never shown without its basis.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Basis(StrEnum):
    """What a prediction rests on, the best first.

    measured: a profile of the very operators at the very place. learned: a model fitted to
    profiles of others. roofline: the speed and bandwidth of the place alone.
    """

    MEASURED = "measured"
    LEARNED = "learned"
    ROOFLINE = "roofline"


@dataclass(frozen=True, slots=True)
class Prediction:
    """A value with the interval that it is expected to lie in.

    low <= value <= high. unit: of all three, ``s``, ``J`` or ``B``. rows: profiled kernels or
    calibrations that it rests on.
    """

    value: float
    low: float
    high: float
    unit: str
    basis: Basis
    rows: int

    @property
    def spread(self) -> float:
        """Standard deviation of the value's logarithm, if the interval is one of 90 %."""
        if self.low <= 0.0 or self.high <= self.low:
            return 0.0
        return math.log(self.high / self.low) / (2 * _Z90)


_Z90 = 1.6448536269514722  # of the standard normal distribution: 5 % lie above it


def total(parts: Iterable[Prediction], unit: str = "s") -> Prediction:
    """The sum of predictions. Its basis is the worst of theirs.

    Errors of one basis have one cause, so they are taken to go the same way: the ends of the
    intervals are added up, too, which is the widest that the sum's can be.
    """
    found = tuple(parts)
    worst = max((p.basis for p in found), key=list(Basis).index, default=Basis.MEASURED)
    return Prediction(
        sum(p.value for p in found),
        sum(p.low for p in found),
        sum(p.high for p in found),
        unit,
        worst,
        sum(p.rows for p in found),
    )
