"""Peak memory of engines, simply: so much for the engine, so much for weights and activations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.candidate import Candidate, StaticInt8
from farm.units import Bytes
from tuner.learning.values import Subject

Array = NDArray[np.float64]

_LEAST = 1 << 20
"""Bytes that every process takes at least."""
_ROUNDS = 5
_FAR_OFF = 0.1


@dataclass(frozen=True, slots=True)
class Sizes:
    """What of a model lies in memory: its weights, and the most that is live at one step."""

    weights: Bytes
    live: Bytes


def sizes_of(subject: Subject) -> Sizes:
    """In the model's own numbers. A tensor lives from its first operator to its last one."""
    born: dict[str, int] = {}
    last: dict[str, int] = {}
    size: dict[str, int] = {}
    for step, op in enumerate(subject.operators):
        for tensor in (*op.reads, *op.writes):
            if not tensor.stored:
                born.setdefault(tensor.name, step)
                last[tensor.name] = step
                size[tensor.name] = tensor.size
    changes = [0] * (len(subject.operators) + 1)
    for name, bytes_ in size.items():
        changes[born[name]] += bytes_
        changes[last[name] + 1] -= bytes_
    live = max(np.cumsum(changes).tolist(), default=0)
    return Sizes(subject.weight_bytes, Bytes(int(live)))


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """Bytes of a process by the kind of its engine and whether it computes in integers.

    factors: of each the process itself, each byte of weights, and each of live activations. An
    engine that is not there is like the mean of those that are.
    """

    factors: tuple[tuple[str, tuple[float, float, float]], ...]

    @classmethod
    def fit(cls, rows: Sequence[tuple[Subject, Candidate, float]]) -> EngineMemory:
        """rows: models and candidates with the bytes that they took."""
        kinds: dict[str, list[tuple[Sizes, float]]] = {}
        sizes = {subject.sha256: subject for subject, _, _ in rows}
        of = {sha: sizes_of(subject) for sha, subject in sizes.items()}
        for subject, candidate, taken in rows:
            kinds.setdefault(_kind(candidate), []).append((of[subject.sha256], taken))
        return cls(tuple((kind, _factors(found)) for kind, found in sorted(kinds.items())))

    def bytes_of(self, sizes: Sizes, candidate: Candidate) -> float:
        """What a candidate is expected to take."""
        known = dict(self.factors)
        found = known.get(_kind(candidate))
        if found is None:
            found = tuple(np.mean(list(known.values()) or [(_LEAST, 1.0, 1.0)], axis=0).tolist())
        own, per_weight, per_live = found
        taken = own + per_weight * sizes.weights + per_live * candidate.batch * sizes.live
        return max(float(_LEAST), taken)


def _kind(candidate: Candidate) -> str:
    is_integer = isinstance(candidate.precision.quantization, StaticInt8)
    return f"{candidate.engine.kind}{' int8' if is_integer else ''}"


def _factors(found: Sequence[tuple[Sizes, float]]) -> tuple[float, float, float]:
    """None negative, by least squares of ratios in which those that are far off count less."""
    from scipy.optimize import nnls  # noqa: PLC0415  (slow to import; predicting needs none)

    matrix = np.array([[_LEAST, sizes.weights, sizes.live] for sizes, _ in found], np.float64)
    taken = np.maximum(_LEAST, np.array([each for _, each in found]))
    trust = np.ones(len(taken))
    factors = np.zeros(3)
    for _ in range(_ROUNDS):
        weight = np.sqrt(trust) / taken
        factors, _ = nnls(matrix * weight[:, None], taken * weight)
        off = np.abs(matrix @ factors / taken - 1.0)
        trust = 1.0 / np.maximum(1.0, off / _FAR_OFF)
    own, per_weight, per_live = factors.tolist()
    return own * _LEAST, per_weight, per_live
