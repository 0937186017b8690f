"""Covariances of rows of numbers and names, of clusters, and what they are made of.

See ``tuner.learning.statistics.gaussian_process`` for their sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

FIXED = 7
"""Hyperparameters before the length scales; the noise is the last."""
NO_CLUSTER = -1.0
"""The number of the cluster of a row that is in none."""


class Smoothness(StrEnum):
    """How smooth a function is taken to be."""

    MATERN = "matern"
    """Of order 5/2: it can be derived twice."""
    RBF = "rbf"
    """It can be derived as often as one likes."""


@dataclass(frozen=True, slots=True)
class Columns:
    """What the columns of rows are.

    groups: of each column, the number of its length scale, from 0 without gaps. named: whether a
    column's values are names, equal or not, as numbers.
    """

    groups: tuple[int, ...]
    named: tuple[bool, ...]

    @classmethod
    def numeric(cls, groups: Sequence[int]) -> Self:
        """Columns of numbers alone."""
        return cls(tuple(groups), (False,) * len(groups))


@dataclass(frozen=True, slots=True)
class Distances:
    """Between two sets of rows. products: of columns of numbers, for the trend.

    squared: by group, of numbers. differing: by group, how many names are not the same. together:
    1 of rows of one cluster, else 0; None where no row is of any.
    """

    products: Matrix
    squared: tuple[Matrix | None, ...]
    differing: tuple[Matrix | None, ...]
    together: Matrix | None

    @classmethod
    def of(
        cls,
        first: Matrix,
        second: Matrix,
        columns: Columns,
        first_clusters: Matrix,
        second_clusters: Matrix,
    ) -> Self:
        """Of rows, (n, d) and (m, d), and of the numbers of their clusters, (n,) and (m,)."""
        groups, named = np.array(columns.groups, int), np.array(columns.named, bool)
        numbers = np.flatnonzero(~named)
        squared: list[Matrix | None] = []
        differing: list[Matrix | None] = []
        for group in range(groups.max(initial=-1) + 1):
            own, names = (np.flatnonzero((groups == group) & kind) for kind in (~named, named))
            squared.append(_squared(first[:, own], second[:, own]) if len(own) else None)
            differing.append(_differing(first[:, names], second[:, names]) if len(names) else None)
        products = first[:, numbers] @ second[:, numbers].T
        together = None
        if (second_clusters != NO_CLUSTER).any():
            same = first_clusters[:, None] == second_clusters
            together = np.asarray(same & (second_clusters != NO_CLUSTER), np.float64)
        return cls(products, tuple(squared), tuple(differing), together)


@dataclass(frozen=True, slots=True)
class Parts:
    """A covariance, and what it is made of.

    numbers, names, both: how like rows are by numbers, by names, by both, each with its variance.
    cluster, cluster_names: what rows of one cluster share, all of them and those of like names.
    by_squared: derivative of the covariance by the squared distance of numbers.
    """

    covariance: Matrix
    trend: Matrix
    numbers: Matrix
    names: Matrix
    both: Matrix
    cluster: Matrix
    cluster_names: Matrix
    by_squared: Matrix


def parts_of(distances: Distances, logs: Matrix, smoothness: Smoothness) -> Parts:
    """The covariance of two sets of rows. logs: of hyperparameters, see ``GaussianProcess``."""
    level, trend, of_numbers, of_names, of_both, of_cluster, of_own_names = np.exp(
        2 * logs[:FIXED]
    )
    shape = distances.products.shape
    squared, differing = np.zeros(shape), np.zeros(shape)
    for group, scale in enumerate(np.exp(-2 * logs[FIXED:-1])):
        if (numbers := distances.squared[group]) is not None:
            squared += scale * numbers
        if (names := distances.differing[group]) is not None:
            differing += scale * names
    if smoothness is Smoothness.MATERN:
        far = np.sqrt(5 * squared)
        decay = np.exp(-far)
        near, slope = (1 + far + far**2 / 3) * decay, -5 / 6 * (1 + far) * decay
    else:
        near = np.exp(-squared / 2)
        slope = -near / 2
    same = np.exp(-differing)
    linear = trend * distances.products
    numbers, names, both = of_numbers * near, of_names * same, of_both * near * same
    slope *= of_numbers + of_both * same
    covariance = level + linear + numbers + names + both
    cluster = cluster_names = np.zeros((1, 1))
    if distances.together is not None:
        cluster = of_cluster * distances.together
        cluster_names = of_own_names * distances.together * same
        covariance = covariance + cluster + cluster_names
    return Parts(covariance, linear, numbers, names, both, cluster, cluster_names, slope)


def _squared(first: Matrix, second: Matrix) -> Matrix:
    own = np.sum(first**2, axis=1)[:, None] + np.sum(second**2, axis=1)
    return np.asarray(np.maximum(own - 2 * first @ second.T, 0.0), np.float64)


def _differing(first: Matrix, second: Matrix) -> Matrix:
    found = np.zeros((len(first), len(second)))
    for one, other in zip(first.T, second.T, strict=True):
        found += one[:, None] != other
    return found
