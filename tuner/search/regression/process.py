"""A Gaussian process over candidates, given what was measured of some.

The logarithm of a candidate's ratio to the baseline is normal around what is expected, with its
own spread; deviations of two correlate as ``tuner.search.regression.alike`` says. Posterior:
C. E. Rasmussen and C. K. I. Williams, Gaussian Processes for Machine Learning, 2006, equations
2.23 and 2.24. Nothing but the scale of the spreads and of the noise is fitted, so that it stands
on few rows, unlike ``tuner.learning.statistics.gaussian_process``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np

from farm.candidate import Candidate
from farm.measurement import Outcome
from tuner.runs.history import Entry
from tuner.search.prior import Expected
from tuner.search.regression.alike import Matrix, Vector

_SCALES = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Factors of the spreads, of which the likeliest is taken: what is expected may be too sure."""
_NOISES = (0.04, 0.08, 0.16)  # standard deviations of a measured log ratio
_ENOUGH = 4  # rows to choose among them
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True, slots=True)
class Rows:
    """What was tried: candidates, logarithms of their ratios, and whether each failed, [rows].

    What never ran has no ratio, and NaN in its place; so have failures that nobody could judge.
    refused: of those that failed, whether it ran but was too inaccurate, or beyond a limit.
    """

    candidates: tuple[Candidate, ...]
    log_ratios: Vector
    failed: Vector
    refused: Vector

    @classmethod
    def of(cls, history: Sequence[Entry]) -> Self:
        """Of a search; what says nothing of a candidate is left out."""
        told = [e for e in history if e.outcome is not Outcome.INFRASTRUCTURE_ERROR]
        ratios = [e.ratio if e.ratio is not None and e.ratio > 0.0 else np.nan for e in told]
        failed = [float(not e.ok) for e in told]
        refused = [float(e.outcome is Outcome.REJECTED) for e in told]
        candidates = tuple(e.candidate for e in told)
        return cls(candidates, np.log(ratios), np.array(failed), np.array(refused))

    @property
    def measured(self) -> list[int]:
        """Indices of those that have a ratio."""
        return [at for at, ratio in enumerate(self.log_ratios) if not np.isnan(ratio)]

    @property
    def compared(self) -> int:
        """How many were compared with the baseline, whose own ratio is 1 whatever it takes."""
        return int(np.count_nonzero(np.nan_to_num(self.log_ratios)))


@dataclass(frozen=True, slots=True)
class Process:
    """Given some rows. scale: of all spreads. noise: standard deviation of one row.

    spread: [rows], scaled. factor: of their covariance, lower, [rows, rows]. weights: [rows].
    """

    scale: float
    noise: float
    spread: Vector
    factor: Matrix
    weights: Vector

    @classmethod
    def given(cls, alike: Matrix, spread: Vector, deviations: Vector) -> Self:
        """By correlations, spreads and deviations from what was expected of the rows."""
        scale, noise = _likeliest(alike, spread, deviations)
        factor = _factor(alike, scale * spread, noise)
        weights = np.linalg.solve(factor.T, np.linalg.solve(factor, deviations))
        return cls(scale, noise, scale * spread, factor, weights)

    def shift(self, alike: Matrix, spread: Vector) -> tuple[Vector, Matrix]:
        """Of others, by how much their means move, and half of what their covariances lose.

        alike: with the rows, [rows, others]. spread: of the others, not scaled. Returns [others]
        and a matrix [rows, others]; covariances lose its transpose times itself.
        """
        across = self.spread[:, None] * alike * (self.scale * spread)
        half = np.linalg.solve(self.factor, across)
        return across.T @ self.weights, np.asarray(half, np.float64)


def normal(expected: Sequence[Expected]) -> tuple[Vector, Vector]:
    """Means and standard deviations of log ratios, [candidates] each."""
    means = np.log(np.array([e.ratio for e in expected], np.float64))
    return means, np.array([e.spread for e in expected], np.float64)


def _likeliest(alike: Matrix, spread: Vector, deviations: Vector) -> tuple[float, float]:
    """Scale and noise by the marginal likelihood (the same book, equation 5.8)."""
    if len(deviations) < _ENOUGH:
        return 1.0, _NOISES[0]

    def misfit(choice: tuple[float, float]) -> float:
        scale, noise = choice
        factor = _factor(alike, scale * spread, noise)
        scaled = np.linalg.solve(factor, deviations)
        return float(0.5 * scaled @ scaled + np.sum(np.log(np.diag(factor))))

    return min(product(_SCALES, _NOISES), key=misfit)


def _factor(alike: Matrix, spread: Vector, noise: float) -> Matrix:
    covariance = spread[:, None] * alike * spread + noise**2 * np.eye(len(spread))
    return np.asarray(np.linalg.cholesky(covariance), np.float64)
