"""What is expected of candidates once some were tried: a Gaussian process over all of them.

The logarithm of a candidate's ratio to the baseline is normal around what its prior expects, with
the prior's spread; deviations of two candidates correlate as ``tuner.search.proposing.alike``
says. What was measured conditions that (Rasmussen and Williams, Gaussian Processes for Machine
Learning, 2006, equations 2.22 to 2.24). Failing is regressed in the same way on 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from farm.candidate import Candidate
from farm.measurement import Outcome
from tuner.runs.history import Entry
from tuner.search.prior import Expected, Prior
from tuner.search.proposing.alike import FAILURE, LATENCY, Matrix, Vector, correlation

CAUTION = 1.0
"""Standard deviations below the median at which a candidate's lower confidence bound lies."""
_NOISE = 0.04  # standard deviation of a measured log ratio
_DOUBT = 0.3  # the same of whether it fails
_SCALES = (0.5, 0.7, 1.0, 1.4, 2.0)
"""Factors of the prior's spreads, of which the likeliest is taken: it may be too sure."""
_ENOUGH = 4  # rows to say so
_LEAST_VARIANCE = 1e-12
_LEAST, _MOST = 0.01, 0.95  # of a probability to fail


@dataclass(frozen=True, slots=True)
class Rows:
    """What was tried: candidates, logarithms of their ratios, and whether each failed, [rows]."""

    candidates: tuple[Candidate, ...]
    log_ratios: Vector
    failed: Vector

    @classmethod
    def of(cls, history: Sequence[Entry]) -> Rows:
        """Of a search. What never ran has no ratio: NaN."""
        told = [e for e in history if e.outcome is not Outcome.INFRASTRUCTURE_ERROR]
        ratios = [e.ratio if e.ratio is not None and e.ratio > 0.0 else np.nan for e in told]
        failed = [float(not e.ok) for e in told]
        return cls(tuple(e.candidate for e in told), np.log(ratios), np.array(failed))


class Surrogate:
    """Over a pool of candidates, of which some may have been tried.

    rows: measurements that it rests on, those of the prior left out.
    """

    def __init__(self, pool: Sequence[Candidate], prior: Prior, tried: Rows) -> None:
        self._pool = tuple(pool)
        self._half: Matrix
        self._own_spread: Vector
        expected = prior.expect((*self._pool, *tried.candidates))
        self._of_pool, of_tried = expected[: len(pool)], expected[len(pool) :]
        self._mean, self._variance, self._seen = self._latencies(of_tried, tried)
        self._failure = self._failures(of_tried, tried)

    def expected(self, at: int) -> Expected:
        """What is expected of the candidate of an index by now."""
        rows = self._of_pool[at].rows + self._seen
        spread = float(np.sqrt(self._variance[at]))
        return Expected(float(np.exp(self._mean[at])), spread, rows, float(self._failure[at]))

    def bounds(self) -> Vector:
        """Logarithms of lower confidence bounds on the ratio per success, [pool].

        What fails with probability p is as good as one that is 1 / (1 - p) times slower.
        """
        found: Vector = self._mean - CAUTION * np.sqrt(self._variance) - np.log1p(-self._failure)
        return found

    def believe(self, at: int) -> None:
        """Take it that one is measured as expected, so that the next is chosen beside it.

        Ginsbourger et al., Kriging is well-suited to parallelize optimization, 2010.
        """
        row = self._covariances(at) / np.sqrt(self._variance[at] + _NOISE**2)
        self._half = np.vstack([self._half, row])
        self._variance = np.maximum(self._variance - row**2, _LEAST_VARIANCE)

    def _latencies(self, of_tried: Sequence[Expected], tried: Rows) -> tuple[Vector, Vector, int]:
        measured = [i for i, ratio in enumerate(tried.log_ratios) if not np.isnan(ratio)]
        candidates = [tried.candidates[i] for i in measured]
        own, own_spread = _normal(self._of_pool)
        mean, spread = _normal([of_tried[i] for i in measured])
        deviations = tried.log_ratios[measured] - mean
        alike = correlation(candidates, candidates, LATENCY)
        scale = _likeliest_scale(alike, spread, deviations)
        spread, own_spread = scale * spread, scale * own_spread
        factor = _factor(alike, spread)
        across = spread[:, None] * correlation(candidates, self._pool, LATENCY) * own_spread
        self._half = solve_triangular(factor, across, lower=True)
        self._own_spread = own_spread
        found = own + across.T @ cho_solve((factor, True), deviations)
        variance = own_spread**2 - np.sum(self._half**2, axis=0)
        return found, np.maximum(variance, _LEAST_VARIANCE), len(measured)

    def _covariances(self, at: int) -> Vector:
        """Of one candidate of the pool with all, given what was tried and believed."""
        alike = correlation([self._pool[at]], self._pool, LATENCY)[0]
        before = self._own_spread[at] * alike * self._own_spread
        return np.asarray(before - self._half[:, at] @ self._half, np.float64)

    def _failures(self, of_tried: Sequence[Expected], tried: Rows) -> Vector:
        before = np.array([each.failure for each in self._of_pool])
        surprises = tried.failed - np.array([each.failure for each in of_tried])
        alike = correlation(tried.candidates, tried.candidates, FAILURE)
        factor = cholesky(alike + _DOUBT**2 * np.eye(len(alike)), lower=True)
        across = correlation(tried.candidates, self._pool, FAILURE)
        found = before + across.T @ cho_solve((factor, True), surprises)
        return np.clip(found, _LEAST, _MOST)


def _normal(expected: Sequence[Expected]) -> tuple[Vector, Vector]:
    """Means and standard deviations of log ratios."""
    ratios, spreads = [e.ratio for e in expected], [e.spread for e in expected]
    return np.log(ratios, dtype=np.float64), np.array(spreads, np.float64)


def _factor(alike: Matrix, spread: Vector) -> Matrix:
    covariance = spread[:, None] * alike * spread + _NOISE**2 * np.eye(len(spread))
    found: Matrix = cholesky(covariance, lower=True)
    return found


def _likeliest_scale(alike: Matrix, spread: Vector, deviations: Vector) -> float:
    """By the marginal likelihood (the same book, equation 5.8)."""
    if len(deviations) < _ENOUGH:
        return 1.0

    def misfit(scale: float) -> float:
        factor = _factor(alike, scale * spread)
        scaled = solve_triangular(factor, deviations, lower=True)
        return float(0.5 * scaled @ scaled + np.sum(np.log(np.diag(factor))))

    return min(_SCALES, key=misfit)
