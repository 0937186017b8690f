"""How alike candidates are: what one that was measured says of one that was not.

The covariance of a Gaussian process over candidates. It is a sum of effects, because latencies of
configurations are: what all candidates of a model share, what those of one engine share, of one
precision, and of one engine in one precision. Within each, every option that differs takes a
share away; what is left belongs to the candidate alone. So a few trials say something of all, and
nothing has to be fitted. Additive kernels: Duvenaud et al., Additive Gaussian Processes, 2011.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from farm.candidate import Candidate
from tuner.search.regression.flat import flat

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

_ENGINE, _PRECISION = "engine.", "precision."
_KINDS = ("engine.kind", "precision.quantization.kind", "precision.float_type")
# What is left where an option differs, the others being equal.
_STRONG, _WEAK = 0.3, 0.97
_STRONG_OPTIONS = frozenset(
    {
        "engine.threads",
        "engine.target",
        "engine.spinning",
        "engine.graph_level",
        "precision.quantization.convolutions",
        "precision.quantization.products",
        "callers",
        "batch",
    }
)


@dataclass(frozen=True, slots=True)
class Effects:
    """Shares of the variance, which are 1 together; what lacks is shared with nobody.

    all, engine, precision, both: shared by all candidates of a model, by those of an engine, of a
    precision, and of both. own: by no other one.
    """

    all: float
    engine: float
    precision: float
    both: float
    own: float


LATENCY = Effects(all=0.50, engine=0.20, precision=0.06, both=0.20, own=0.04)
"""Of the logarithm of a latency over the baseline's, which all share.

About the likeliest on 16 models of ``benchmarks/inputs/corpus.py``, in 15 to 21 candidates each.
"""
ACROSS = replace(LATENCY, all=0.20)
"""The same of candidates of two models that are alike: each has a baseline of its own."""
FAILURE = Effects(all=0.05, engine=0.15, precision=0.35, both=0.40, own=0.05)
"""Of failing, for whatever reason."""
REFUSAL = Effects(all=0.0, engine=0.0, precision=0.75, both=0.20, own=0.05)
"""Of being refused: too inaccurate is a precision, and no other one of the same engine."""


def correlation(first: Sequence[Candidate], second: Sequence[Candidate], of: Effects) -> Matrix:
    """How alike candidates are, from 0 to 1, [first, second]; 1 of one with itself."""
    engines = _agreement(first, second, _ENGINE)
    precisions = _agreement(first, second, _PRECISION)
    rest = _agreement(first, second, "")
    same = (engines == 1.0) & (precisions == 1.0) & (rest == 1.0)
    shared = (
        of.all + of.engine * engines + of.precision * precisions + of.both * engines * precisions
    )
    found: Matrix = shared * rest + of.own * same
    return found


def _agreement(first: Sequence[Candidate], second: Sequence[Candidate], prefix: str) -> Matrix:
    """The product over all parameters of a group of what each leaves."""
    rows, columns = [flat(c) for c in first], [flat(c) for c in second]
    names = sorted(set().union(*rows, *columns))
    groups = (_ENGINE, _PRECISION)
    mine = [n for n in names if (n.startswith(prefix) if prefix else not n.startswith(groups))]
    found = np.ones((len(rows), len(columns)))
    for name in mine:
        codes: dict[object, int] = {}
        left = np.array([codes.setdefault(row.get(name), len(codes)) for row in rows])
        right = np.array([codes.setdefault(row.get(name), len(codes)) for row in columns])
        if len(codes) > 1:
            found *= np.where(left[:, None] == right[None, :], 1.0, _left(name))
    return found


def _left(name: str) -> float:
    if name in _KINDS:
        return 0.0
    return _STRONG if name in _STRONG_OPTIONS else _WEAK
