"""Does a series jump between two levels? Seen and named, because such a jump is no step."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from tuner.nightly.screen.series import FloatArray

_FEWEST_NIGHTS = 20
_SMALLEST_SHARE = 0.1
# Ashman, Bird and Zepf 1994: two normal components are apart from D = 2 on.
_APART = 2.0
# Kass and Raftery 1995: a difference in BIC beyond 10 is very strong.
_EVIDENCE = 10.0
# A step gives two levels and one move between them; modes come and go.
_FEWEST_MOVES = 4
# Log odds of 19 to 1 that a night is of the level that it is nearer to.
_CERTAIN = log(19)
_ITERATIONS = 12


@dataclass(frozen=True, slots=True)
class Modes:
    """Two levels of one series.

    low, high: log ratios. share: of the nights at the high one. deviation: within each.
    """

    low: float
    high: float
    share: float
    deviation: float


def modes(values: FloatArray) -> Modes | None:
    """The two levels of ``values`` [nights], or None where one describes them as well.

    A mixture of two normal distributions of equal variance, fitted by expectation-maximisation
    from the quartiles (Dempster, Laird and Rubin 1977), against one normal distribution, by BIC.
    """
    n = len(values)
    spread = float(np.std(values))
    if n < _FEWEST_NIGHTS or spread == 0:
        return None
    fitted, gain = _fit((values - values.mean()) / spread)
    if 2 * gain - 2 * log(n) < _EVIDENCE:
        return None
    if not _SMALLEST_SHARE <= fitted.share <= 1 - _SMALLEST_SHARE:
        return None
    if (fitted.high - fitted.low) / fitted.deviation < _APART:
        return None
    found = Modes(
        low=float(values.mean()) + spread * fitted.low,
        high=float(values.mean()) + spread * fitted.high,
        share=fitted.share,
        deviation=spread * fitted.deviation,
    )
    return found if _moves(values, found) >= _FEWEST_MOVES else None


def _moves(values: FloatArray, found: Modes) -> int:
    """How often nights go from one level to the other; nights between both do not count."""
    apart = (found.high - found.low) / found.deviation
    off = (values - (found.low + found.high) / 2) / found.deviation
    return int(np.count_nonzero(np.diff(np.sign(off[np.abs(off) >= _CERTAIN / apart]))))


def _fit(scores: FloatArray) -> tuple[Modes, float]:
    """The mixture for ``scores`` of mean 0 and variance 1, and the log-likelihood it wins."""
    low, high = (float(quartile) for quartile in np.quantile(scores, [0.25, 0.75]))
    share, variance = 0.5, 0.5
    for _ in range(_ITERATIONS):
        at_low = (1 - share) * np.exp(-((scores - low) ** 2) / (2 * variance))
        at_high = share * np.exp(-((scores - high) ** 2) / (2 * variance))
        densities = at_low + at_high + 1e-300
        weights = at_high / densities
        share = min(max(float(weights.mean()), 1e-3), 1 - 1e-3)
        high = float(weights @ scores) / (share * len(scores))
        low = float((1 - weights) @ scores) / ((1 - share) * len(scores))
        within = weights * (scores - high) ** 2 + (1 - weights) * (scores - low) ** 2
        variance = max(float(within.mean()), 1e-6)
    # Both likelihoods without their common factor (2 pi)^(-n / 2).
    mixture = float(np.log(densities).sum()) - 0.5 * len(scores) * log(variance)
    single = -0.5 * float((scores**2).sum())
    return Modes(low, high, share, variance**0.5), mixture - single
