"""How likely a candidate is to fail: how often those that are like it did.

The mean of a beta distribution (E. Nadaraya's and G. Watson's weights, 1964, as its counts): with
no candidate like it, it is as likely as all that were tried, and each that is like it moves that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tuner.learning.statistics.covariance import Columns

Array = NDArray[np.float64]

_WIDTHS = (0.5, 1.0, 2.0, 4.0)
"""Of what counts as alike, in standard deviations of numbers and in names."""
_BEFORE = 1.0  # candidates that the share of all counts for
_MOST = 2000  # that are compared: the first


@dataclass(frozen=True, slots=True)
class Failures:
    """inputs: (n, d), of candidates that were tried. failed: (n,), 1 of those that failed.

    scale: (d,), of numbers. named: (d,), 1 where a column holds names. width: see ``_WIDTHS``.
    """

    inputs: Array
    failed: Array
    scale: Array
    named: Array
    width: float

    @classmethod
    def fit(cls, inputs: Array, failed: Array, models: Sequence[str], columns: Columns) -> Self:
        """The width is that by which models that were left out are told best.

        models: of each row. Best is the least logarithmic loss (I. Good, "Rational decisions",
        1952).
        """
        given, told = inputs[:_MOST], np.asarray(failed[:_MOST], np.float64)
        named = np.array(columns.named, np.float64)
        spread = given.std(axis=0) if len(given) else np.ones(len(named))
        scale = np.where((named > 0) | (spread < 1e-12), 1.0, spread)
        made = [cls(given, told, scale, named, width) for width in _WIDTHS]
        if not told.any():
            return made[1]
        names = np.array(models[:_MOST])
        apart = names[:, None] != names
        return min(made, key=lambda each: _loss(each.likely(given, apart), told))

    def predict(self, inputs: Array) -> Array:
        """From 0 to 1, (m,). inputs: (m, d)."""
        return self.likely(inputs, np.ones((len(inputs), len(self.inputs)), bool))

    def state(self) -> dict[str, Array]:
        """As arrays."""
        return {
            "inputs": self.inputs,
            "failed": self.failed,
            "scale": self.scale,
            "named": self.named,
            "width": np.array([self.width]),
        }

    @classmethod
    def of_state(cls, state: Mapping[str, Array]) -> Self:
        """What gave this state. Raises KeyError, ValueError: it is none."""
        named = state["named"]
        inputs = state["inputs"].reshape(-1, len(named))
        return cls(inputs, state["failed"], state["scale"], named, float(state["width"][0]))

    def likely(self, inputs: Array, counts: Array) -> Array:
        """As ``predict``. counts: (m, n), whether each known row counts for a new one."""
        if not len(self.inputs):
            return np.zeros(len(inputs))
        far = np.zeros((len(inputs), len(self.inputs)))
        for new, known, scale, named in zip(
            inputs.T, self.inputs.T, self.scale, self.named, strict=True
        ):
            apart = new[:, None] - known
            # Numbers that all say how large a model is count together like one name.
            far += 2.0 * (apart != 0.0) if named else (apart / scale) ** 2 / len(self.scale)
        alike = np.exp(-far / (2.0 * self.width**2)) * counts
        everywhere = (self.failed.sum() + 0.5) / (len(self.failed) + 1.0)
        return np.asarray(
            (alike @ self.failed + _BEFORE * everywhere) / (alike.sum(axis=1) + _BEFORE)
        )


def _loss(likely: Array, failed: Array) -> float:
    sure = np.clip(likely, 1e-9, 1 - 1e-9)
    return float(-np.mean(failed * np.log(sure) + (1 - failed) * np.log(1 - sure)))
