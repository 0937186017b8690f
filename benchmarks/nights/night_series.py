"""Synthetic series of nights, for the nightly screen and for the oracle that it is held against.

All have a standard deviation of 1, spikes apart:

- independent normal noise;
- an autoregression of first order with coefficient 0.5;
- normal noise and, in 5 % of the nights, a spike of 5 to 20 upwards;
- two modes, 30 % of the nights in the slow one, 4 deviations of either apart;
- two modes, as far apart, that last ten nights on average.
"""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from tuner.nightly.screen.series import FloatArray

KINDS = ("independent", "autoregressive", "spikes", "two modes", "lasting modes")

CORRELATION = 0.5
SPIKES, LOWEST_SPIKE, HIGHEST_SPIKE = 0.05, 5.0, 20.0
APART = 4.0
SLOW = 0.3
"""Share of the nights in the slow one of two modes."""
SWITCH = 0.1
"""Probability, each night, that the mode changes where modes last."""


def noise(kind: str, rng: Generator, nights: int) -> FloatArray:
    """A series of that kind, [nights]."""
    normal = rng.normal(0.0, 1.0, nights)
    match kind:
        case "autoregressive":
            for night in range(1, nights):
                new = (1 - CORRELATION**2) ** 0.5 * normal[night]
                normal[night] = CORRELATION * normal[night - 1] + new
        case "spikes":
            spiked = rng.random(nights) < SPIKES
            normal += np.where(spiked, rng.uniform(LOWEST_SPIKE, HIGHEST_SPIKE, nights), 0.0)
        case "two modes":
            normal += APART * (rng.random(nights) < SLOW)
            normal /= within_mode(SLOW)
        case "lasting modes":
            normal += APART * (np.cumsum(rng.random(nights) < SWITCH) % 2)
            normal /= within_mode(0.5)
    return normal


def within_mode(share: float) -> float:
    """The deviation of both modes together over that within one. share: of the slow one."""
    return float((1 + APART**2 * share * (1 - share)) ** 0.5)
