"""Gaussian process regression, exact, for at most some thousand rows.

C. E. Rasmussen and C. K. I. Williams, "Gaussian Processes for Machine Learning", 2006: posterior
(2.25, 2.26), marginal likelihood and its gradient (5.8, 5.9), Matern covariance of order 5/2
(4.17). A covariance here is a sum of what all rows share, of a linear trend, and of how like each
other two rows are: a Matern function of distances between numbers times an exponential of how
many names differ (F. Hutter, H. Hoos and K. Leyton-Brown, "Sequential model-based optimization
for general algorithm configuration", 2011, equation 1). Columns of one group share a length scale.

Rows may come in clusters that err alike, like the candidates of one model. Such a row shares with
those of its cluster, and with no other, what no column says of it: a random effect of the cluster
and one of each of its names (section 2.7 there; mixed models elsewhere). Without it what is
peculiar to one model would be taken for what its size does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long

from tuner.learning.statistics.covariance import (
    FIXED,
    NO_CLUSTER,
    Columns,
    Distances,
    Matrix,
    Parts,
    Smoothness,
    parts_of,
)

_JITTER = 1e-8  # of the variance, on the diagonal: what rounding takes away
_MOST_STEPS = 60
_ENOUGH = 1e9  # of what rounding takes away: steps that gain less are the last
_BOUND = 9.0  # of the logarithm of a hyperparameter, either way
_LEAST_NOISE = 1e-3  # standard deviation of standardised targets: nothing is exact
_FIRST = (0.5, 0.2, 0.3, 0.3, 0.7, 0.3, 0.3)  # what these are thought to be at first


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is expected of rows: of each a mean, and a variance with the noise of one new value."""

    mean: Matrix
    variance: Matrix


@dataclass(frozen=True, slots=True)
class GaussianProcess:
    """A process that was fitted: everything that its posterior needs, as arrays.

    inputs: (n, d), as given. clusters: (n,), numbers of the rows' clusters, -1 of a row in none.
    residuals: (n,), targets less their prior, over ``unit``. noise: (n,), known variances of the
    targets, over ``unit`` squared. logs: logarithms of level, trend, of what rows share by their
    numbers, names, and both, of what clusters share and their names in them, of the length scale
    of each group, and of the noise, all as deviations.
    centre, scale: (d,), of the columns of numbers. factor: (n, n), of the covariance of the rows,
    lower, after Cholesky. weights: (n,), of the rows' covariances with a new one in its mean.
    """

    columns: Columns
    smoothness: Smoothness
    inputs: Matrix
    clusters: Matrix
    residuals: Matrix
    noise: Matrix
    unit: float
    logs: Matrix
    centre: Matrix
    scale: Matrix
    factor: Matrix = field(init=False, repr=False, compare=False)
    weights: Matrix = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = (self.inputs - self.centre) / self.scale
        distances = Distances.of(rows, rows, self.columns, self.clusters, self.clusters)
        parts = parts_of(distances, self.logs, self.smoothness)
        factor = _factor(parts.covariance, np.exp(2 * self.logs[-1]) + self.noise)
        object.__setattr__(self, "factor", factor)
        object.__setattr__(self, "weights", scipy.linalg.cho_solve((factor, True), self.residuals))

    @classmethod
    def fit(  # noqa: PLR0913
        cls,
        inputs: Matrix,
        targets: Matrix,
        columns: Columns,
        *,
        prior: Matrix | None = None,
        noise: Matrix | None = None,
        clusters: Sequence[str] | None = None,
        smoothness: Smoothness = Smoothness.MATERN,
        steps: int = _MOST_STEPS,
        like: GaussianProcess | None = None,
    ) -> Self:
        """The process whose hyperparameters make the targets most likely, by L-BFGS.

        inputs: (n, d). targets: (n,). prior: (n,), what is expected of each without the others, 0
        by default. noise: (n,), known variances of single targets, beside the common one that is
        fitted. clusters: (n,), names of the clusters that rows are of, by default each of none.
        steps: of the search for hyperparameters; 0 takes those it would begin with. like:
        a process of the same columns, with whose hyperparameters it begins.
        The same rows give the same process.
        """
        given = np.asarray(inputs, dtype=np.float64)
        residuals = np.asarray(targets, np.float64) - (0.0 if prior is None else prior)
        unit = float(np.sqrt(np.mean(residuals**2))) or 1.0
        own = np.zeros(len(given)) if noise is None else np.asarray(noise, np.float64) / unit**2
        of = _numbered(clusters, len(given))
        centre, scale = _standard(given, columns)
        rows = (given - centre) / scale
        problem = _Likelihood(
            Distances.of(rows, rows, columns, of, of),
            residuals / unit,
            own,
            smoothness,
        )
        logs = problem.most_likely(steps, None if like is None else like.logs)
        return cls(
            columns, smoothness, given, of, residuals / unit, own, unit, logs, centre, scale
        )

    def predict(self, inputs: Matrix, prior: Matrix | None = None) -> Posterior:
        """What is expected of other rows, (m, d), of clusters that are not known.

        prior: (m,), as in ``fit``.
        """
        given = np.asarray(inputs, dtype=np.float64)
        new, known = ((x - self.centre) / self.scale for x in (given, self.inputs))
        other = np.full(len(new), NO_CLUSTER)
        distances = Distances.of(new, known, self.columns, other, self.clusters)
        parts = parts_of(distances, self.logs, self.smoothness)
        across = parts.covariance
        mean = across @ self.weights
        level, trend, *alike = np.exp(2 * self.logs[:FIXED])
        if not self.is_clustered:
            alike = alike[:3]
        numbers = new[:, [not named for named in self.columns.named]]
        own = level + trend * np.sum(numbers**2, axis=1) + sum(alike)
        solved = scipy.linalg.solve_triangular(self.factor, across.T, lower=True)
        left = np.maximum(own - np.sum(solved**2, axis=0), 0.0) + np.exp(2 * self.logs[-1])
        before = 0.0 if prior is None else np.asarray(prior, np.float64)
        return Posterior(before + self.unit * mean, self.unit**2 * left)

    @property
    def is_clustered(self) -> bool:
        """Whether rows are of clusters."""
        return bool((self.clusters != NO_CLUSTER).any())

    def left_out(self, folds: Sequence[object]) -> Posterior:
        """Of every row what the rows of other folds say, less its prior, in the order of the rows.

        folds: (n,), of each row. The hyperparameters stay. With Q the inverse of the covariance
        and B the rows of a fold the error is ``inverse(Q[B, B]) @ (Q @ y)[B]`` and its covariance
        ``inverse(Q[B, B])`` (5.12 for single rows; D. Ginsbourger and C. Schaerer, "Fast
        calculation of Gaussian process multiple-fold cross-validation residuals", 2021).
        """
        inverse = scipy.linalg.cho_solve((self.factor, True), np.eye(len(self.residuals)))
        mean, variance = np.empty(len(self.residuals)), np.empty(len(self.residuals))
        for fold in dict.fromkeys(folds):
            of = np.flatnonzero([each == fold for each in folds])
            block = scipy.linalg.cholesky(inverse[np.ix_(of, of)], lower=True)
            errors = scipy.linalg.cho_solve((block, True), self.weights[of])
            mean[of] = self.residuals[of] - errors
            variance[of] = (
                np.diag(scipy.linalg.cho_solve((block, True), np.eye(len(of)))) - self.noise[of]
            )
        return Posterior(self.unit * mean, self.unit**2 * variance)

    def state(self) -> dict[str, Matrix]:
        """All that ``of_state`` needs, as arrays of numbers."""
        return {
            "groups": np.array(self.columns.groups, np.float64),
            "named": np.array(self.columns.named, np.float64),
            "smoothness": np.array([list(Smoothness).index(self.smoothness)], np.float64),
            "inputs": self.inputs,
            "clusters": self.clusters,
            "residuals": self.residuals,
            "noise": self.noise,
            "unit": np.array([self.unit]),
            "logs": self.logs,
            "centre": self.centre,
            "scale": self.scale,
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Matrix]) -> Self:
        """The process that gave this state. Raises KeyError, ValueError: it is none."""
        arrays = {name: np.asarray(state[name], np.float64) for name in _ARRAYS}
        columns = Columns(
            tuple(int(group) for group in state["groups"]),
            tuple(bool(named) for named in state["named"]),
        )
        smoothness = list(Smoothness)[int(state["smoothness"][0])]
        arrays["inputs"] = arrays["inputs"].reshape(-1, len(columns.groups))
        return cls(columns, smoothness, unit=float(state["unit"][0]), **arrays)


_ARRAYS = ("inputs", "clusters", "residuals", "noise", "logs", "centre", "scale")


@dataclass(frozen=True, slots=True)
class _Likelihood:
    """How likely targets are, by the logarithms of hyperparameters."""

    distances: Distances
    targets: Matrix
    noise: Matrix
    smoothness: Smoothness

    def most_likely(self, steps: int, like: Matrix | None = None) -> Matrix:
        """The logarithms that make the targets most likely. like: to begin with."""
        scales = len(self.distances.squared)
        usual: Matrix = np.log([*_FIRST, *[max(1.0, scales) ** 0.5] * scales, 0.3])
        begin = usual if like is None else like
        if steps == 0 or len(self.targets) < 2:
            return begin
        bounds = [(-_BOUND, _BOUND)] * (len(begin) - 1) + [(math.log(_LEAST_NOISE), _BOUND)]
        found, _, _ = scipy.optimize.fmin_l_bfgs_b(
            self.cost, begin, args=(usual,), bounds=bounds, factr=_ENOUGH, maxiter=steps
        )
        return np.asarray(found, np.float64)

    def cost(self, logs: Matrix, expected: Matrix) -> tuple[float, Matrix]:
        """Minus the logarithm of the likelihood, and its gradient.

        expected: what the logarithms are thought to be, by some e either way: it keeps those that
        the targets say nothing of.
        """
        parts = parts_of(self.distances, logs, self.smoothness)
        own = np.exp(2 * logs[-1])
        factor = _factor(parts.covariance, own + self.noise)
        weights = scipy.linalg.cho_solve((factor, True), self.targets)
        inverse = scipy.linalg.cho_solve((factor, True), np.eye(len(self.targets)))
        outer = inverse - np.outer(weights, weights)  # twice the gradient by the covariance
        value = 0.5 * self.targets @ weights + np.sum(np.log(np.diag(factor)))
        away = (logs - expected) / 2.0
        gradient = [
            np.exp(2 * logs[0]) * outer.sum(),
            np.vdot(outer, parts.trend),
            np.vdot(outer, parts.numbers),
            np.vdot(outer, parts.names),
            np.vdot(outer, parts.both),
            np.sum(outer * parts.cluster),
            np.sum(outer * parts.cluster_names),
            *self._by_scales(logs, parts, outer),
            own * np.trace(outer),
        ]
        return float(value + 0.5 * away @ away), np.array(gradient) + away / 2.0

    def _by_scales(self, logs: Matrix, parts: Parts, outer: Matrix) -> list[float]:
        """The gradient by the logarithm of each length scale."""
        by_squared = outer * parts.by_squared
        by_differing = -outer * (parts.names + parts.both + parts.cluster_names)
        found = []
        for group, scale in enumerate(np.exp(-2 * logs[FIXED:-1])):
            numbers, names = self.distances.squared[group], self.distances.differing[group]
            sloped = 0.0 if numbers is None else np.vdot(by_squared, numbers)
            sloped += 0.0 if names is None else np.vdot(by_differing, names)
            found.append(float(-scale * sloped))
        return found


def _numbered(clusters: Sequence[str] | None, count: int) -> Matrix:
    if clusters is None:
        return np.full(count, NO_CLUSTER)
    numbers = {name: float(at) for at, name in enumerate(dict.fromkeys(clusters))}
    return np.array([numbers[name] for name in clusters])


def _standard(inputs: Matrix, columns: Columns) -> tuple[Matrix, Matrix]:
    """What columns of numbers lie around, and how far; names stay as they are."""
    named = np.array(columns.named, bool)
    spread = inputs.std(axis=0)
    scale = np.where(named | (spread < 1e-12), 1.0, spread)
    return np.where(named, 0.0, inputs.mean(axis=0)), scale


def _factor(covariance: Matrix, noise: Matrix) -> Matrix:
    """The lower Cholesky factor of a covariance with noise."""
    covariance = covariance.copy()
    covariance[np.diag_indices_from(covariance)] += noise + _JITTER * np.max(np.diag(covariance))
    return np.asarray(scipy.linalg.cholesky(covariance, lower=True, overwrite_a=True), np.float64)
