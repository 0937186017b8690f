"""A step that is back within two nights is no regression."""

from __future__ import annotations

from math import log

import numpy as np

from tuner.nightly.scores import CLIP, clipped
from tuner.nightly.series import Change, Series

_WITHIN = 2
# How much likelier the old level must be than the new one.
_ODDS = 20.0


def went_away(series: Series, change: Change) -> bool:
    """Whether the first one or two nights after ``change`` was found are at the old level again.

    By the likelihood ratio of both levels under normal noise, 20 to 1 (Wald 1945). A night beyond
    the two changes nothing: what comes back later is a change of its own.
    """
    values, uncertainties = series.values, series.uncertainties
    found, first = change.found - series.start, change.first - series.start
    later = slice(found + 1, found + 1 + _WITHIN)
    if len(values) <= found + 1:
        return False
    scores = clipped(values, uncertainties, first)
    new = float(np.median(scores[first : found + 1]))
    spread = max(float(np.std(scores[:first])), 0.5)
    gained = ((scores[later] - new) ** 2 - scores[later] ** 2) / (2 * spread**2)
    return bool(np.any(np.cumsum(np.clip(gained, -(CLIP**2), CLIP**2)) >= log(_ODDS)))
