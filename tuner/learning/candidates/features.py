"""A candidate of a model as one row of numbers and names, for a Gaussian process."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    OnnxRuntimeCpu,
    Pipeline,
    canonical,
)
from farm.costs.families import Family
from tuner.learning.candidates.estimate import Estimate
from tuner.learning.statistics.covariance import Columns
from tuner.learning.values import Subject

_SHARES: tuple[frozenset[Family], ...] = (
    frozenset({Family.CONVOLUTION}),
    frozenset({Family.POINTWISE}),
    frozenset({Family.DEPTHWISE}),
    frozenset({Family.PRODUCT}),
    frozenset({Family.RECURRENT}),
    frozenset({Family.ELEMENTWISE, Family.NORMALISATION, Family.POOL, Family.REDUCTION}),
)
"""Families whose shares of a candidate's seconds are columns; those of others follow."""
_LEAST = 1e-9
"""Seconds below which nothing is told apart."""


@dataclass(frozen=True, slots=True)
class Row:
    """numbers: of the model and of its estimate. names: of the candidate's choices, by column."""

    numbers: tuple[float, ...]
    names: tuple[str, ...]


SIZE, WORK, SHARES = range(3)
_GROUPS = (SIZE,) * 3 + (WORK,) * 4 + (SHARES,) * (len(_SHARES) + 1)


def row_of(subject: Subject, candidate: Candidate, estimate: Estimate) -> Row:
    """A candidate of a model, with the estimate of what it takes."""
    seconds = max(_LEAST, estimate.seconds)
    shares = [sum(estimate.families.get(f, 0.0) for f in of) / seconds for of in _SHARES]
    numbers = (
        math.log(seconds),
        math.log(max(1, estimate.kernels)),
        math.log(seconds / max(1, estimate.kernels)),
        math.log1p(subject.macs),
        math.log1p(subject.weight_bytes),
        math.log1p(subject.activation_bytes),
        math.log1p(subject.macs / max(1, subject.weight_bytes)),
        *shares,
        estimate.calls / seconds,
    )
    return Row(numbers, choices(candidate))


NAMES = ("engine", "threads", "waiting", "graph", "arithmetic", "quantisation", "details", "load")
"""Columns of names."""


def choices(candidate: Candidate) -> tuple[str, ...]:
    """What was chosen, by the columns of ``NAMES``.

    Options that are seldom changed share a column: what is not the default there is its own name.
    """
    engine, precision = candidate.engine, candidate.precision
    quantization = precision.quantization
    plain = canonical(candidate)["engine"]
    kind: str = engine.kind
    threads, waiting, graph = "", "", ""
    match engine:
        case CPackage(target=target, compiler=compiler):
            kind, graph = f"{kind} {target}", compiler
        case CPackageEmulated(target=target):
            kind = f"{kind} {target}"
        case Pipeline(parts=parts):
            kind = " ".join(sorted({part.engine.kind for part in parts}))
            waiting = "overlapped" if engine.overlapped else ""
            graph = f"{len(parts)} parts"
        case OnnxRuntimeCpu():
            threads = str(engine.threads)
            waiting = _told(plain, ("spinning", "spin_microseconds", "pinning"))
            graph = _told(
                plain, ("graph_level", "saved_graph", "disabled_optimizers", "memory_pattern",
                        "memory_arena", "denormals_as_zero")
            )  # fmt: skip
        case _:
            threads = str(plain.get("threads", plain.get("cpu_threads", "")))
            own = ("kind", "threads", "cpu_threads", "on_cpu")
            waiting = _told(plain, [n for n in sorted(plain) if n not in own])
            graph = f"{len(plain['on_cpu'])} on cpu" if "on_cpu" in plain else ""
    quantised = canonical(precision)["quantization"] or {}
    details = [n for n in sorted(quantised) if n not in ("kind", "keep_float", "bias_correction")]
    load = f"{candidate.callers} {candidate.batch} {candidate.rewritten}"
    return (
        kind,
        threads,
        waiting,
        graph,
        f"{precision.float_type} of {precision.given}",
        quantization.kind if quantization else "",
        _told(quantised, details),
        load,
    )


def _told(plain: Mapping[str, Any], names: Iterable[str]) -> str:
    return " ".join(f"{name}={plain[name]}" for name in names if name in plain)


@dataclass(frozen=True, slots=True)
class Encoder:
    """Names as numbers. known: of each column the names that were learnt from, in their order."""

    known: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Encoder:
        """The encoder of the names in these rows."""
        seen = [row.names for row in rows]
        return cls(tuple(tuple(sorted({names[at] for names in seen})) for at in range(len(NAMES))))

    def matrix(self, rows: Iterable[Row]) -> NDArray[np.float64]:
        """Rows as a matrix; a name that was not learnt from is unlike all others."""
        made = [[*row.numbers, *self._codes(row)] for row in rows]
        return np.array(made, np.float64).reshape(len(made), len(_GROUPS) + len(NAMES))

    def _codes(self, row: Row) -> list[float]:
        return [
            float(known.index(name)) if name in known else -1.0
            for name, known in zip(row.names, self.known, strict=True)
        ]


def columns() -> Columns:
    """What the columns of such a matrix are: each column of names has a scale of its own."""
    names = tuple(SHARES + 1 + at for at in range(len(NAMES)))
    return Columns(_GROUPS + names, (False,) * len(_GROUPS) + (True,) * len(NAMES))


_CHOICES = tuple(range(len(_GROUPS), len(_GROUPS) + len(NAMES)))
OF_SECONDS = (len(_GROUPS) - 1, *_CHOICES)
"""Columns that say how far seconds are from their estimate: choices, and the share of calls.

Of some dozens of models each has numbers of its own: whatever learns from more of them tells
models apart by these, and is wrong about the next one.
"""
OF_BYTES = (*(at for at, group in enumerate(_GROUPS) if group == WORK), *_CHOICES)
"""Columns that say how far bytes are from what is simply expected."""


def selected(which: Sequence[int]) -> Columns:
    """What some columns of such a matrix are, in their order, their groups numbered anew."""
    known = columns()
    numbers = {group: at for at, group in enumerate(sorted({known.groups[c] for c in which}))}
    return Columns(
        tuple(numbers[known.groups[c]] for c in which), tuple(known.named[c] for c in which)
    )
