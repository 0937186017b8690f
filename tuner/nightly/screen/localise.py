"""On which night did a step begin? The likelihood of every night, and what else changed then."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from tuner.nightly.screen.scores import clipped, noise
from tuner.nightly.screen.series import Change, FloatArray, Series

_LONGEST = 64
_FEWEST_BEFORE = 10
_COVERED = 0.95
# How much likelier a step is on a night with other software or another machine than on any other.
_KNOWN_ODDS = 5.0


def localise(series: Series, age: int) -> Change:
    """The step that a detector saw about ``age`` nights ago, tonight included, in ``series``.

    Nights are weighed by the likelihood of a step in a first-order autoregression of clipped
    residuals, both levels free; earliest and latest leave 2.5 % out at either end.
    """
    values, uncertainties = series.values, series.uncertainties
    n = len(values)
    known = {index - series.start: causes for index, causes in series.known_changes().items()}
    weights = _weights(values, uncertainties, n - age, known)
    first = int(np.argmax(weights))
    below = np.cumsum(weights)
    tail = (1 - _COVERED) / 2
    earliest = min(first, int(np.searchsorted(below, tail)))
    latest = max(first, int(np.searchsorted(below, 1 - tail)))
    causes = {name for night in range(earliest, latest + 1) for name in known.get(night, ())}
    return Change(
        first=series.start + first,
        earliest=series.start + earliest,
        latest=series.start + latest,
        step=float(np.median(values[first:, None] - values[None, :first])),
        level=float(np.median(values[:first])),
        found=len(series.nights) - 1,
        causes=tuple(sorted(causes)),
    )


def gains(scores: FloatArray, correlation: float, deviation: float) -> FloatArray:
    """Log-likelihood won by a step that begins on each night, [nights]; 0 for the first night.

    Least squares of the prewhitened scores on a level and a step (Prais and Winsten 1954).
    """
    n = len(scores)
    level = np.full(n, 1 - correlation)
    level[0] = sqrt(1 - correlation**2)
    whitened = np.concatenate([level[:1] * scores[:1], scores[1:] - correlation * scores[:-1]])
    steps = np.triu(np.full((n, n), 1 - correlation), 1) + np.eye(n)  # [begins, night]
    steps[0, 0] = level[0]
    unit = level / sqrt(float(level @ level))
    whitened -= (whitened @ unit) * unit
    steps -= (steps @ unit)[:, None] * unit
    squares = (steps**2).sum(axis=1)
    won = np.zeros(n)
    won[1:] = (steps[1:] @ whitened) ** 2 / squares[1:] / (2 * deviation**2)
    return won


def _weights(
    values: FloatArray,
    uncertainties: FloatArray,
    about: int,
    known: Mapping[int, tuple[str, ...]],
) -> FloatArray:
    """Probability of each night to be the first one at the new level, [nights]."""
    n = len(values)
    scores = clipped(values, uncertainties, about)
    usual = noise(scores[:about])
    won = gains(scores, usual.correlation, usual.deviation)
    for night in known:
        won[night] += np.log(_KNOWN_ODDS)
    possible = np.arange(n)
    won[(possible < max(_FEWEST_BEFORE, n - _LONGEST)) | (possible > n - 2)] = -np.inf
    weights = np.exp(won - won.max())
    probabilities: FloatArray = weights / weights.sum()
    return probabilities
