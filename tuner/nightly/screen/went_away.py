"""A step that is back within two nights is no regression."""

from __future__ import annotations

from math import log

import numpy as np

from tuner.nightly.screen.scores import residuals
from tuner.nightly.screen.series import Change, Series

_WITHIN = 2
# How much likelier the old level must be than the new one.
_ODDS = 20.0


def went_away(series: Series, change: Change) -> bool:
    """Whether the last one or two nights, at most two after ``change`` was found, are back.

    By the likelihood ratio of the old level and the new one under normal noise, 20 to 1 (Wald
    1945). Later nights change nothing: what comes back then is a change of its own.
    """
    found, first = change.found - series.start, change.first - series.start
    end = found + 1 + _WITHIN
    scores = residuals(series.values[:end], series.uncertainties[:end], first)
    new = float(np.median(scores[first : found + 1]))
    spread = max(float(np.std(scores[:first])), 0.5)
    later = scores[found + 1 :]
    won = ((later - new) ** 2 - later**2) / (2 * spread**2)
    return any(float(won[night:].sum()) >= log(_ODDS) for night in range(len(won)))
