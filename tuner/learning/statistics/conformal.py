"""Intervals that hold without a law of errors: split conformal and CV+, folds grouped by model.

V. Vovk, A. Gammerman and G. Shafer, "Algorithmic Learning in a Random World", 2005; residuals over
what the model itself thinks it is off (J. Lei et al., "Distribution-free predictive inference for
regression", 2018, section 5.2). Rows of one model err alike, so that models are what is
exchangeable: each has the same weight, and the one that is to come has it, too (Y. Lee, R. Barber
and R. Willett, "Distribution-free inference with hierarchical data", 2023, equation 5).

Values and spreads are logarithms: an interval is a factor either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SHARE = 0.9
"""Of values that intervals are to cover."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How intervals did on rows whose models they did not know.

    share: of rows that lay inside. half_width: half of the interval over the predicted value, the
    median. rows, models: how many there were.
    """

    share: float
    half_width: float
    rows: int
    models: int


def scores(errors: Array, spreads: Array) -> Array:
    """Absolute errors over spreads. errors: (n,), of left-out rows. spreads: (n,), above 0."""
    return np.abs(errors) / spreads


def reach(scored: Array, models: Sequence[object], share: float = SHARE) -> float:
    """How many spreads an interval reaches to either side.

    The least t with ``sum over models k of share of scores of k at most t, over K + 1`` at least
    the share that is to be covered. With fewer models than that can be told from it is the largest
    score, which covers K / (K + 1) of them.

    scored: (n,). models: of each row.
    """
    if not len(scored):
        return math.inf
    order = np.argsort(scored, kind="stable")
    weights = _weights(models)[order]
    total = np.cumsum(weights)
    at = int(np.searchsorted(total, share - 1e-9))
    return float(scored[order[min(at, len(order) - 1)]])


def _weights(models: Sequence[object]) -> Array:
    """Of each row; all together K / (K + 1)."""
    counts: dict[object, int] = {}
    for model in models:
        counts[model] = counts.get(model, 0) + 1
    return np.array([1.0 / counts[model] / (len(counts) + 1) for model in models])


def cv_plus(
    errors: Array, folds: Sequence[int], predicted: Array, share: float = SHARE
) -> tuple[Array, Array]:
    """Intervals from the models of all folds.

    R. Barber, E. Candes, A. Ramdas and R. Tibshirani, "Predictive inference with the jackknife+",
    2021, section 3.

    errors: (n,), of each row by the model that did not see its fold. folds: of each row, from 0.
    predicted: (F, m), what the model without each fold says of new rows. Returns low and high,
    each (m,); they cover at least ``2 share - 1`` for certain, and about ``share`` in practice.
    """
    off = np.abs(errors)[:, None]
    by_row = predicted[np.asarray(folds, int)]
    count = len(errors)
    least = math.floor((1.0 - share) * (count + 1) + 1e-9)
    most = math.ceil(share * (count + 1) - 1e-9)
    if least < 1 or most > count:
        endless = np.full(predicted.shape[1], math.inf)
        return -endless, endless
    low = np.sort(by_row - off, axis=0)[least - 1]
    high = np.sort(by_row + off, axis=0)[most - 1]
    return low, high


def reaches(
    errors: Array, spreads: Array, models: Sequence[object], share: float = SHARE
) -> Array:
    """How far each row's interval reaches to either side by the rows of other models alone.

    errors, spreads: (n,), of left-out rows. models: of each row.
    """
    scored, found, names = scores(errors, spreads), np.zeros(len(errors)), np.array(models)
    for name in dict.fromkeys(models):
        own = names == name
        found[own] = reach(scored[~own], names[~own].tolist(), share) * spreads[own]
    return found


def coverage(
    errors: Array, spreads: Array, models: Sequence[object], share: float = SHARE
) -> Coverage:
    """How intervals do on each model whose reach comes from the other models alone.

    errors, spreads: (n,), of left-out rows. models: of each row.
    """
    if not len(errors):
        return Coverage(0.0, math.inf, 0, 0)
    found = reaches(errors, spreads, models, share)
    inside = float(np.mean(np.abs(errors) <= found))
    return Coverage(inside, float(np.median(np.sinh(found))), len(errors), len(set(models)))
