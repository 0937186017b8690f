"""What is expected of candidates once some were tried: of how fast they are, and of failures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from farm.candidate import Candidate
from tuner.search.prior import Expected, Prior
from tuner.search.regression.alike import (
    FAILURE,
    LATENCY,
    REFUSAL,
    Effects,
    Matrix,
    Vector,
    correlation,
)
from tuner.search.regression.process import LEAST_VARIANCE, Process, Rows, normal

CAUTION = 1.0
"""Standard deviations below the median at which a candidate's lower confidence bound lies."""
_DOUBT = 0.3  # standard deviation of whether it fails, of like candidates
_LEAST, _MOST = 0.01, 0.95  # of a probability to fail


class Surrogate:
    """Over a pool of candidates, of which some were tried."""

    def __init__(self, pool: Sequence[Candidate], prior: Prior, tried: Rows) -> None:
        self._pool = tuple(pool)
        expected = prior.expect((*self._pool, *tried.candidates))
        self._expected, of_tried = expected[: len(pool)], expected[len(pool) :]
        self._tried = tried
        self._half: Matrix
        self._noise: float
        self._mean, self._spread, self._variance = self._learn_ratios(of_tried)
        self._unbelieved = self._variance
        self._failure = self._failures(of_tried)

    def best(self, left: Sequence[int]) -> int:
        """Of these indices that of the candidate whose bound is the least."""
        return left[int(np.argmin(self.bounds()[list(left)]))]

    def expected(self, at: int) -> Expected:
        """What is expected of the candidate of an index, whatever is believed of others."""
        rows = self._expected[at].rows + self._tried.compared
        spread = float(np.sqrt(self._unbelieved[at]))
        return Expected(float(np.exp(self._mean[at])), spread, rows, float(self._failure[at]))

    def bounds(self) -> Vector:
        """Logarithms of lower confidence bounds on the ratio per success, [pool].

        What fails with probability p is as good as one that is 1 / (1 - p) times slower.
        """
        found: Vector = self._mean - CAUTION * np.sqrt(self._variance) - np.log1p(-self._failure)
        return found

    def believe(self, at: int) -> None:
        """Take it that one is measured as expected, so that the next is chosen beside it.

        D. Ginsbourger, R. Le Riche and L. Carraro, "Kriging is well-suited to parallelize
        optimization", 2010: the kriging believer. Means stay; variances become what they will be.
        """
        alike = correlation([self._pool[at]], self._pool, LATENCY)[0]
        covariances = self._spread[at] * alike * self._spread - self._half[:, at] @ self._half
        row = covariances / np.sqrt(self._variance[at] + self._noise**2)
        self._half = np.vstack([self._half, row])
        self._variance = np.maximum(self._variance - row**2, LEAST_VARIANCE)

    def _learn_ratios(self, of_tried: Sequence[Expected]) -> tuple[Vector, Vector, Vector]:
        """Means, spreads before anything was tried, and variances, [pool] each."""
        rows = self._tried.measured
        measured = [self._tried.candidates[at] for at in rows]
        before, spread = normal([of_tried[at] for at in rows])
        own, own_spread = normal(self._expected)
        alike = correlation(measured, measured, LATENCY)
        process = Process.given(alike, spread, self._tried.log_ratios[rows] - before)
        across = correlation(measured, self._pool, LATENCY)
        shift, self._half = process.shift(across, own_spread)
        self._noise = process.noise
        before_all = process.scale * own_spread
        variance = before_all**2 - np.sum(self._half**2, axis=0)
        return own + shift, before_all, np.maximum(variance, LEAST_VARIANCE)

    def _failures(self, of_tried: Sequence[Expected]) -> Vector:
        """Of being refused, and of everything else that may go wrong."""
        tried = self._tried
        before = _told_apart(self._pool, self._expected)
        own = _told_apart(tried.candidates, of_tried)
        broken = self._regressed(tried.failed - tried.refused, own[0], before[0], FAILURE)
        refused = self._regressed(tried.refused, own[1], before[1], REFUSAL)
        return np.clip(broken + refused - broken * refused, _LEAST, _MOST)

    def _regressed(
        self, happened: Vector, expected: Vector, before: Vector, effects: Effects
    ) -> Vector:
        """Like ratios, on 0 and 1: [pool]. happened, expected: of what was tried."""
        tried = self._tried.candidates
        alike = correlation(tried, tried, effects) + _DOUBT**2 * np.eye(len(tried))
        weights = np.linalg.solve(alike, happened - expected)
        found = before + correlation(tried, self._pool, effects).T @ weights
        return np.clip(found, 0.0, 1.0)


def _told_apart(
    candidates: Sequence[Candidate], expected: Sequence[Expected]
) -> tuple[Vector, Vector]:
    """How likely each is to break, and to be refused: another precision may be too inaccurate."""
    failure = np.array([each.failure for each in expected])
    is_other = np.array([not each.keeps_precision for each in candidates])
    return np.where(is_other, 0.0, failure), np.where(is_other, failure, 0.0)
