"""Series for the tests of the nightly screen."""

from __future__ import annotations

import numpy as np

from tuner.nightly.screen.series import Night, Series

SIGMA = 0.01


def quiet(nights: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, SIGMA, nights)


def autoregressive(nights: int, rho: float, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(0.0, 1.0, nights)
    for night in range(1, nights):
        values[night] = rho * values[night - 1] + (1 - rho**2) ** 0.5 * values[night]
    return SIGMA * values


def series(values: np.ndarray, uncertainty: float = 0.002) -> Series:
    return Series(tuple(Night(float(value), uncertainty) for value in values))


def stepped(first: int, after: int, sigmas: float, seed: int = 0) -> Series:
    values = quiet(first + after, seed)
    values[first:] += sigmas * SIGMA
    return series(values)
