"""Three detectors of a step in the last nights of a series, each with its own blind spot.

- The mean of clipped residuals after against before, at every likely position: the strongest
  where the noise is near to normal.
- The same of normal scores: asks for ranks only, whatever the noise looks like.
- A CUSUM chart of what is new each night: looks at no position, and is the quickest for a large
  step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp

import numpy as np
from scipy.special import bdtrc, stdtr

from tuner.nightly.screen.scores import clipped, noise, normal_scores, supported
from tuner.nightly.screen.series import FloatArray

SHORTEST, SHORTEST_BEFORE = 2, 20
"""Nights that a step must have lasted, and that must lie before it."""
CUSUM_NIGHTS = 14
_AGES = (2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64)
# Of the probability of a false alarm, what goes to positions where something is known to change.
_KNOWN_SHARE = 0.5
# Half of the step that the chart is the quickest for (Page 1954), in standard deviations.
_SLACK = 1.0
# How far a normal random walk overshoots a bar, on average (Siegmund 1985, section 10.4).
_OVERSHOOT = 0.583


@dataclass(frozen=True, slots=True)
class Sighting:
    """The best case that a detector has for a step in one direction.

    p_value: of seeing so much without a step. age: nights since it began, tonight included.
    """

    p_value: float = 1.0
    age: int = SHORTEST


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a detector saw, both ways."""

    up: Sighting
    down: Sighting


@dataclass(frozen=True, slots=True)
class Position:
    """A night on which a step may have begun.

    age: nights since then, tonight included, at least 2. share: of the probability of a
    false alarm. up, down: whether a step that way would be more than a run of spikes.
    """

    age: int
    share: float
    up: bool
    down: bool


def positions(
    values: FloatArray, alpha: float, known: frozenset[int] = frozenset()
) -> list[Position]:
    """What the scans look at. The share falls as 1 / age; known: ages that would explain it."""
    latest = len(values) - SHORTEST_BEFORE
    known = frozenset(age for age in known if SHORTEST <= age <= latest)
    shares = {age: 1 / age for age in _AGES if age <= latest}
    rest = (1 - _KNOWN_SHARE if known else 1.0) / sum(shares.values())
    shares = {age: share * rest for age, share in shares.items()}
    for age in known:
        shares[age] = shares.get(age, 0.0) + _KNOWN_SHARE / len(known)
    return [Position(age, share, *_lasting(values, age, alpha)) for age, share in shares.items()]


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


def cusum(values: FloatArray, uncertainties: FloatArray) -> Evidence:
    """Page's chart over the last nights, both ways, against all nights before them.

    The probability of a height h with slack k is that of a random walk's maximum,
    exp(-2 k (h + 0.583)) (Siegmund 1985).
    """
    before = max(SHORTEST_BEFORE, len(values) - CUSUM_NIGHTS)
    scores = clipped(values, uncertainties, before)
    usual = noise(scores[:before])
    new = usual.innovations(scores[before - 1 :])
    return Evidence(_chart(new, usual.freedom), _chart(-new, usual.freedom))


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
        if position.up or position.down:
            t, freedom = step_t(scores(nights - position.age), position.age)
            if position.up:
                up = min(up, _sighting(-t, freedom, position), key=_p_value)
            if position.down:
                down = min(down, _sighting(t, freedom, position), key=_p_value)
    return Evidence(up, down)


def _sighting(t: float, freedom: float, position: Position) -> Sighting:
    return Sighting(min(1.0, float(stdtr(freedom, t)) / position.share), position.age)


def _p_value(sighting: Sighting) -> float:
    return sighting.p_value


def _chart(new: FloatArray, freedom: float) -> Sighting:
    """Upwards. new: what each night brought, [nights]. freedom: of the level it is new to."""
    height, age = 0.0, 0
    for innovation in new:
        height = max(0.0, height + float(innovation) - _SLACK)
        age = age + 1 if height > 0 else 0
    if height == 0:
        return Sighting()
    # The level has an error, N(0, 1 / n), and the tail is averaged over it.
    bar = min(height + _OVERSHOOT, _SLACK * freedom / 2)
    return Sighting(exp(-2 * _SLACK * bar + 2 * bar**2 / freedom), max(age, SHORTEST))


def _lasting(values: FloatArray, age: int, alpha: float) -> tuple[bool, bool]:
    """Whether the last ``age`` nights are no run of spikes, upwards and downwards.

    That three quarters of them lie where they do must be rarer than ``alpha`` by how often nights
    before them lay there: one spike in twenty nights makes two in a row nothing new.
    """
    ordered = np.sort(values[: len(values) - age])
    recent = np.sort(values[len(values) - age :])
    most = age - age // 4
    above = len(ordered) - int(np.searchsorted(ordered, recent[-most], "left"))
    below = int(np.searchsorted(ordered, recent[most - 1], "right"))
    up, down = (
        float(bdtrc(most - 1, age, (count + 1) / (len(ordered) + 1))) <= alpha
        for count in (above, below)
    )
    return up, down
