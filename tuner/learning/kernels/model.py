"""A model of what the kernels of one engine in one precision take.

On top of a roofline it learns how far off that is, in logarithms: by a forest, or, where there are
few kernels, by a Gaussian process if that does better on kernels of models that it did not see.
Its intervals come from these, too. Where it does worse on them than the roofline does, it is not
used.

Models fall into folds, and beside the forest of all kernels one is kept for each fold, which saw
none of its models. Whoever learns from what is said of models that taught asks those.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from farm.costs.calibration import plain_roofline, roofline_of
from farm.costs.fit import Point, fit_roofline
from farm.costs.operators import CostedOperator
from farm.costs.roofline import Roofline
from farm.costs.work import kernel_work
from farm.prediction import Basis, Prediction
from tuner.learning.conformal import SHARE, Coverage, scores
from tuner.learning.gaussian_process import Columns, GaussianProcess
from tuner.learning.kernels.features import Surroundings, feature_names, features
from tuner.learning.kernels.forest import Forest
from tuner.learning.kernels.rows import KernelRow

Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rooflines = Mapping[int, Roofline]
"""By the threads of the engine; 0 where that was left to it."""

NO_ROOFLINES: Rooflines = MappingProxyType({})
FOLD = "fold"
"""What names of arrays of a state begin with that only those need who learn."""

_CLOCK, _CYCLES = 2e-7, 1e-8
_FEW = 400  # kernels up to which a Gaussian process is tried
_MOST = 20_000  # kernels that are fitted to: of more, evenly chosen ones say as much
FOLDS = 5
_FOLD_TREES = 16
_JUDGES = 20  # groups of models, each judged by the others
_LEAST_MODELS = 5
_LEAST_ROWS = 20
_LEAST_SPREAD = 0.05  # kernels of one signature differ by as much from run to run
_ALIKE = 0.3  # by which trees that all say the same may be off beside what sets them apart
_STEPS = 20
_ALL_THREADS = 10.0  # where others have the logarithm of how many


@dataclass(frozen=True, slots=True)
class Quality:
    """How a model does on kernels of models that it did not see.

    error, roofline_error: the median of relative errors, of its own and of the roofline's, which
    is scaled to be right in the middle.
    """

    error: float
    roofline_error: float
    coverage: Coverage

    @property
    def is_better(self) -> bool:
        """Whether it is worth more than the roofline."""
        return self.error < self.roofline_error


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel that is asked for.

    options, threads: of the setting. around: see ``Surroundings``.
    """

    operators: tuple[CostedOperator, ...]
    options: str
    around: float
    threads: int = 0


@dataclass(frozen=True, slots=True)
class KernelModel:
    """A model that was fitted. options: of the settings that it knows, a column each.

    clock: see :func:`clock_of`. rooflines: by threads. wide: how many of its own spreads an
    interval reaches to either side. folds: see :func:`fold_of`; none where they were not kept.
    """

    precision: str
    clock: float
    caches: tuple[float, ...]
    options: tuple[str, ...]
    rooflines: Rooflines
    learner: Forest | GaussianProcess
    wide: float
    quality: Quality
    folds: tuple[Forest, ...] = ()

    def predict(self, kernels: Sequence[Kernel], unseen: str = "") -> tuple[Prediction, ...]:
        """Seconds of kernels, with the intervals that nine of ten lie in.

        unseen: a model that what is said must not rest on, as far as folds were kept.
        """
        if not kernels:
            return ()
        learner = self.folds[fold_of(unseen)] if unseen and self.folds else self.learner
        base = np.array([self._base(kernel) for kernel in kernels])
        inputs = np.array([self._features(kernel) for kernel in kernels])
        middle, spread = _said(learner, inputs)
        told = base * np.exp(middle)
        far = np.exp(self.wide * spread)
        rows = self.quality.coverage.rows
        return tuple(
            Prediction(
                max(0.0, value - self.clock),
                max(0.0, value / factor - self.clock),
                max(0.0, value * factor - self.clock),
                "s",
                Basis.LEARNED,
                rows,
            )
            for value, factor in zip(told.tolist(), far.tolist(), strict=True)
        )

    def _base(self, kernel: Kernel) -> float:
        return _base(self.rooflines, kernel, self.precision) + self.clock

    def _features(self, kernel: Kernel) -> tuple[float, ...]:
        return _columns(kernel, self.precision, self.caches, self.options)

    def state(self) -> tuple[str, dict[str, NDArray[np.generic]]]:
        """JSON text and arrays of numbers, of which ``of_state`` makes the model again."""
        plain = {
            "learner": "forest" if isinstance(self.learner, Forest) else "process",
            "precision": self.precision,
            "clock": self.clock,
            "caches": self.caches,
            "options": self.options,
            "rooflines": {str(n): plain_roofline(each) for n, each in self.rooflines.items()},
            "folds": len(self.folds),
            "wide": self.wide,
            "quality": asdict(self.quality),
        }
        arrays = dict(self.learner.state())
        for at, forest in enumerate(self.folds):
            arrays |= {f"{FOLD}{at}/{name}": each for name, each in forest.state().items()}
        return json.dumps(plain), arrays

    @classmethod
    def of_state(cls, text: str, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The model that gave this state, without folds where their arrays are not there.

        Raises KeyError, ValueError: it is none.
        """
        plain = json.loads(text)
        has_folds = any(name.startswith(FOLD) for name in arrays)
        folds = range(plain["folds"]) if has_folds else ()
        learner = Forest if plain["learner"] == "forest" else GaussianProcess
        quality = plain["quality"]
        return cls(
            plain["precision"],
            plain["clock"],
            tuple(plain["caches"]),
            tuple(plain["options"]),
            {int(n): roofline_of(each) for n, each in plain["rooflines"].items()},
            learner.of_state(arrays),
            plain["wide"],
            Quality(quality["error"], quality["roofline_error"], Coverage(**quality["coverage"])),
            tuple(Forest.of_state(_of_fold(at, arrays)) for at in folds),
        )


def fold_of(model: str) -> int:
    """The fold of a model, by its name or what identifies it: always the same one."""
    return zlib.crc32(model.encode()) % FOLDS


def _of_fold(at: int, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    begin = f"{FOLD}{at}/"
    return {n.removeprefix(begin): each for n, each in arrays.items() if n.startswith(begin)}


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
        table.options,
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


def _are_enough(rows: Sequence[KernelRow]) -> bool:
    return len(rows) >= _LEAST_ROWS and len({row.model for row in rows}) >= _LEAST_MODELS


def _table(rows: Sequence[KernelRow], caches: Sequence[float], rooflines: Rooflines) -> _Table:
    precision, clock = rows[0].setting.precision, clock_of(rows[0].setting.engine)
    options = tuple(sorted({row.setting.options for row in rows}))
    rooflines = rooflines or {0: _fitted(rows, caches, clock)}
    kernels = [
        Kernel(row.operators, row.setting.options, row.around, row.setting.threads) for row in rows
    ]
    base = np.array([_base(rooflines, kernel, precision) + clock for kernel in kernels])
    return _Table(
        precision,
        clock,
        options,
        rooflines,
        tuple(row.model for row in rows),
        np.array([_columns(k, precision, tuple(caches), options) for k in kernels]),
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
            return process, found.mean, _wide_enough(np.sqrt(found.variance))
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
            middle[out], spread[out] = _said(forests[-1], inputs[out])
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


def _said(learner: Forest | GaussianProcess, inputs: Matrix) -> tuple[Matrix, Matrix]:
    if isinstance(learner, Forest):
        middle, spread = learner.predict(inputs)
        return middle, spread + _ALIKE
    found = learner.predict(inputs)
    return found.mean, _wide_enough(np.sqrt(found.variance))


def _wide_enough(spread: Matrix) -> Matrix:
    return np.asarray(np.hypot(spread, _LEAST_SPREAD), np.float64)


def _groups(inputs: Matrix) -> Columns:
    """Columns that say yes or no share a length scale, as do those that say nothing."""
    yes_or_no = [len(set(column)) < 3 for column in inputs.T]
    numbers = iter(range(1, len(yes_or_no) + 1))
    return Columns.numeric([0 if each else next(numbers) for each in yes_or_no])


def _columns(
    kernel: Kernel, precision: str, caches: tuple[float, ...], options: Sequence[str]
) -> tuple[float, ...]:
    near = Surroundings(caches, kernel.around)
    known = (float(kernel.options == each) for each in options)
    threads = math.log2(kernel.threads) if kernel.threads else _ALL_THREADS
    return (*features(kernel.operators, precision, near), threads, *known)


def column_names(model: KernelModel) -> tuple[str, ...]:
    """What each number of a row is that a model sees."""
    return (*feature_names(len(model.caches)), "threads", *model.options)


def _base(rooflines: Rooflines, kernel: Kernel, precision: str) -> float:
    """Seconds by the roofline of as many threads, or the one that is nearest."""
    roofline = rooflines.get(kernel.threads) or rooflines.get(0) or next(iter(rooflines.values()))
    return roofline.predict(kernel_work(kernel.operators, precision)).value


def _typical(errors: Matrix) -> float:
    """The median of relative errors, of errors of logarithms."""
    return float(np.median(np.abs(np.expm1(errors))))
