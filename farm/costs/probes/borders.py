"""Models whose runs are mostly borders: what it takes to call an engine and to hand tensors over.

Each run is a call, what is taken, some kernels, whose time is known, and what is given back.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from onnx import ModelProto

from farm.costs.probes.builder import Probe

MANY = 9
"""Tensors that ``Border.MANY`` takes, and as many that it gives."""
LARGE = 1 << 18
"""Elements of the tensors that are large: 1 MiB of float32, like activations of networks."""
_SMALL, _ROW = 16, 1 << 10


class Border(StrEnum):
    """What a model takes and gives."""

    ONE = "one small tensor"
    MANY = "many small tensors"
    TAKEN = "a large tensor taken"
    BOTH = "a large tensor taken and given"


def border_models() -> Mapping[Border, ModelProto]:
    """One model of each kind."""
    return {border: _model(border) for border in Border}


def _model(border: Border) -> ModelProto:
    probe = Probe(str(border))
    match border:
        case Border.ONE | Border.MANY:
            for _ in range(MANY if border is Border.MANY else 1):
                probe.end(probe.add("Relu", probe.given(1, _SMALL)))
        case Border.TAKEN:
            rows = probe.given(1, LARGE // _ROW, _ROW)
            probe.end(probe.add("ReduceMean", rows, axes=[2], keepdims=1))
        case Border.BOTH:
            probe.end(probe.add("Relu", probe.given(1, LARGE // _ROW, _ROW)))
    return probe.model()
