"""Extremely randomised trees as plain arrays, which the store can keep.

P. Geurts, D. Ernst and L. Wehenkel, "Extremely randomized trees", 2006. Scikit-learn grows them;
what is kept are the numbers that its public ``tree_`` shows, never an object of its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
_Integers = NDArray[np.int32]

TREES = 32
_MOST_ROWS = 4096
"""A tree sees so many rows at most, drawn for it, so that time and memory are bounded."""
_FEATURES = 0.4  # of which each split chooses
_LEAF = 2  # rows at least: one alone makes trees twice as large and no better


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees one after another. All arrays but ``roots`` have a value for each node.

    roots: (T,), where each tree begins. feature: that a node asks for, -1 of a leaf.
    threshold: what goes left is at most that. left, right: nodes. value: what a leaf says.
    """

    roots: _Integers
    feature: _Integers
    threshold: NDArray[np.float32]
    left: _Integers
    right: _Integers
    value: NDArray[np.float32]

    @classmethod
    def fit(cls, inputs: Matrix, targets: Matrix, trees: int = TREES) -> Self:
        """Grow a forest. inputs: (n, d). targets: (n,). The same rows give the same forest."""
        # Imported here: it takes a second, and most commands fit nothing.
        from sklearn.ensemble import ExtraTreesRegressor  # noqa: PLC0415

        is_many = len(targets) > _MOST_ROWS
        grown = ExtraTreesRegressor(
            trees,
            max_features=_FEATURES,
            min_samples_leaf=_LEAF,
            bootstrap=is_many,
            max_samples=_MOST_ROWS if is_many else None,
            random_state=0,
            n_jobs=os.cpu_count(),
        ).fit(inputs, targets)
        made = [each.tree_ for each in grown.estimators_]
        roots = np.cumsum([0, *(tree.node_count for tree in made[:-1])])
        pairs = list(zip(made, roots, strict=True))
        return cls(
            roots.astype(np.int32),
            np.concatenate([np.where(t.children_left < 0, -1, t.feature) for t in made]).astype(
                np.int32
            ),
            np.concatenate([t.threshold for t in made]).astype(np.float32),
            np.concatenate([t.children_left + root for t, root in pairs]).astype(np.int32),
            np.concatenate([t.children_right + root for t, root in pairs]).astype(np.int32),
            np.concatenate([t.value.reshape(-1) for t in made]).astype(np.float32),
        )

    def predict(self, inputs: Matrix) -> tuple[Matrix, Matrix]:
        """What the trees say of rows, (m, d), and how far apart they are: (m,) each.

        A median, which single rows that something disturbed do not move; a standard deviation.
        """
        rows = np.asarray(inputs, np.float32)
        at = np.repeat(self.roots[:, None], len(rows), axis=1)
        every = np.arange(len(rows))
        while (asked := self.feature[at]).max(initial=-1) >= 0:
            goes_left = rows[every, np.maximum(asked, 0)] <= self.threshold[at]
            after = np.where(goes_left, self.left[at], self.right[at])
            at = np.where(asked >= 0, after, at)
        said = self.value[at].astype(np.float64)
        return np.median(said, axis=0), said.std(axis=0)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All that ``of_state`` needs, as arrays of numbers."""
        return {name: getattr(self, name) for name in _ARRAYS}

    @classmethod
    def of_state(cls, state: Mapping[str, NDArray[np.generic]]) -> Self:
        """The forest that gave this state. Raises KeyError: it is none."""
        return cls(**{name: state[name] for name in _ARRAYS})  # type: ignore[arg-type]


_ARRAYS = ("roots", "feature", "threshold", "left", "right", "value")
