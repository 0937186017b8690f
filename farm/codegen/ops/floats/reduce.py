"""Float steps that reduce an axis: mean, sum, largest element, softmax."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import (
    NO_SCRATCH,
    Array,
    Binding,
    Call,
    Loop,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes

_HEADER = "float_reduce.h"


class Reduction(Enum):
    """What becomes of the elements."""

    MEAN = auto()
    SUM = auto()
    MAX = auto()


@dataclass(frozen=True, slots=True, eq=False)
class FloatReduce:
    """The mean, the sum or the largest element over the axes first <= axis < last of x.

    y has the elements that remain in x's order, under any shape.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    first: int
    last: int
    function: Reduction
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Every row in one, or rows added to one another."""
        outer, length, inner = _parts(self.inputs[0].shape, self.first, self.last)
        if inner == 1:
            return Work("float_reduce", (Loop("rows", outer, length),))
        return Work("float_reduce", (Loop("columns", outer * length, inner),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        axes = tuple(range(self.first, self.last))
        wide = inputs[0].astype(np.float64)
        reduced = _REDUCED[self.function](wide, axes)
        return (np.asarray(reduced, np.float32).reshape(self.outputs[0].shape),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_reduce``."""
        outer, length, inner = _parts(self.inputs[0].shape, self.first, self.last)
        shape = shape_literal(
            "FloatReduceShape",
            function="REDUCE_MAX" if self.function is Reduction.MAX else "REDUCE_SUM",
            outer=outer,
            length=length,
            inner=inner,
            factor=float(np.float32(1 / length)) if self.function is Reduction.MEAN else 1.0,
        )
        return Call(_HEADER, "float_reduce", _pointers(self, bind), shape)


@dataclass(frozen=True, slots=True, eq=False)
class FloatSoftmax:
    """exp(x) divided by its sum over the axes first <= axis < last."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    first: int
    last: int
    in_place: tuple[tuple[int, int], ...] = ((0, 0),)
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Rows along the axis, of neighbours or of elements that are apart."""
        outer, length, inner = _parts(self.inputs[0].shape, self.first, self.last)
        name = "rows" if inner == 1 else "columns"
        return Work("float_softmax", (Loop(name, outer * inner, length),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        axes = tuple(range(self.first, self.last))
        wide = inputs[0].astype(np.float64)
        powers = np.exp(wide - wide.max(axes, keepdims=True))
        return ((powers / powers.sum(axes, keepdims=True)).astype(np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_softmax``."""
        outer, length, inner = _parts(self.inputs[0].shape, self.first, self.last)
        shape = shape_literal("FloatSoftmaxShape", outer=outer, length=length, inner=inner)
        return Call(_HEADER, "float_softmax", _pointers(self, bind), shape)


_REDUCED: Mapping[Reduction, Callable[[Array, tuple[int, ...]], Array]] = {
    Reduction.MEAN: np.mean,
    Reduction.SUM: np.sum,
    Reduction.MAX: np.max,
}


def _parts(shape: Sequence[int], first: int, last: int) -> tuple[int, int, int]:
    return math.prod(shape[:first]), math.prod(shape[first:last]), math.prod(shape[last:])


def _pointers(step: FloatReduce | FloatSoftmax, bind: Binding) -> tuple[Pointer, Pointer]:
    x = Pointer("const float *", bind.tensor(step.inputs[0]))
    return x, Pointer("float *", bind.tensor(step.outputs[0]))
