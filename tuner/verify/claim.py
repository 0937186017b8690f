"""Whether what was claimed of a winner holds, by what was measured of it again."""

from __future__ import annotations

from enum import StrEnum

from farm.accuracy.metric import MetricKind
from farm.measurement import Estimate
from tuner.delivery.record import RecordedAccuracy

TOLERANCE = 0.05
"""Share of a claimed ratio that may be missing: machines are not the same from day to day."""
_ROUNDING = 1e-3  # of accuracy; engines add up in other orders from time to time


class Holds(StrEnum):
    """Whether a claim holds."""

    YES = "holds"
    WEAKER = "weaker"  # still better than the baseline, but by less
    NO = "does not hold"
    UNKNOWN = "cannot be judged here"


def judged(claimed: Estimate, measured: Estimate) -> Holds:
    """Compare two ratios, baseline over winner.

    It holds where the measured interval reaches the claimed one, less ``TOLERANCE``, and, if a
    gain was claimed, lies above 1. An interval that reaches both the claim and 1 says nothing.
    """
    gained = measured.low > 1.0
    if measured.high >= (1.0 - TOLERANCE) * claimed.low:
        return Holds.YES if gained or claimed.low <= 1.0 else Holds.UNKNOWN
    return Holds.WEAKER if gained else Holds.NO


def less_accurate(claimed: RecordedAccuracy, measured: float) -> bool:
    """Whether accuracy on the same samples is lower than rounding explains.

    Of shares of samples one sample may change sides: it was undecided before.
    """
    allowed = _ROUNDING
    if claimed.metric == MetricKind.TOP1:
        allowed += 1.0 / max(claimed.samples, 1)
    return claimed.value is not None and claimed.value - measured > allowed
