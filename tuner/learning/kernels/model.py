"""A model of what the kernels of one engine in one precision take.

On top of a roofline it says how far off that is, in logarithms, by a forest or a Gaussian process.

Models fall into folds, and beside the forest of all kernels there is one for each fold, which saw
none of its models. Whoever learns from what is said of models that taught asks those.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from farm.costs.calibration import Pattern, plain_roofline, roofline_of
from farm.costs.operators import CostedOperator
from farm.costs.roofline import Roofline
from farm.costs.work import kernel_work
from farm.prediction import Basis, Prediction
from tuner.learning.kernels.features import Surroundings, feature_names, features
from tuner.learning.kernels.forest import Forest
from tuner.learning.statistics.conformal import Coverage
from tuner.learning.statistics.gaussian_process import GaussianProcess

Matrix = NDArray[np.float64]
Rooflines = Mapping[int, Roofline]
"""By the threads of the engine; 0 where that was left to it."""

_LEAST_SPREAD = 0.05  # kernels of one signature differ by as much from run to run
_ALIKE = 0.3  # by which trees that all say the same may be off beside what sets them apart
FOLDS = 5
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
    """A model that was fitted.

    patterns: of the settings that it knows, by their options, which operators ran as one kernel;
    options are columns, in the order of their names. clock: see ``fitting.clock_of``. rooflines:
    by threads. wide: how many of its own spreads an interval reaches to either side. folds:
    forests without the models of each, see :func:`fold_of`, for who learns from what is said of
    models that taught. They are not part of the state.
    """

    precision: str
    clock: float
    caches: tuple[float, ...]
    patterns: Mapping[str, tuple[Pattern, ...]]
    rooflines: Rooflines
    learner: Forest | GaussianProcess
    wide: float
    quality: Quality
    folds: tuple[Forest, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """Those that it knows."""
        return tuple(sorted(self.patterns))

    def predict(self, kernels: Sequence[Kernel], unseen: str = "") -> tuple[Prediction, ...]:
        """Seconds of kernels, with the intervals that nine of ten lie in.

        unseen: a model that what is said must not rest on, as far as there are folds.
        """
        if not kernels:
            return ()
        learner = self.folds[fold_of(unseen)] if unseen and self.folds else self.learner
        base = np.array([self._base(kernel) for kernel in kernels])
        inputs = np.array([self._features(kernel) for kernel in kernels])
        middle, spread = said(learner, inputs)
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
        return base_of(self.rooflines, kernel, self.precision) + self.clock

    def _features(self, kernel: Kernel) -> tuple[float, ...]:
        return columns_of(kernel, self.precision, self.caches, self.options)

    def state(self) -> tuple[str, dict[str, NDArray[np.generic]]]:
        """JSON text and arrays of numbers, of which ``of_state`` makes the model again."""
        plain = {
            "learner": "forest" if isinstance(self.learner, Forest) else "process",
            "precision": self.precision,
            "clock": self.clock,
            "caches": self.caches,
            "patterns": self.patterns,
            "rooflines": {str(n): plain_roofline(each) for n, each in self.rooflines.items()},
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
            {name: tuple(map(tuple, each)) for name, each in plain["patterns"].items()},
            {int(n): roofline_of(each) for n, each in plain["rooflines"].items()},
            learner.of_state(arrays),
            plain["wide"],
            Quality(quality["error"], quality["roofline_error"], Coverage(**quality["coverage"])),
        )


def fold_of(model: str) -> int:
    """The fold of a model, by its name or what identifies it: always the same one."""
    return zlib.crc32(model.encode()) % FOLDS


def said(learner: Forest | GaussianProcess, inputs: Matrix) -> tuple[Matrix, Matrix]:
    """Logarithms of what rows take over the roofline, and their standard deviations, (m,) each."""
    if isinstance(learner, Forest):
        middle, spread = learner.predict(inputs)
        return middle, spread + _ALIKE
    found = learner.predict(inputs)
    return found.mean, wide_enough(np.sqrt(found.variance))


def wide_enough(spread: Matrix) -> Matrix:
    """Standard deviations, with that from run to run."""
    return np.asarray(np.hypot(spread, _LEAST_SPREAD), np.float64)


def columns_of(
    kernel: Kernel, precision: str, caches: tuple[float, ...], options: Sequence[str]
) -> tuple[float, ...]:
    """The numbers of a kernel. options: those that a model knows, a column each."""
    near = Surroundings(caches, kernel.around)
    known = (float(kernel.options == each) for each in options)
    threads = math.log2(kernel.threads) if kernel.threads else _ALL_THREADS
    return (*features(kernel.operators, precision, near), threads, *known)


def column_names(model: KernelModel) -> tuple[str, ...]:
    """What each number of a row is that a model sees."""
    return (*feature_names(len(model.caches)), "threads", *model.options)


def base_of(rooflines: Rooflines, kernel: Kernel, precision: str) -> float:
    """Seconds by the roofline of as many threads, or the one that is nearest."""
    roofline = rooflines.get(kernel.threads) or rooflines.get(0) or next(iter(rooflines.values()))
    return roofline.predict(kernel_work(kernel.operators, precision)).value
