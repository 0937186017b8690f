"""Fits the model of what the kernels of one engine in one precision take.

By a forest, or, where there are few kernels, by a Gaussian process if that does better on kernels
of models that it did not see. Intervals come from these, too. Where the model does worse on them
than the roofline does, it is not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from farm.costs.calibration import Pattern
from farm.costs.fit import Point, fit_roofline
from farm.costs.roofline import Roofline
from farm.costs.work import kernel_work
from tuner.learning.kernels.forest import Forest
from tuner.learning.kernels.model import (
    FOLDS,
    Kernel,
    KernelModel,
    Matrix,
    Quality,
    Rooflines,
    base_of,
    columns_of,
    fold_of,
    said,
    wide_enough,
)
from tuner.learning.kernels.rows import KernelRow
from tuner.learning.statistics.conformal import SHARE, Coverage, scores
from tuner.learning.statistics.covariance import Columns
from tuner.learning.statistics.gaussian_process import GaussianProcess

Mask = NDArray[np.bool_]

NO_ROOFLINES: Rooflines = MappingProxyType({})
_CLOCK, _CYCLES = 2e-7, 1e-8
_FEW = 400  # kernels up to which a Gaussian process is tried
_MOST = 20_000  # kernels that are fitted to: of more, evenly chosen ones say as much
_FOLD_TREES = 12
_JUDGES = 20  # groups of models, each judged by the others
_LEAST_MODELS = 5
_LEAST_ROWS = 20
_STEPS = 20
_FAR_MORE = 10
_NORMALISATION, _WITH_WEIGHTS = "BatchNormalization", frozenset({"Conv", "MatMul", "Gemm"})


def fit_kernels(
    rows: Sequence[KernelRow], caches: Sequence[float], rooflines: Rooflines = NO_ROOFLINES
) -> KernelModel | None:
    """The model of one engine in one precision; None where there are too few kernels.

    rows: of the same engine and precision, each of another kernel, model or setting. caches: bytes
    of each level, the smallest first. rooflines: of the place by its calibrations, by the threads
    of each; where there is none, one is fitted to the rows.
    """
    rows = rows[:: 1 + len(rows) // _MOST]
    table = _table(rows, caches, rooflines) if _are_enough(rows) else None
    if table is None:
        return None
    judged = _judged(rows)
    left_out = _left_out(table, [fold_of(model) for model in table.models], judged)
    learner, middle, spread = _learned(table, left_out, judged)
    errors = (table.off - middle)[judged]
    off, models = table.off[judged], [table.models[at] for at in np.flatnonzero(judged)]
    quality = Quality(
        _typical(errors),
        _typical(off - np.median(off)),
        _coverage(errors, spread[judged], models),
    )
    return KernelModel(
        table.precision,
        table.clock,
        tuple(caches),
        _patterns(rows, table.options),
        table.rooflines,
        learner,
        _reach(scores(errors, spread[judged])),
        quality,
        left_out.forests,
    )


def held_out(
    rows: Sequence[KernelRow],
    caches: Sequence[float],
    rooflines: Rooflines = NO_ROOFLINES,
    *,
    by_kernel: bool = False,
) -> Matrix:
    """Seconds of every row by a forest that did not see the row's own model. As ``fit_kernels``.

    by_kernel: that did not see the kernel, in no model and no setting, but others of its model.
    """
    table = _table(rows, caches, rooflines)
    groups = [row.signature if by_kernel else row.model for row in rows]
    found = _left_out(table, [fold_of(each) for each in groups], np.ones(len(rows), np.bool_))
    told = table.base * np.exp(found.middle) - table.clock
    return np.asarray(np.maximum(0.0, told), np.float64)


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows as numbers. base: seconds by the roofline. off: logarithm of what they took over it."""

    precision: str
    clock: float
    options: tuple[str, ...]
    rooflines: Rooflines
    models: tuple[str, ...]
    inputs: Matrix
    base: Matrix
    off: Matrix


@dataclass(frozen=True, slots=True)
class _LeftOut:
    """Forests without a fold each, and what they say of the rows of their folds: (n,) each."""

    forests: tuple[Forest, ...]
    middle: Matrix
    spread: Matrix


def _judged(rows: Sequence[KernelRow]) -> Mask:
    """Rows that are left out to see how good a model is, (n,).

    Models that people have, where there are enough of them. What was made to calibrate with is
    there for every model that is to come, too.
    """
    real = np.array([not row.is_probe for row in rows])
    models = {row.model for row in rows if not row.is_probe}
    return real if len(models) >= _LEAST_MODELS else np.ones(len(rows), np.bool_)


def _patterns(rows: Sequence[KernelRow], options: Sequence[str]) -> dict[str, tuple[Pattern, ...]]:
    """Types of operators that ran as one kernel in several models, by the options of the engine.

    In one alone they may have been told together only because nothing told them apart, and so may
    those of which a part ran as one far more often. Engines that fuse anything with what has
    weights fold a normalisation in between into these.
    """
    seen: dict[str, dict[Pattern, list[str]]] = {name: {} for name in options}
    for row in rows:
        pattern = tuple(op.op_type for op in row.operators)
        seen[row.setting.options].setdefault(pattern, []).append(row.model)
    found: dict[str, set[Pattern]] = {name: set() for name in options}
    for name, of in seen.items():
        counts = {pattern: len(models) for pattern, models in of.items() if len(pattern) > 1}
        for pattern, count in counts.items():
            often = max((counts.get(part, 0) for part in _parts(pattern)), default=0)
            if len(set(of[pattern])) > 1 and often < _FAR_MORE * count:
                found[name] |= {pattern, *_with_normalisation(pattern)}
    return {name: tuple(sorted(patterns)) for name, patterns in found.items()}


def _parts(pattern: Pattern) -> Iterator[Pattern]:
    """What of a pattern follows each other, but the whole."""
    for length in range(2, len(pattern)):
        yield from (pattern[at : at + length] for at in range(len(pattern) - length + 1))


def _with_normalisation(pattern: Pattern) -> Iterator[Pattern]:
    first, *others = pattern
    if first in _WITH_WEIGHTS and _NORMALISATION not in pattern:
        yield first, _NORMALISATION
        yield first, _NORMALISATION, *others


def _are_enough(rows: Sequence[KernelRow]) -> bool:
    return len(rows) >= _LEAST_ROWS and len({row.model for row in rows}) >= _LEAST_MODELS


def _table(rows: Sequence[KernelRow], caches: Sequence[float], rooflines: Rooflines) -> _Table:
    precision, clock = rows[0].setting.precision, clock_of(rows[0].setting.engine)
    options = tuple(sorted({row.setting.options for row in rows}))
    rooflines = rooflines or {0: _fitted(rows, caches, clock)}
    kernels = [
        Kernel(row.operators, row.setting.options, row.around, row.setting.threads) for row in rows
    ]
    base = np.array([base_of(rooflines, kernel, precision) + clock for kernel in kernels])
    return _Table(
        precision,
        clock,
        options,
        rooflines,
        tuple(row.model for row in rows),
        np.array([columns_of(k, precision, tuple(caches), options) for k in kernels]),
        base,
        np.log((np.array([row.seconds for row in rows]) + clock) / base),
    )


def clock_of(engine: str) -> float:
    """Seconds that an engine's profiler does not tell apart: errors below count less."""
    return _CYCLES if engine.startswith("cpackage") else _CLOCK


def _fitted(rows: Sequence[KernelRow], caches: Sequence[float], clock: float) -> Roofline:
    points = [
        Point(kernel_work(row.operators, row.setting.precision), row.seconds) for row in rows
    ]
    return fit_roofline(points, caches, clock)


def _learned(
    table: _Table, left_out: _LeftOut, judged: Mask
) -> tuple[Forest | GaussianProcess, Matrix, Matrix]:
    """A learner, what it says of each row without its model, and how far off that may be."""
    if len(table.off) <= _FEW:
        columns = _groups(table.inputs)
        process = GaussianProcess.fit(table.inputs, table.off, columns, steps=_STEPS)
        found = process.left_out(table.models)
        own, forests = (table.off - said for said in (found.mean, left_out.middle))
        if _typical(own[judged]) < _typical(forests[judged]):
            return process, found.mean, wide_enough(np.sqrt(found.variance))
    return Forest.fit(table.inputs, table.off), left_out.middle, left_out.spread


def _left_out(table: _Table, folds: Sequence[int], judged: Mask) -> _LeftOut:
    """folds: of each row. judged: rows that are left out with their folds; others never are."""
    inputs, off, fold = table.inputs, table.off, np.array(folds)
    middle, spread, forests = np.zeros(len(off)), np.ones(len(off)), []
    for number in range(FOLDS):
        out = judged & (fold == number)
        if out.all():  # a single model, or all of one fold: nothing is left to learn from
            out = np.zeros(len(out), np.bool_)
        forests.append(Forest.fit(inputs[~out], off[~out], _FOLD_TREES))
        if out.any():
            middle[out], spread[out] = said(forests[-1], inputs[out])
    return _LeftOut(tuple(forests), middle, spread)


def _reach(scored: Matrix) -> float:
    """How many spreads nine of ten kernels are off at most, each kernel with the same weight.

    Models with the same weight would ask for the largest score of all where there are few.
    """
    return float(np.quantile(scored, SHARE, method="higher"))


def _coverage(errors: Matrix, spread: Matrix, models: Sequence[str]) -> Coverage:
    """How intervals do on kernels whose model has no part in how far they reach."""
    scored = scores(errors, spread)
    order = {name: at % _JUDGES for at, name in enumerate(sorted(set(models)))}
    fold = np.array([order[name] for name in models])
    reaches = np.empty(len(scored))
    for out in (fold == number for number in set(fold.tolist())):
        reaches[out] = _reach(scored[~out])
    half = float(np.median(np.sinh(reaches * spread)))
    inside = float(np.mean(scored <= reaches))
    return Coverage(inside, half, len(scored), len(set(models)))


def _groups(inputs: Matrix) -> Columns:
    """Columns that say yes or no share a length scale, as do those that say nothing."""
    yes_or_no = [len(set(column)) < 3 for column in inputs.T]
    numbers = iter(range(1, len(yes_or_no) + 1))
    return Columns.numeric([0 if each else next(numbers) for each in yes_or_no])


def _typical(errors: Matrix) -> float:
    """The median of relative errors, of errors of logarithms."""
    return float(np.median(np.abs(np.expm1(errors))))
