"""A step by its likelihood: the quickest of the detectors, as far as its picture of the noise holds.

The picture: a level, a first-order autoregression about it, and now and then a night that is far
away, as often as history says.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, pi

import numpy as np
from scipy.special import gammaln

from tuner.nightly.screen.evidence import SHORTEST_BEFORE, Evidence, Sighting
from tuner.nightly.screen.scores import FAR, Noise, noise, residuals
from tuner.nightly.screen.series import FloatArray

NIGHTS = 14
"""How long ago, at most, the step began. Longer ones are left to the scans."""

# Steps that are thought possible, in robust deviations of a night; small ones are the likelier.
_SIZES = np.array([2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 20.0])[:, None]
_ODDS = (1 / _SIZES) / (1 / _SIZES).sum()
# Farther than the largest step, a night says no more.
_FARTHEST = 20.0
# Half of the nights that are far away are beyond so many deviations.
_SPIKE = 8.0


def likelihood(values: FloatArray, uncertainties: FloatArray, shortest: int) -> Evidence:
    """How likely the last nights are with a step of at least ``shortest`` nights, and without one.

    Shiryaev's and Roberts' sum of the likelihood ratios of every first night, averaged over sizes:
    in nights without a change it exceeds A at most once in A nights (Pollak 1985), so that the p
    value is a rate of alarms.
    """
    before = max(SHORTEST_BEFORE, len(values) - NIGHTS)
    distances = np.clip(residuals(values, uncertainties, before), -_FARTHEST, _FARTHEST)
    return Evidence(
        _sighting(distances, before, shortest), _sighting(-distances, before, shortest)
    )


@dataclass(frozen=True, slots=True)
class _Picture:
    """Log density of what is new on a night, given the night before."""

    usual: Noise
    above: float
    below: float

    def log_density(self, new: FloatArray) -> FloatArray:
        """Of each of ``new``, distances from what was expected."""
        freedom = self.usual.nights - 1
        scale = self.usual.deviation
        core = np.exp(
            float(gammaln((freedom + 1) / 2) - gammaln(freedom / 2))
            - 0.5 * log(freedom * pi)
            - log(scale)
            - (freedom + 1) / 2 * np.log1p((new / scale) ** 2 / freedom)
        )
        share = np.where(new > 0, self.above, self.below)
        spikes = share * _SPIKE / (_SPIKE + np.abs(new)) ** 2
        density: FloatArray = np.log((1 - self.above - self.below) * core + spikes)
        return density


def _sighting(distances: FloatArray, before: int, shortest: int) -> Sighting:
    """Of a step upwards."""
    history = distances[:before]
    usual = noise(history)
    picture = _Picture(
        usual,
        above=(np.count_nonzero(history > FAR) + 0.5) / (before + 1),
        below=(np.count_nonzero(history < -FAR) + 0.5) / (before + 1),
    )
    nights = distances[before - 1 :] - usual.mean  # with the one before, for what it carries
    rho = usual.correlation
    same = picture.log_density(nights[1:] - rho * _near(nights[:-1]))
    off = nights[1:] - _SIZES  # [sizes, nights]
    first = picture.log_density(off - rho * _near(nights[:-1]))
    later = picture.log_density(off - rho * _near(nights[:-1] - _SIZES))
    won = np.cumsum((later - same)[:, ::-1], axis=1)[:, ::-1] - later + first
    ratios = (_ODDS * np.exp(won)).sum(axis=0)[: len(same) - shortest + 1]
    if not len(ratios):
        return Sighting()
    age = len(same) - int(np.argmax(ratios))
    return Sighting(min(1.0, 1 / float(ratios.sum())), age)


def _near(nights: FloatArray) -> FloatArray:
    """A night that is far away carries nothing over to the next."""
    return np.where(np.abs(nights) <= FAR, nights, 0.0)
