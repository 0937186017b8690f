"""What each border of one model costs beyond its prediction: terms fitted to recorded plans.

A plan's *features* say how often each term counts in it: of each part at a place, and of each
border from one place to another at a certain point. They hold for one model alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from benchmarks.placement.cuts.plans import Plan

Vector = NDArray[np.float64]
Features = Mapping[Hashable, float]
Terms = Mapping[Hashable, float]

_RIDGE = 1e-3  # of a column's own norm: terms that no plan tells apart share what they explain


def border_features(plan: Plan) -> dict[Hashable, float]:
    """Of a plan in its own model."""
    found: dict[Hashable, float] = {}
    for piece in plan:
        _add(found, ("part", piece.place), 1.0)
    for one, other in pairwise(plan):
        _add(found, ("border", other.start, one.place, other.place), 1.0)
    return found


def fitted(features: Sequence[Features], predicted: Vector, seconds: Vector) -> Terms:
    """Terms in seconds that make predictions of plans right.

    Least squares of the error's share of what was measured, with a little ridge.
    """
    names = list(dict.fromkeys(name for row in features for name in row))
    matrix = np.array([[row.get(name, 0.0) for name in names] for row in features])
    matrix = matrix.reshape(len(features), len(names)) / seconds[:, None]
    norms = np.linalg.norm(matrix, axis=0)
    wanted = (seconds - predicted) / seconds
    ridge = _RIDGE**0.5 * np.eye(len(names))
    both = np.concatenate([matrix / norms, ridge])
    found, *_ = np.linalg.lstsq(both, np.concatenate([wanted, np.zeros(len(names))]), rcond=None)
    return dict(zip(names, map(float, found / norms), strict=True))


def added(features: Sequence[Features], terms: Terms) -> Vector:
    """What terms add to plans, in seconds; a term that nobody fitted adds nothing."""
    return np.array([sum(n * terms.get(name, 0.0) for name, n in row.items()) for row in features])


def _add(found: dict[Hashable, float], name: Hashable, amount: float) -> None:
    found[name] = found.get(name, 0.0) + amount
