"""On which night did a step begin? The odds of every night, and what else changed then."""

from __future__ import annotations

import numpy as np

from tuner.nightly.screen.likelihood import log_odds
from tuner.nightly.screen.series import Change, FloatArray, Series

_LONGEST = 64
_FEWEST_BEFORE = 10
_COVERED = 0.95


def localise(series: Series, age: int, *, upwards: bool) -> Change:
    """The step that was seen about ``age`` nights ago, tonight included, in ``series``.

    Nights are weighed by the likelihood of a step of any size that began then; earliest and latest
    leave 2.5 % out at either end.
    """
    values = series.values
    weights = _weights(series, age, upwards=upwards)
    first = int(np.argmax(weights))
    below = np.cumsum(weights)
    tail = (1 - _COVERED) / 2
    earliest = min(first, int(np.searchsorted(below, tail)))
    latest = max(first, int(np.searchsorted(below, 1 - tail)))
    known = {index - series.start: causes for index, causes in series.known_changes().items()}
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


def _weights(series: Series, age: int, *, upwards: bool) -> FloatArray:
    """Probability of each night to be the first one at the new level, [nights].

    A step has lasted two nights, unless it was seen on the first.
    """
    n = len(series.values)
    earliest = max(_FEWEST_BEFORE, n - _LONGEST)
    won = np.full(n, -np.inf)
    won[earliest:] = log_odds(
        series.values, series.uncertainties, n - age, earliest, series.known_ages()
    )[0 if upwards else 1]
    won[max(n - age, n - 2) + 1 :] = -np.inf
    weights = np.exp(won - won.max())
    probabilities: FloatArray = weights / weights.sum()
    return probabilities
