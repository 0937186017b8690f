"""A model of what the kernels of one engine in one precision take.

On top of a roofline it learns how far off that is, in logarithms: by a forest, or, where there are
few kernels, by a Gaussian process if that does better on kernels of models that it did not see.
Its intervals come from these, too. Where it does worse on them than the roofline does, it is not
used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
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

_CLOCK, _CYCLES = 2e-7, 1e-8
_FEW = 400  # kernels up to which a Gaussian process is tried
_MOST = 20_000  # kernels that are fitted to: of more, evenly chosen ones say as much
_FOLDS, _FOLD_TREES = 5, 16
_JUDGES = 20  # groups of models, each judged by the others
_LEAST_MODELS = 5
_LEAST_ROWS = 20
_LEAST_SPREAD = 0.05  # kernels of one signature differ by as much from run to run
_ALIKE = 0.3  # by which trees that all say the same may be off beside what sets them apart
_STEPS = 20


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
    """A kernel that is asked for. options: of the setting. around: see ``Surroundings``."""

    operators: tuple[CostedOperator, ...]
    options: str
    around: float


@dataclass(frozen=True, slots=True)
class KernelModel:
    """A model that was fitted. options: of the settings that it knows, a column each.

    clock: see :func:`clock_of`. wide: how many of its own spreads an interval reaches to either
    side.
    """

    precision: str
    clock: float
    caches: tuple[float, ...]
    options: tuple[str, ...]
    roofline: Roofline
    learner: Forest | GaussianProcess
    wide: float
    quality: Quality

    def predict(self, kernels: Sequence[Kernel]) -> tuple[Prediction, ...]:
        """Seconds of kernels, with the intervals that nine of ten lie in."""
        if not kernels:
            return ()
        base = np.array([self._base(kernel.operators) for kernel in kernels])
        inputs = np.array([self._features(kernel) for kernel in kernels])
        middle, spread = _said(self.learner, inputs)
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

    def _base(self, operators: Sequence[CostedOperator]) -> float:
        return _base(self.roofline, operators, self.precision) + self.clock

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
            "roofline": plain_roofline(self.roofline),
            "wide": self.wide,
            "quality": asdict(self.quality),
        }
        return json.dumps(plain), dict(self.learner.state())

    @classmethod
    def of_state(cls, text: str, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """The model that gave this state. Raises KeyError, ValueError: it is none."""
        plain = json.loads(text)
        learner = Forest if plain["learner"] == "forest" else GaussianProcess
        quality = plain["quality"]
        return cls(
            plain["precision"],
            plain["clock"],
            tuple(plain["caches"]),
            tuple(plain["options"]),
            roofline_of(plain["roofline"]),
            learner.of_state(arrays),
            plain["wide"],
            Quality(quality["error"], quality["roofline_error"], Coverage(**quality["coverage"])),
        )


def fit_kernels(
    rows: Sequence[KernelRow], caches: Sequence[float], roofline: Roofline | None = None
) -> KernelModel | None:
    """The model of one engine in one precision; None where there are too few kernels.

    rows: of the same engine and precision, each of another kernel, model or setting. caches: bytes
    of each level, the smallest first. roofline: of the place by its calibration; by default one is
    fitted to the rows.
    """
    rows = rows[:: 1 + len(rows) // _MOST]
    table = _table(rows, caches, roofline) if _are_enough(rows) else None
    if table is None:
        return None
    learner, middle, spread = _learned(table)
    errors = table.off - middle
    quality = Quality(
        _typical(errors),
        _typical(table.off - np.median(table.off)),
        _coverage(errors, spread, table.models),
    )
    return KernelModel(
        table.precision,
        table.clock,
        tuple(caches),
        table.options,
        table.roofline,
        learner,
        _reach(scores(errors, spread)),
        quality,
    )


def held_out(
    rows: Sequence[KernelRow], caches: Sequence[float], roofline: Roofline | None = None
) -> Matrix:
    """Seconds of every row by a model that did not see the row's own model. As ``fit_kernels``."""
    table = _table(rows, caches, roofline)
    _, middle, _ = _learned(table)
    return np.asarray(np.maximum(0.0, table.base * np.exp(middle) - table.clock), np.float64)


@dataclass(frozen=True, slots=True)
class _Table:
    """Rows as numbers. base: seconds by the roofline. off: logarithm of what they took over it."""

    precision: str
    clock: float
    options: tuple[str, ...]
    roofline: Roofline
    models: tuple[str, ...]
    inputs: Matrix
    base: Matrix
    off: Matrix


def _are_enough(rows: Sequence[KernelRow]) -> bool:
    return len(rows) >= _LEAST_ROWS and len({row.model for row in rows}) >= _LEAST_MODELS


def _table(
    rows: Sequence[KernelRow], caches: Sequence[float], roofline: Roofline | None
) -> _Table:
    precision, clock = rows[0].setting.precision, clock_of(rows[0].setting.engine)
    options = tuple(sorted({row.setting.options for row in rows}))
    roofline = roofline or _fitted(rows, caches, clock)
    kernels = [Kernel(row.operators, row.setting.options, row.around) for row in rows]
    base = np.array([_base(roofline, k.operators, precision) + clock for k in kernels])
    return _Table(
        precision,
        clock,
        options,
        roofline,
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


def _learned(table: _Table) -> tuple[Forest | GaussianProcess, Matrix, Matrix]:
    """A learner, what it says of each row without its model, and how far off that may be."""
    forest = _without_their_models(table)
    if len(table.off) <= _FEW:
        columns = _groups(table.inputs)
        process = GaussianProcess.fit(table.inputs, table.off, columns, steps=_STEPS)
        found = process.left_out(table.models)
        if _typical(table.off - found.mean) < _typical(table.off - forest[0]):
            return process, found.mean, _wide_enough(np.sqrt(found.variance))
    return Forest.fit(table.inputs, table.off), *forest


def _without_their_models(table: _Table) -> tuple[Matrix, Matrix]:
    """What forests say of each row that were grown without its fifth of the models."""
    inputs, off = table.inputs, table.off
    middle, spread = np.empty(len(off)), np.empty(len(off))
    fold = np.array([each % _FOLDS for each in _numbers(table.models)])
    for out in (fold == number for number in range(_FOLDS)):
        if out.any():
            others = Forest.fit(inputs[~out], off[~out], _FOLD_TREES)
            middle[out], spread[out] = _said(others, inputs[out])
    return middle, spread


def _reach(scored: Matrix) -> float:
    """How many spreads nine of ten kernels are off at most, each kernel with the same weight.

    Models with the same weight would ask for the largest score of all where there are few.
    """
    return float(np.quantile(scored, SHARE, method="higher"))


def _coverage(errors: Matrix, spread: Matrix, models: Sequence[str]) -> Coverage:
    """How intervals do on kernels whose model has no part in how far they reach."""
    scored = scores(errors, spread)
    fold = np.array([each % _JUDGES for each in _numbers(models)])
    reaches = np.empty(len(scored))
    for out in (fold == number for number in set(fold.tolist())):
        reaches[out] = _reach(scored[~out])
    half = float(np.median(np.sinh(reaches * spread)))
    inside = float(np.mean(scored <= reaches))
    return Coverage(inside, half, len(scored), len(set(models)))


def _numbers(models: Sequence[str]) -> Iterator[int]:
    """Of each row the number of its model, by name."""
    order = {name: at for at, name in enumerate(sorted(set(models)))}
    return (order[name] for name in models)


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
    return (*features(kernel.operators, precision, near), *known)


def column_names(model: KernelModel) -> tuple[str, ...]:
    """What each number of a row is that a model sees."""
    return (*feature_names(len(model.caches)), *model.options)


def _base(roofline: Roofline, operators: Sequence[CostedOperator], precision: str) -> float:
    """Seconds by the roofline."""
    return roofline.predict(kernel_work(operators, precision)).value


def _typical(errors: Matrix) -> float:
    """The median of relative errors, of errors of logarithms."""
    return float(np.median(np.abs(np.expm1(errors))))
