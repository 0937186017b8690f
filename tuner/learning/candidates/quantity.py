"""One quantity of candidates, learnt: a Gaussian process on top of a simpler figure.

All is in logarithms. The simpler figure, moved by what it is off in the middle, is the baseline
that a process must beat on models that it did not see; where it does not, the baseline stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tuner.learning.candidates.features import selected
from tuner.learning.statistics.conformal import Coverage, coverage, reach, reaches, scores
from tuner.learning.statistics.covariance import Columns
from tuner.learning.statistics.gaussian_process import GaussianProcess

Array = NDArray[np.float64]

LEAST_MODELS = 3
"""That a process is fitted to: with fewer nothing can be left out."""
_FAR_OFF = 2.5  # of standard deviations, from where a row counts less
_STEPS, _MORE_STEPS = 40, 10  # of the search for hyperparameters: of all, and of nearly found ones
_LEAST_SPREAD = 0.02  # of a prediction: measurements are no more repeatable than that
_UNKNOWN_SPREAD = 0.7  # of a model that there is nothing to learn from


@dataclass(frozen=True, slots=True)
class Spread:
    """Logarithms of what is predicted, and how far to either side of them 90 % lie. (m,) each."""

    middle: Array
    reach: Array


@dataclass(frozen=True, slots=True)
class Quality:
    """How a quantity is predicted on models that were left out.

    error: the median of how far a prediction is off, as a share of what was measured. simple: the
    same of the baseline. coverage: of 90 % intervals, at models that their width does not know.
    left_out: of each row, what was said of it without its model; none where it was not kept.
    """

    error: float
    simple: float
    coverage: Coverage
    left_out: Spread | None = None


@dataclass(frozen=True, slots=True)
class Quantity:
    """What was learnt of a quantity.

    process: None where the baseline is better, or nothing could be fitted. which: the columns of a
    row that it looks at. offset: of the baseline. spread: of its errors. reaches: how many spreads
    an interval goes to either side.
    """

    process: GaussianProcess | None
    which: tuple[int, ...]
    offset: float
    spread: float
    reaches: float
    rows: int
    models: int
    quality: Quality | None

    @property
    def is_learned(self) -> bool:
        """Whether predictions are those of the process."""
        return self.process is not None

    @classmethod
    def fit(
        cls,
        inputs: Array,
        targets: Array,
        simple: Array,
        models: Sequence[str],
        which: Sequence[int],
        like: Quantity | None = None,
    ) -> Self:
        """inputs: (n, d). targets, simple: (n,), logarithms. models: of each row.

        which: columns of the inputs that it may look at.

        like: fitted to most of these rows before, with whose hyperparameters it begins: they
        hardly change, and finding them takes nearly all of the time.
        """
        count = len(set(models))
        if count < LEAST_MODELS:
            offset = float(np.median(targets - simple)) if len(targets) else 0.0
            return cls(None, (), offset, _UNKNOWN_SPREAD, 1.0, len(targets), count, None)
        offsets = _offsets_without(targets - simple, models)
        known = like.process if like is not None else None
        own = inputs[:, list(which)]
        process = _robust(own, targets, simple, models, selected(which), known)
        left_out = process.left_out(models)
        learned = targets - simple - left_out.mean
        plain = targets - simple - offsets
        spreads = np.sqrt(left_out.variance + _LEAST_SPREAD**2)
        is_better = np.mean(np.abs(learned)) < np.mean(np.abs(plain))
        errors = learned if is_better else plain
        spread = max(_LEAST_SPREAD, float(np.quantile(np.abs(plain), 0.9)))
        used = spreads if is_better else np.full(len(targets), spread)
        said = Spread(targets - errors, reaches(errors, used, models))
        quality = Quality(_share(learned), _share(plain), coverage(errors, used, models), said)
        return cls(
            process if is_better else None,
            tuple(which),
            float(np.median(targets - simple)),
            spread,
            reach(scores(errors, used), models),
            len(targets),
            count,
            quality,
        )

    def predict(self, inputs: Array, simple: Array) -> Spread:
        """inputs: (m, d). simple: (m,), logarithms."""
        if self.process is None:
            return Spread(simple + self.offset, np.full(len(simple), self.reaches * self.spread))
        found = self.process.predict(inputs[:, list(self.which)], simple)
        spreads = np.sqrt(found.variance + _LEAST_SPREAD**2)
        return Spread(found.mean, self.reaches * spreads)

    def state(self, name: str) -> dict[str, Array]:
        """As arrays, whose names begin with this one."""
        quality = self.quality
        figures = [self.offset, self.spread, self.reaches, self.rows, self.models]
        if quality is not None:
            of = quality.coverage
            figures += [quality.error, quality.simple, of.share, of.half_width, of.rows, of.models]
        state = {f"{name}/figures": np.array(figures, np.float64)}
        state[f"{name}/which"] = np.array(self.which, np.float64)
        if self.process is not None:
            own = self.process.state()
            state |= {f"{name}/process/{key}": array for key, array in own.items()}
        return state

    @classmethod
    def of_state(cls, name: str, state: Mapping[str, Array]) -> Self:
        """The quantity that gave this state. Raises KeyError, ValueError: it is none."""
        begin = f"{name}/process/"
        own = {key.removeprefix(begin): state[key] for key in state if key.startswith(begin)}
        offset, spread, reaches, rows, models, *told = map(float, state[f"{name}/figures"])
        quality = None
        if told:
            error, simple, share, half_width, count, names = told
            quality = Quality(error, simple, Coverage(share, half_width, int(count), int(names)))
        process = GaussianProcess.of_state(own) if own else None
        which = tuple(int(at) for at in state[f"{name}/which"])
        return cls(process, which, offset, spread, reaches, int(rows), int(models), quality)


def _robust(
    inputs: Array,
    targets: Array,
    simple: Array,
    models: Sequence[str],
    columns: Columns,
    like: GaussianProcess | None,
) -> GaussianProcess:
    """A process in which rows that are far from what the others say count less.

    Their noise is made so large that they lie at the border of what is not far (P. Huber, "Robust
    estimation of a location parameter", 1964): something else on the machine made them slow.
    """
    first = GaussianProcess.fit(
        inputs,
        targets,
        columns,
        prior=simple,
        clusters=models,
        like=like,
        steps=_STEPS if like is None else _MORE_STEPS,
    )
    found = first.left_out(range(len(targets)))
    off = (targets - simple - found.mean) ** 2
    noise = np.maximum(0.0, off / _FAR_OFF**2 - found.variance)
    if not noise.any():
        return first
    return GaussianProcess.fit(
        inputs,
        targets,
        columns,
        prior=simple,
        noise=noise,
        clusters=models,
        like=first,
        steps=_MORE_STEPS,
    )


def _offsets_without(errors: Array, models: Sequence[str]) -> Array:
    """Of each row the median of the errors of other models."""
    names = np.array(models)
    return np.array([np.median(errors[names != name]) for name in models])


def _share(errors: Array) -> float:
    return float(np.median(np.abs(np.expm1(-errors))))
