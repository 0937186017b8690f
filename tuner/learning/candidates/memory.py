"""Peak memory of engines, simply: so much for the engine, for weights, activations, kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long
from numpy.typing import NDArray

from farm.candidate import Candidate, OnnxRuntimeCpu
from farm.costs.families import Family
from farm.units import Bytes
from tuner.learning.values import Subject

Array = NDArray[np.float64]
Factors = tuple[float, ...]

_LEAST = 1 << 20
"""Bytes that every process takes at least."""
_SCALES = (float(_LEAST), 1.0, 1.0, 1.0, 1024.0)  # that make factors alike
_UNKNOWN = (float(_LEAST), 1.0, 1.0, 1.0, 0.0)
_SLIDING = frozenset({Family.CONVOLUTION, Family.POINTWISE, Family.DEPTHWISE})
_ROUNDS = 5
_FAR_OFF = 0.1


@dataclass(frozen=True, slots=True)
class Sizes:
    """What of a model lies in memory, as far as bytes tell.

    filters: weights of convolutions, which engines keep in a layout of their own. weights: all
    others. live: activations, the most at one step. weighted: operators that multiply by weights,
    for which engines make kernels or pack something.
    """

    filters: Bytes
    weights: Bytes
    live: Bytes
    weighted: int


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
    stored = {t.name: (op.family in _SLIDING, t.size)
              for op in reversed(subject.operators) for t in op.reads if t.stored}  # fmt: skip
    filters = sum(bytes_ for slides, bytes_ in stored.values() if slides)
    others = sum(bytes_ for slides, bytes_ in stored.values() if not slides)
    weighted = sum(
        op.family in _SLIDING or op.family is Family.PRODUCT for op in subject.operators
    )
    return Sizes(Bytes(filters), Bytes(others), Bytes(int(live)), weighted)


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """Bytes of a process by the kind of its engine, the numbers in which it computes, its graph.

    factors: of each the process itself, each byte of filters, of other weights and of live
    activations, and each operator with weights. One that is not there is like the mean of its
    engine's, and an engine that is not there like the mean of all.
    """

    factors: tuple[tuple[str, Factors], ...]

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
            engine = candidate.engine.kind
            own = [each for kind, each in known.items() if kind.split()[0] == engine]
            found = tuple(np.mean(own or list(known.values()) or [_UNKNOWN], axis=0).tolist())
        taken = np.dot(found, _terms(sizes, candidate.batch))
        return max(float(_LEAST), float(taken))


def _kind(candidate: Candidate) -> str:
    """What decides how often an engine has weights in memory: ONNX Runtime's optimiser copies."""
    engine, precision = candidate.engine, candidate.precision
    quantised = f" {precision.quantization.kind}" if precision.quantization else ""
    graph = ""
    if isinstance(engine, OnnxRuntimeCpu):
        graph = " saved" if engine.saved_graph else f" {engine.graph_level}"
    return f"{engine.kind} {precision.float_type}{quantised}{graph}"


def _terms(sizes: Sizes, batch: int = 1) -> list[float]:
    return [1.0, sizes.filters, sizes.weights, batch * sizes.live, float(sizes.weighted)]


def _factors(found: Sequence[tuple[Sizes, float]]) -> Factors:
    """None negative, by least squares of ratios in which those that are far off count less."""
    matrix = np.array([_terms(sizes) for sizes, _ in found], np.float64) * _SCALES
    taken = np.maximum(_LEAST, np.array([each for _, each in found]))
    trust = np.ones(len(taken))
    factors = np.zeros(len(_SCALES))
    for _ in range(_ROUNDS):
        weight = np.sqrt(trust) / taken
        factors, _ = scipy.optimize.nnls(matrix * weight[:, None], taken * weight)
        off = np.abs(matrix @ factors / taken - 1.0)
        trust = 1.0 / np.maximum(1.0, off / _FAR_OFF)
    return tuple((factors * _SCALES).tolist())
