"""Float steps on single elements: functions, arithmetic with broadcasting, factors of channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.literal import shape_literal
from farm.codegen.ops.operands import operand_names, operands
from farm.codegen.program import NO_SCRATCH, Array, Binding, Call, Loop, Pointer, Tensor, Work
from farm.units import Bytes

Floats = NDArray[np.float64]

MOST_LOOPS = 4
"""Loops of a broadcast, after neighbouring axes that are broadcast alike were merged."""

_HEADER = "float_elementwise.h"


class UnaryFunction(StrEnum):
    """Functions of one element; values are the ends of their names in C.

    alpha and beta are the lowest and the highest value of CLIP, the slope of LEAKY_RELU, slope
    and offset of HARD_SIGMOID.
    """

    RELU = "RELU"
    CLIP = "CLIP"
    LEAKY_RELU = "LEAKY_RELU"
    SIGMOID = "SIGMOID"
    TANH = "TANH"
    HARD_SIGMOID = "HARD_SIGMOID"
    HARD_SWISH = "HARD_SWISH"
    GELU = "GELU"
    GELU_TANH = "GELU_TANH"
    ERF = "ERF"
    EXP = "EXP"
    SQRT = "SQRT"
    NEG = "NEG"
    ABS = "ABS"
    SQUARE = "SQUARE"
    CUBE = "CUBE"


class BinaryFunction(StrEnum):
    """Functions of two elements. PRELU: the second one is the slope. POW: the exponent."""

    ADD = "ADD"
    SUB = "SUB"
    MUL = "MUL"
    DIV = "DIV"
    PRELU = "PRELU"
    POW = "POW"


@dataclass(frozen=True, slots=True, eq=False)
class FloatUnary:
    """y = function(x), element by element."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    function: UnaryFunction
    alpha: float = 0.0
    beta: float = 0.0
    in_place: tuple[tuple[int, int], ...] = ((0, 0),)
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """One loop, which is as expensive as the function."""
        return Work("float_unary", (Loop(self.function.lower(), 1, self.outputs[0].size),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        with np.errstate(over="ignore", invalid="ignore"):
            real = _UNARY[self.function](inputs[0].astype(np.float64), self.alpha, self.beta)
            return (real.astype(np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_unary``."""
        shape = shape_literal(
            "FloatUnaryShape",
            function=f"UNARY_{self.function}",
            size=self.outputs[0].size,
            alpha=float(self.alpha),
            beta=float(self.beta),
        )
        return Call(_HEADER, "float_unary", _pointers(self, bind), shape)


@dataclass(frozen=True, slots=True, eq=False)
class FloatBinary:
    """y = function(a, b) with numpy's broadcasting.

    constants: for a and b, None where the operand is the next of the inputs.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    function: BinaryFunction
    constants: tuple[Array | None, Array | None] = (None, None)
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def in_place(self) -> tuple[tuple[int, int], ...]:
        """Operands that are not broadcast can be overwritten."""
        size = self.outputs[0].size
        return tuple((0, i) for i, tensor in enumerate(self.inputs) if tensor.size == size)

    @property
    def work(self) -> Work:
        """Rows of the result."""
        *outer, length = broadcast_loops(self.outputs[0].shape, self._shapes())[0]
        loop = Loop(self.function.lower(), math.prod(outer), length)
        return Work("float_binary", (loop,))

    def _shapes(self) -> list[tuple[int, ...]]:
        return [each.shape for each in operands(self.constants, self.inputs)]

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Numpy's own."""
        a, b = operands(self.constants, inputs)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            result = _BINARY[self.function](a.astype(np.float32), b.astype(np.float32))
            return (result.astype(np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_binary``."""
        names = operand_names(self.constants, self.inputs, bind, "operand", np.float32)
        lengths, strides = broadcast_loops(self.outputs[0].shape, self._shapes())
        missing = MOST_LOOPS - len(lengths)
        shape = shape_literal(
            "FloatBinaryShape",
            function=f"BINARY_{self.function}",
            length=(*[1] * missing, *lengths),
            a_stride=(*[0] * missing, *strides[0]),
            b_stride=(*[0] * missing, *strides[1]),
        )
        pointers = tuple(Pointer("const float *", name) for name in names)
        return Call(
            _HEADER,
            "float_binary",
            (*pointers, Pointer("float *", bind.tensor(self.outputs[0]))),
            shape,
        )


@dataclass(frozen=True, slots=True, eq=False)
class FloatAffine:
    """y = x * factor + offset, with one factor and one offset per channel (axis 1)."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    factor: NDArray[np.float32]
    offset: NDArray[np.float32]
    in_place: tuple[tuple[int, int], ...] = ((0, 0),)
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """The positions of every channel."""
        shape = self.inputs[0].shape
        rows = Loop("rows", math.prod(shape[:2]), math.prod(shape[2:]))
        return Work("float_affine", (rows,))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Broadcast over the channels."""
        axes = (1, -1, *[1] * (inputs[0].ndim - 2))
        result = inputs[0] * self.factor.reshape(axes) + self.offset.reshape(axes)
        return (result.astype(np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_affine``."""
        outer, channels, *positions = self.inputs[0].shape
        x, y = _pointers(self, bind)
        factor = Pointer("const float *", bind.constant(self.factor, "factor"))
        offset = Pointer("const float *", bind.constant(self.offset, "offset"))
        shape = shape_literal(
            "FloatChannelsShape", outer=outer, channels=channels, inner=math.prod(positions)
        )
        return Call(_HEADER, "float_affine", (x, factor, offset, y), shape)


def broadcast_loops(
    shape: Sequence[int], operands: Sequence[Sequence[int]]
) -> tuple[list[int], list[list[int]]]:
    """Lengths of a nest of loops over ``shape``, and each operand's strides in it.

    operands: shapes that broadcast to ``shape``. Neighbouring axes become one loop where all
    operands allow it; at least one loop is returned.
    """
    lengths: list[int] = []
    strides: list[list[int]] = [[] for _ in operands]
    steps = [_broadcast_strides(operand, len(shape)) for operand in operands]
    for axis in reversed(range(len(shape))):
        length = shape[axis]
        if length == 1:
            continue
        here = [step[axis] for step in steps]
        fits = lengths and all(
            step == lengths[0] * each[0] for step, each in zip(here, strides, strict=True)
        )
        if fits:
            lengths[0] *= length
            continue
        lengths.insert(0, length)
        for step, each in zip(here, strides, strict=True):
            each.insert(0, step)
    return (lengths, strides) if lengths else ([1], [[0] for _ in operands])


def _broadcast_strides(operand: Sequence[int], rank: int) -> list[int]:
    full = (*[1] * (rank - len(operand)), *operand)
    return [0 if n == 1 else math.prod(full[axis + 1 :]) for axis, n in enumerate(full)]


def _pointers(step: FloatUnary | FloatAffine, bind: Binding) -> tuple[Pointer, Pointer]:
    x = Pointer("const float *", bind.tensor(step.inputs[0]))
    return x, Pointer("float *", bind.tensor(step.outputs[0]))


def _erf(x: Floats) -> Floats:
    values = [math.erf(each) for each in x.ravel().tolist()]
    return np.array(values, np.float64).reshape(x.shape)


def _hard_sigmoid(x: Floats, alpha: float, beta: float) -> Floats:
    result: Floats = np.clip(alpha * x + beta, 0.0, 1.0)
    return result


def _gelu_tanh(x: Floats) -> Floats:
    result: Floats = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return result


_UNARY: Mapping[UnaryFunction, Callable[[Floats, float, float], Floats]] = {
    UnaryFunction.RELU: lambda x, _a, _b: np.maximum(x, 0),
    UnaryFunction.CLIP: lambda x, a, b: np.minimum(np.maximum(x, a), b),
    UnaryFunction.LEAKY_RELU: lambda x, a, _b: np.where(x < 0, a * x, x),
    UnaryFunction.SIGMOID: lambda x, _a, _b: 1 / (1 + np.exp(-x)),
    UnaryFunction.TANH: lambda x, _a, _b: np.tanh(x),
    UnaryFunction.HARD_SIGMOID: _hard_sigmoid,
    UnaryFunction.HARD_SWISH: lambda x, _a, _b: x * _hard_sigmoid(x, 1 / 6, 0.5),
    UnaryFunction.GELU: lambda x, _a, _b: 0.5 * x * (1 + _erf(x / math.sqrt(2))),
    UnaryFunction.GELU_TANH: lambda x, _a, _b: _gelu_tanh(x),
    UnaryFunction.ERF: lambda x, _a, _b: _erf(x),
    UnaryFunction.EXP: lambda x, _a, _b: np.exp(x),
    UnaryFunction.SQRT: lambda x, _a, _b: np.sqrt(x),
    UnaryFunction.NEG: lambda x, _a, _b: -x,
    UnaryFunction.ABS: lambda x, _a, _b: np.abs(x),
    UnaryFunction.SQUARE: lambda x, _a, _b: x * x,
    UnaryFunction.CUBE: lambda x, _a, _b: x * x * x,
}
_BINARY: Mapping[BinaryFunction, Callable[[Array, Array], Array]] = {
    BinaryFunction.ADD: np.add,
    BinaryFunction.SUB: np.subtract,
    BinaryFunction.MUL: np.multiply,
    BinaryFunction.DIV: np.divide,
    BinaryFunction.PRELU: lambda a, b: np.where(a < 0, a * b, a),
    BinaryFunction.POW: lambda a, b: np.power(a.astype(np.float64), b.astype(np.float64)),
}
