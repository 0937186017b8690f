"""Nights on a common scale: clipped residuals and normal scores, and how they hang together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long

from tuner.nightly.screen.series import FloatArray

FAR = 4.0
"""Beyond so many standard deviations a night is no part of the usual noise."""
CLIP = 6.0
"""Beyond so many a night says no more than that it is far away."""

# 1 / Phi^-1(3/4): the median absolute deviation of a normal distribution is its sd over this.
_MAD = 1.4826
# By so many deviations the farthest night may be ahead of the next one.
_LEAD = 0.5
_SMALLEST_SCALE = 1e-9
_LARGEST_CORRELATION = 0.9
# What is thought of the correlation before a night was seen, and how many nights that is worth. A
# step looks like correlated nights: what is unknown of them makes false alarms, or hides steps.
_GUESS, _GUESS_NIGHTS = 0.4, 30


def residuals(values: FloatArray, uncertainties: FloatArray, before: int) -> FloatArray:
    """Distances from the median of the first ``before`` nights in robust deviations, [nights].

    A night that measured worse than the series spreads is scaled by its own uncertainty, so that
    it says less.
    """
    centre = np.median(values[:before])
    scale = _MAD * np.median(np.abs(values[:before] - centre))
    scales = np.maximum(uncertainties, max(scale, _SMALLEST_SCALE))
    distances: FloatArray = (values - centre) / scales
    return distances


def clipped(values: FloatArray, uncertainties: FloatArray, before: int) -> FloatArray:
    """Residuals that say no more than 6 deviations: Huber's psi (Huber 1964), [nights]."""
    return np.clip(residuals(values, uncertainties, before), -CLIP, CLIP)


def supported(scores: FloatArray, before: int) -> FloatArray:
    """No night after the first ``before`` counts for much more than the next one, [nights].

    One night alone is then never the reason for a step that has lasted several.
    """
    if len(scores) - before < 2:
        return scores
    recent = np.sort(scores[before:])
    low, high = min(recent[1], 0.0) - _LEAD, max(recent[-2], 0.0) + _LEAD
    return np.concatenate([scores[:before], np.clip(scores[before:], low, high)])


def normal_scores(values: FloatArray, before: int) -> FloatArray:
    """Normal quantiles of each night's rank among the first ``before`` nights, [nights].

    Van der Waerden's scores; ties share their mean rank.
    """
    ordered = np.sort(values[:before])
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    scores: FloatArray = scipy.special.ndtri((below / 2 + 0.5) / (before + 1))
    return scores


@dataclass(frozen=True, slots=True)
class Noise:
    """How the scores of unchanged nights move: a first-order autoregression.

    mean: their level. correlation: of a night with the next, at least 0. deviation: of what is
    new each night. freedom: degrees of freedom behind it, less for correlated nights.
    """

    mean: float
    correlation: float
    deviation: float
    nights: int
    freedom: float

    @property
    def mean_variance(self) -> float:
        """Of the estimated level."""
        return (self.deviation / (1 - self.correlation)) ** 2 / self.nights

    def innovations(self, scores: FloatArray) -> FloatArray:
        """What is new on each night but the first, in deviations, [nights - 1]."""
        centred = scores - self.mean
        return (centred[1:] - self.correlation * centred[:-1]) / self.deviation


def noise(scores: FloatArray) -> Noise:
    """Fitted to the ``scores`` of unchanged nights, [nights]; those that are far away are missing.

    The correlation is corrected for its bias (Kendall 1954: -(1 + 3 rho) / n) and shrunk towards
    a guess; a negative one counts as none.
    """
    near = np.abs(scores) <= FAR
    n = int(np.count_nonzero(near))
    mean = float(scores[near].mean())
    centred = np.where(near, scores - mean, 0.0)
    square = float(centred @ centred)
    rho = float(centred[1:] @ centred[:-1]) / square if square > 0 else 0.0
    rho = min(max(rho + (1 + 3 * rho) / n, 0.0), _LARGEST_CORRELATION)
    rho = (n * rho + _GUESS_NIGHTS * _GUESS) / (n + _GUESS_NIGHTS)
    new = (centred[1:] - rho * centred[:-1])[near[1:] & near[:-1]]
    # Half a score at least: of a series that never moved, no fluke is a step of infinite size.
    deviation = max(float(np.sqrt(new @ new / max(len(new) - 1, 1))), 0.5)
    freedom = max((n - 1) * (1 - rho) / (1 + rho), 2.0)
    return Noise(mean, rho, deviation, n, freedom)
