"""Two scans for a step in the last nights of a series, at every likely first night.

- The mean of clipped residuals after against before: the strongest where the noise is near to
  normal.
- The same of normal scores: asks for ranks only, whatever the noise looks like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr

from tuner.nightly.screen.evidence import SHORTEST, SHORTEST_BEFORE, Evidence, Sighting
from tuner.nightly.screen.scores import clipped, noise, normal_scores, supported
from tuner.nightly.screen.series import FloatArray

_AGES = (1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64)
# Of the probability of a false alarm, what goes to positions where something is known to change.
_KNOWN_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Position:
    """A night on which a step may have begun.

    age: nights since then, tonight included. share: of the probability of a false alarm.
    """

    age: int
    share: float


def positions(
    nights: int, known: frozenset[int] = frozenset(), shortest: int = SHORTEST
) -> list[Position]:
    """What the scans look at. The share falls as 1 / age; known: ages that would explain it."""
    latest = nights - SHORTEST_BEFORE
    known = frozenset(age for age in known if shortest <= age <= latest)
    shares = {age: 1 / age for age in _AGES if shortest <= age <= latest}
    rest = (1 - _KNOWN_SHARE if known else 1.0) / sum(shares.values())
    shares = {age: share * rest for age, share in shares.items()}
    for age in known:
        shares[age] = shares.get(age, 0.0) + _KNOWN_SHARE / len(known)
    return [Position(age, share) for age, share in shares.items()]


def mean_scan(
    values: FloatArray, uncertainties: FloatArray, where: Sequence[Position]
) -> Evidence:
    """A step in the mean of clipped residuals."""
    return _scan(
        lambda before: supported(clipped(values, uncertainties, before), before),
        len(values),
        where,
    )


def rank_scan(values: FloatArray, where: Sequence[Position]) -> Evidence:
    """A step in normal scores."""
    return _scan(lambda before: normal_scores(values, before), len(values), where)


def step_t(scores: FloatArray, age: int) -> tuple[float, float]:
    """Student's t of a step before the last ``age`` nights, and its degrees of freedom.

    Generalised least squares under a first-order autoregression: the first night of a step
    brings all of it as news, each later one 1 - rho of it.
    """
    usual = noise(scores[: len(scores) - age])
    new = usual.innovations(scores[len(scores) - age - 1 :])
    shape = np.full(age, 1 - usual.correlation)
    shape[0] = 1.0
    square = float(shape @ shape)
    step = float(shape @ new) * usual.deviation / square
    # The level before is estimated, too, and its error is in every night after.
    carried = (1 - usual.correlation) * float(shape.sum()) / square
    variance = usual.deviation**2 / square + carried**2 * usual.mean_variance
    return step / variance**0.5, usual.freedom


def _scan(scores: Callable[[int], FloatArray], nights: int, where: Sequence[Position]) -> Evidence:
    up = down = Sighting()
    for position in where:
        t, freedom = step_t(scores(nights - position.age), position.age)
        up = min(up, _sighting(-t, freedom, position), key=_p_value)
        down = min(down, _sighting(t, freedom, position), key=_p_value)
    return Evidence(up, down)


def _sighting(t: float, freedom: float, position: Position) -> Sighting:
    return Sighting(min(1.0, float(stdtr(freedom, t)) / position.share), position.age)


def _p_value(sighting: Sighting) -> float:
    return sighting.p_value
