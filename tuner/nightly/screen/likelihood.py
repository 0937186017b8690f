"""Did a step begin in the last nights? By the likelihood of every first night and size.

The noise is taken for a level, a first-order autoregression about it, and now and then a night
that is far away, as often as history has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, pi

import numpy as np
from numpy.typing import NDArray

from tuner.nightly.screen.scores import FAR, Noise, noise, residuals
from tuner.nightly.screen.series import FloatArray

# How long ago, at most, a step began; one that is older fills all of these nights.
_NIGHTS = 14
# Steps up that are thought possible, each as likely, in robust deviations of a night; the same
# down. Beyond the largest a night says no more.
_SIZES = np.array([1.5, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0, 20.0])
_SIGNED = np.concatenate([_SIZES, -_SIZES])[:, None]
# How much likelier a step is on a night with other software or another machine.
_KNOWN_ODDS = 5.0
# Half of the nights that are far away are beyond so many deviations.
_MEDIAN_SPIKE = 8.0


@dataclass(frozen=True, slots=True)
class Sighting:
    """The case for a step in one direction.

    p_value: how often so much is seen, at most, in nights without a step. age: nights since it
    most likely began, tonight included.
    """

    p_value: float
    age: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen, both ways."""

    up: Sighting
    down: Sighting


def likelihood(
    values: FloatArray,
    uncertainties: FloatArray,
    history: int,
    shortest: int,
    known: frozenset[int] = frozenset(),
) -> Evidence:
    """How much likelier the last nights are with a step of at least ``shortest`` nights.

    Shiryaev's and Roberts' sum of the likelihood ratios of all first nights, averaged over sizes.
    Without a step it exceeds A once in A nights at most (Pollak 1985), so that 1 / A is the rate
    of alarms. history: nights, at least, that must lie before the step. known: ages, in nights, of
    what would explain one.
    """
    before = max(history, len(values) - _NIGHTS)
    up, down = log_odds(values, uncertainties, before, before, known)
    ages = np.arange(len(values) - before, 0, -1)
    return Evidence(_sighting(up, ages, shortest), _sighting(down, ages, shortest))


def log_odds(
    values: FloatArray,
    uncertainties: FloatArray,
    usual: int,
    earliest: int,
    known: frozenset[int] = frozenset(),
) -> FloatArray:
    """Log odds of a step that began on each night from ``earliest`` on, [up and down, nights].

    usual: nights from which the noise is known. known: ages of what would explain a step.
    """
    farthest = float(_SIZES[-1])
    distances = np.clip(residuals(values, uncertainties, usual), -farthest, farthest)
    won = _log_ratios(distances[earliest - 1 :], _Density.of(distances[:usual]))
    both: FloatArray = np.logaddexp.reduce(won.reshape(2, len(_SIZES), -1), axis=1)
    ages = np.arange(len(values) - earliest, 0, -1)
    return both - log(len(_SIZES)) + np.where(np.isin(ages, list(known)), log(_KNOWN_ODDS), 0.0)


def _sighting(won: FloatArray, ages: NDArray[np.int64], shortest: int) -> Sighting:
    possible = np.where(ages >= shortest, np.exp(won), 0.0)
    return Sighting(1 / max(1.0, float(possible.sum())), int(ages[np.argmax(possible)]))


def _log_ratios(distances: FloatArray, density: _Density) -> FloatArray:
    """Of the likelihood of a step over that of none, [signed sizes, first nights].

    distances: of those nights, and of the one before the first of them.
    """
    rho = density.usual.correlation
    nights, nights_before = (one - density.usual.mean for one in (distances[1:], distances[:-1]))
    same = density.log(nights - rho * _carried(nights_before))
    first = density.log(nights - _SIGNED - rho * _carried(nights_before))
    later = density.log(nights - _SIGNED - rho * _carried(nights_before - _SIGNED))
    from_then_on = np.cumsum((later - same)[:, ::-1], axis=1)[:, ::-1]
    won: FloatArray = from_then_on - later + first
    return won


def _carried(nights: FloatArray) -> FloatArray:
    """What a night brings along for the next one; one that is far away is a spike, and nothing."""
    return np.where(np.abs(nights) <= FAR, nights, 0.0)


@dataclass(frozen=True, slots=True)
class _Density:
    """Of what is new on a night: Student's t, and spikes.

    above, below: probabilities of a night far above or below.
    """

    usual: Noise
    above: float
    below: float

    @classmethod
    def of(cls, history: FloatArray) -> _Density:
        """As the nights before have it; half a spike either way is always thought possible."""
        above, below = (
            (np.count_nonzero(signed > FAR) + 0.5) / (len(history) + 1)
            for signed in (history, -history)
        )
        return cls(noise(history), float(above), float(below))

    def log(self, new: FloatArray) -> FloatArray:
        """The logarithm of the density of each of ``new``, deviations off what was expected."""
        freedom, scale = self.usual.nights - 1, self.usual.deviation
        at_zero = exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2))
        at_zero /= scale * (freedom * pi) ** 0.5
        core = at_zero * (1 + (new / scale) ** 2 / freedom) ** (-(freedom + 1) / 2)
        spikes = _MEDIAN_SPIKE / (_MEDIAN_SPIKE + np.abs(new)) ** 2
        shares = np.where(new > 0, self.above, self.below)
        density: FloatArray = np.log((1 - self.above - self.below) * core + shares * spikes)
        return density
