"""How well can a step be found at all? By an oracle that knows everything but when and which way.

It knows the law of the noise, the level, and the size of the step, and sums the likelihood ratios
of all first nights and both directions (Shiryaev 1963, Roberts 1966), which no rule outdoes by
much (Pollak 1985). It may raise as many false alarms as the screen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import norm

from benchmarks.nights.night_series import (
    APART,
    CORRELATION,
    HIGHEST_SPIKE,
    LOWEST_SPIKE,
    SLOW,
    SPIKES,
    SWITCH,
    noise,
    within_mode,
)
from tuner.nightly.screen.series import FloatArray

_NIGHTS = 200
_HALVINGS = 12


@dataclass(frozen=True, slots=True)
class Oracle:
    """Of one kind of noise and one size of step, with a bar that keeps a rate of false alarms."""

    kind: str
    size: float
    bar: float

    def found(self, rng: Generator, series: int, first: int, within: int) -> float:
        """Share of ``series`` in which a step on night ``first`` is found in so many nights."""
        nights = first + within
        values = np.array([noise(self.kind, rng, nights) for _ in range(series)])
        signs = rng.choice((-1, 1), series)
        values[:, first:] += self.size * signs[:, None]
        seen = alarms(self.kind, values, self.size, self.bar)[:, first:]
        return float(np.mean((seen == signs[:, None]).any(axis=1)))


def oracle(kind: str, size: float, per_1000: float, rng: Generator, series: int) -> Oracle:
    """The oracle that raises ``per_1000`` alarms in 1,000 nights of ``series`` without a step."""
    values = np.array([noise(kind, rng, _NIGHTS) for _ in range(series)])
    low, high = float(np.log(1e-3)), float(np.log(1e5))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        raised = alarms(kind, values, size, float(np.exp(middle)))
        if 1000 * float(np.mean(raised != 0)) > per_1000:
            low = middle
        else:
            high = middle
    return Oracle(kind, size, float(np.exp(high)))


def alarms(kind: str, values: FloatArray, size: float, bar: float) -> NDArray[np.int64]:
    """1 where a step up is raised, -1 where one down is, else 0, [series, nights].

    After an alarm the sum begins anew. The recursion is that of a hidden Markov model: ``steps``
    is the sum of the likelihoods of all steps so far, by direction and state, over the
    likelihood of no step.
    """
    moves = _moves(kind)
    states = len(moves)
    usual = np.full((len(values), states), 1 / states)
    steps = np.zeros((2, len(values), states))
    raised = np.zeros(values.shape, dtype=np.int64)
    shifts = np.array([size, -size])[:, None]
    for night in range(values.shape[1]):
        now = values[:, night]
        before = values[:, night - 1] if night else np.zeros(len(values))
        unmoved = usual * _densities(kind, now, before)
        likelihood = unmoved.sum(axis=1, keepdims=True)
        begins = usual * _densities(kind, now - shifts, before + 0 * shifts)
        goes_on = (steps @ moves) * _densities(kind, now - shifts, before - shifts)
        steps = (begins + goes_on) / likelihood
        usual = (unmoved / likelihood) @ moves
        total = steps.sum(axis=2)
        over = total.sum(axis=0) >= bar
        raised[over, night] = np.where(total[0] > total[1], 1, -1)[over]
        steps[:, over] = 0.0
    return raised


def _moves(kind: str) -> FloatArray:
    """Probabilities of going from each state to each on the next night."""
    if kind == "lasting modes":
        return np.array([[1 - SWITCH, SWITCH], [SWITCH, 1 - SWITCH]])
    return np.ones((1, 1))


def _densities(kind: str, now: FloatArray, before: FloatArray) -> FloatArray:
    """Of tonight's values given the night before, in each state, [..., states]."""
    match kind:
        case "autoregressive":
            spread = (1 - CORRELATION**2) ** 0.5
            each = [norm.pdf(now, CORRELATION * before, spread)]
        case "spikes":
            heights = HIGHEST_SPIKE - LOWEST_SPIKE
            spikes = (ndtr(now - LOWEST_SPIKE) - ndtr(now - HIGHEST_SPIKE)) / heights
            each = [(1 - SPIKES) * norm.pdf(now) + SPIKES * spikes]
        case "two modes":
            low, high = _modes(now, SLOW)
            each = [(1 - SLOW) * low + SLOW * high]
        case "lasting modes":
            each = list(_modes(now, 0.5))
        case _:
            each = [norm.pdf(now)]
    # A night that is impossible either way decides nothing.
    return np.stack(each, axis=-1) + 1e-300


def _modes(now: FloatArray, share: float) -> tuple[FloatArray, FloatArray]:
    spread = 1 / within_mode(share)
    return norm.pdf(now, 0.0, spread), norm.pdf(now, APART * spread, spread)
