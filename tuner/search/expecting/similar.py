"""What is expected of candidates by those of other models: a warm start.

A Gaussian process over candidates of several models. Its mean is another prior's; two candidates
of two models correlate as they would within one model, times how alike the models are, but for
what their baselines have of their own. So a model that was tuned before says most of itself, and
one of other operators next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from farm.candidate import Candidate
from tuner.search.prior import Expected, Prior
from tuner.search.regression.alike import ACROSS, FAILURE, LATENCY, Matrix, Vector, correlation
from tuner.search.regression.process import Process, Rows, normal

MOST_ROWS = 1500
_DOUBT = 0.5  # standard deviation of whether it fails, of like candidates of other models
_OWN = LATENCY.all - ACROSS.all  # the share of a model's own baseline
_MOST_FAILURE = 0.5  # what failed on other models, for their weights' sake, may do on this one
_LEAST_SPREAD = 0.05  # a model is not measured twice alike


@dataclass(frozen=True, slots=True)
class Other:
    """What was tried of another model, the most important first.

    likeness: of that model to the one that is tuned, from 0 to 1.
    """

    likeness: float
    rows: Rows


@dataclass(frozen=True)
class SimilarPrior:
    """By the rows of other models, around what another prior expects.

    likenesses: of the others to each other, [others, others], a correlation.
    """

    before: Prior
    others: tuple[Other, ...]
    likenesses: Matrix
    _known: dict[Candidate, Expected] = field(default_factory=dict, compare=False)

    def expect(self, candidates: Sequence[Candidate]) -> tuple[Expected, ...]:
        """See ``Prior``."""
        new = [c for c in dict.fromkeys(candidates) if c not in self._known]
        if new:
            self._known.update(zip(new, self._learned.expect(new), strict=True))
        return tuple(self._known[c] for c in candidates)

    @property
    def _learned(self) -> _Learned:
        """Fitted once, when it is first asked."""
        if "learned" not in self.__dict__:
            self.__dict__["learned"] = _Learned(self.before, self.others, self.likenesses)
        found: _Learned = self.__dict__["learned"]
        return found


class _Learned:
    def __init__(self, before: Prior, others: Sequence[Other], likenesses: Matrix) -> None:
        self._before = before
        tried = [(i, c) for i, other in enumerate(others) for c in other.rows.candidates]
        kept = tried[:MOST_ROWS]
        model = np.array([i for i, _ in kept], int)
        self._candidates = [candidate for _, candidate in kept]
        self._own = np.array([each.likeness for each in others])[model]
        self._between = likenesses[np.ix_(model, model)]
        ratios = np.concatenate([each.rows.log_ratios for each in others])[: len(kept)]
        failed = np.concatenate([each.rows.failed for each in others])[: len(kept)]
        expected = before.expect(self._candidates)
        self._measured = [at for at, ratio in enumerate(ratios) if not np.isnan(ratio)]
        self._process = self._of_ratios(ratios, expected)
        self._failing = self._of_failures(failed, expected)

    def expect(self, candidates: Sequence[Candidate]) -> list[Expected]:
        expected = self._before.expect(candidates)
        mean, spread = normal(expected)
        own = self._own[:, None]
        like = own * correlation(self._candidates, candidates, ACROSS) + _OWN * (own == 1.0)
        shift, half = self._process.shift(like[self._measured], spread)
        variance = (self._process.scale * spread) ** 2 - np.sum(half**2, axis=0)
        wide = np.sqrt(np.maximum(variance, _LEAST_SPREAD**2))
        failing = self._own[:, None] * correlation(self._candidates, candidates, FAILURE)
        failure = np.array([e.failure for e in expected]) + failing.T @ self._failing
        found = zip(
            expected, mean + shift, wide, np.clip(failure, 0.0, _MOST_FAILURE), strict=True
        )
        rows = len(self._measured)
        return [
            Expected(float(np.exp(m)), float(s), e.rows + rows, float(f)) for e, m, s, f in found
        ]

    def _of_ratios(self, ratios: Vector, expected: Sequence[Expected]) -> Process:
        rows = self._measured
        candidates = [self._candidates[at] for at in rows]
        mean, spread = normal([expected[at] for at in rows])
        between = self._between[np.ix_(rows, rows)]
        alike = between * correlation(candidates, candidates, ACROSS) + _OWN * (between == 1.0)
        return Process.given(alike, spread, ratios[rows] - mean)

    def _of_failures(self, failed: Vector, expected: Sequence[Expected]) -> Vector:
        """Weights; those of rows of which nothing is known are 0."""
        surprises = failed - np.array([each.failure for each in expected])
        known = ~np.isnan(surprises)
        alike = self._between * correlation(self._candidates, self._candidates, FAILURE)
        alike = np.where(known[:, None] & known, alike, 0.0)
        surprises = np.where(known, surprises, 0.0)
        alike += _DOUBT**2 * np.eye(len(alike))
        weights: Vector = np.linalg.solve(alike, surprises)
        return weights
