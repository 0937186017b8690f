"""How alike models are, as far as their speed by configuration goes.

By their operators: the share of the histograms of operator types that they have in common (the
histogram intersection kernel; M. Swain and D. Ballard, Color indexing, 1991), and by their shapes:
how many times more one computes than the other, per operator and as a whole.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from db.records import Model
from tuner.runs.record.operators import operators_in
from tuner.search.regression.alike import Matrix

_DECADES = 2.5  # a model that computes 10 ** 2.5 times more is alike by exp(-1)


@dataclass(frozen=True, slots=True)
class Traits:
    """What is compared of a model.

    types: how many operators of each type, as shares. macs: of a run. weights: stored values.
    """

    types: dict[str, float]
    macs: int
    weights: int

    @classmethod
    def of(cls, model: Model) -> Self:
        """Of a model as the store has it."""
        counts = Counter(op.op_type for op in operators_in(model.details).values())
        total = sum(counts.values()) or 1
        types = {name: count / total for name, count in counts.items()}
        return cls(types, model.macs, model.parameters)


def likeness(one: Traits, other: Traits) -> float:
    """From 0 to 1, which is that of a model to itself."""
    if one == other:
        return 1.0  # also where an older farm kept no operators
    common = sum(min(share, other.types.get(name, 0.0)) for name, share in one.types.items())
    sizes = ((one.macs, other.macs), (one.weights, other.weights))
    apart = sum(abs(math.log10((1 + a) / (1 + b))) for a, b in sizes) / len(sizes)
    return common * math.exp(-apart / _DECADES)


def likenesses(of: Sequence[Traits]) -> Matrix:
    """Of each to each: a correlation, because both factors are positive definite."""
    return np.array([[likeness(a, b) for b in of] for a in of])


def most_alike(own: Traits, others: Iterable[tuple[str, Traits]]) -> list[tuple[float, str]]:
    """Names of others with their likenesses, the most alike first."""
    found = [(likeness(own, traits), name) for name, traits in others]
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))
