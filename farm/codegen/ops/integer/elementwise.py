"""Steps on single u8 elements: sums and products with broadcasting, functions as tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import (
    Requantization,
    WeightedSum,
    add_weighted,
    dequantize,
    quantize,
    requantize,
)
from farm.codegen.ops.floats.elementwise import MOST_LOOPS, broadcast_loops
from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import (
    NO_SCRATCH,
    Array,
    Binding,
    Call,
    Layout,
    Loop,
    Pointer,
    Quantization,
    Tensor,
    Work,
)
from farm.units import Bytes

_HEADER = "elementwise.h"
_SPARE = 128  # bytes after a constant that vector kernels read but do not use


@dataclass(frozen=True, slots=True, eq=False)
class WeightedAdd:
    """y = a * first + b * second, by the rule of weighted sums: additions and subtractions.

    Tensors have one shape and layout, or are PLAIN and broadcast as numpy's. constant: uint8,
    takes the place of b; with BLOCKED tensors it has their shape or broadcasts to it.

    Raises ValueError: the broadcast needs more than MOST_LOOPS loops.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    rule: WeightedSum
    constant: NDArray[np.uint8] | None = None
    scratch_bytes: Bytes = NO_SCRATCH

    def __post_init__(self) -> None:
        """Check that the kernel has the loops for it."""
        _loops(self)

    @property
    def in_place(self) -> tuple[tuple[int, int], ...]:
        """Operands that are not broadcast can be overwritten."""
        return _whole_operands(self)

    @property
    def work(self) -> Work:
        """Rows of the result."""
        return Work("weighted_add", _row_loops(*_rows(self)))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The rule on arrays that broadcast."""
        return (add_weighted(*_operands(self, inputs), self.rule),)

    def call(self, bind: Binding) -> Call:
        """One call of ``weighted_add``."""
        rule = self.rule
        fields = shape_literal(
            "SumRule",
            first=rule.first,
            second=rule.second,
            offset=rule.offset,
            shift=rule.shift,
            lowest=rule.lowest,
            highest=rule.highest,
        )
        shape = shape_literal("WeightedAddShape", loops=_loops(self), rule=fields)
        return Call(_HEADER, "weighted_add", _binary_pointers(self, bind), shape)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """y = a * b, from the accumulator (a - zero point) * (b - zero point) + offset of the rule.

    Shapes, layouts and constant are as in :class:`WeightedAdd`. rule: one multiplier.

    Raises ValueError: the broadcast needs more than MOST_LOOPS loops.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    rule: Requantization
    constant: NDArray[np.uint8] | None = None
    constant_zero_point: int = 0
    scratch_bytes: Bytes = NO_SCRATCH

    def __post_init__(self) -> None:
        """Check that the kernel has the loops for it."""
        _loops(self)

    @property
    def in_place(self) -> tuple[tuple[int, int], ...]:
        """Operands that are not broadcast can be overwritten."""
        return _whole_operands(self)

    @property
    def work(self) -> Work:
        """Rows of the result."""
        return Work("product", _row_loops(*_rows(self)))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The rule on arrays that broadcast."""
        a, b = _operands(self, inputs)
        a_zero, b_zero = self._zero_points()
        product = (a.astype(np.int32) - a_zero) * (b.astype(np.int32) - b_zero)
        return (requantize(product + self.rule.offset[0], self.rule),)

    def call(self, bind: Binding) -> Call:
        """One call of ``product``."""
        a_zero, b_zero = self._zero_points()
        shape = shape_literal(
            "ProductShape",
            loops=_loops(self),
            rule=rule_literal(self.rule),
            a_zero=a_zero,
            b_zero=b_zero,
            offset=int(self.rule.offset[0]),
        )
        return Call(_HEADER, "product", _binary_pointers(self, bind), shape)

    def _zero_points(self) -> tuple[int, int]:
        a = self.inputs[0].quant.zero_point
        known = self.constant is not None
        return a, self.constant_zero_point if known else self.inputs[1].quant.zero_point


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """y = table[x]: any function of one value, or another quantisation. table: uint8 [256]."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    table: NDArray[np.uint8]
    in_place: tuple[tuple[int, int], ...] = ((0, 0),)
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """One row of bytes."""
        return Work("table_lookup", _row_loops(1, self.outputs[0].bytes))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Every element looked up."""
        return (self.table[inputs[0]],)

    def call(self, bind: Binding) -> Call:
        """One call of ``table_lookup``, over channels that only fill a block, too."""
        pointers = _table_pointers(self, self.table, bind)
        return Call(_HEADER, "table_lookup", pointers, str(self.outputs[0].bytes))


@dataclass(frozen=True, slots=True, eq=False)
class ChannelTable:
    """y = table[channel, x], the channels being axis 1. table: uint8 [channels, 256]."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    table: NDArray[np.uint8]
    in_place: tuple[tuple[int, int], ...] = ((0, 0),)
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """A row for every channel, or all elements of a block together."""
        y = self.outputs[0]
        rows, positions = math.prod(y.shape[:2]), math.prod(y.shape[2:])
        if y.layout is Layout.BLOCKED:
            return Work("channel_table_blocked", (Loop("elements", 1, y.bytes),))
        return Work("channel_table", _row_loops(rows, positions))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Every element looked up in its channel's table."""
        channels = np.arange(len(self.table)).reshape(1, -1, *[1] * (inputs[0].ndim - 2))
        return (self.table[channels, inputs[0]],)

    def call(self, bind: Binding) -> Call:
        """One call of ``channel_table``, or of ``channel_table_blocked``."""
        outer, channels, *positions = self.outputs[0].shape
        blocked = self.outputs[0].layout is Layout.BLOCKED
        missing = -channels % 4 if blocked else 0
        tables = np.pad(self.table, ((0, missing), (0, 0)))
        shape = shape_literal(
            "ChannelTableShape", outer=outer, channels=len(tables), inner=math.prod(positions)
        )
        function = "channel_table_blocked" if blocked else "channel_table"
        return Call(_HEADER, function, _table_pointers(self, tables, bind), shape)


def unary_table(
    function: Callable[[Array], Array], x: Quantization, y: Quantization
) -> NDArray[np.uint8]:
    """The table of a function from float32 to float32: uint8 [256].

    Raises ValueError: the function gives NaN for a value that x can have.
    """
    reals = dequantize(np.arange(256, dtype=np.uint8), x)
    results = np.asarray(function(reals), np.float32)
    if np.isnan(results).any():
        value = reals[np.isnan(results)][0]
        raise ValueError(f"the function is not a number at {value:g}, which its input can be")
    table: NDArray[np.uint8] = quantize(results, y).astype(np.uint8)
    return table


def rule_literal(rule: Requantization) -> str:
    """A rule with one multiplier as C's ``IntegerRule``."""
    return shape_literal(
        "IntegerRule",
        shift=rule.shift,
        multiplier=int(rule.multiplier[0]),
        post_shift=rule.post_shift,
        lowest=rule.lowest,
        highest=rule.highest,
    )


def to_blocked(array: Array) -> Array:
    """The bytes of [N, C, *positions] in the BLOCKED layout; missing channels are 0."""
    batch, channels, *positions = array.shape
    blocks = -(-channels // 4)
    full = np.zeros((batch, blocks * 4, math.prod(positions)), array.dtype)
    full[:, :channels] = array.reshape(batch, channels, -1)
    return np.ascontiguousarray(full.reshape(batch, blocks, 4, -1).transpose(0, 1, 3, 2))


def _operands(step: WeightedAdd | Product, inputs: Sequence[Array]) -> tuple[Array, Array]:
    return inputs[0], inputs[1] if step.constant is None else step.constant


def _is_blocked(step: WeightedAdd | Product) -> bool:
    return step.outputs[0].layout is Layout.BLOCKED


def _whole_operands(step: WeightedAdd | Product) -> tuple[tuple[int, int], ...]:
    size = step.outputs[0].size
    return tuple((0, i) for i, tensor in enumerate(step.inputs) if tensor.size == size)


def _nest(step: WeightedAdd | Product) -> tuple[list[int], list[list[int]]]:
    """Lengths and both operands' strides of the loops; BLOCKED tensors are one row of bytes."""
    y = step.outputs[0]
    if _is_blocked(step):
        return [int(y.bytes)], [[1], [1]]
    second = step.inputs[1].shape if step.constant is None else step.constant.shape
    return broadcast_loops(y.shape, (step.inputs[0].shape, second))


def _rows(step: WeightedAdd | Product) -> tuple[int, int]:
    """Number and length of the innermost loops."""
    *outer, length = _nest(step)[0]
    return math.prod(outer), length


def _row_loops(rows: int, length: int) -> tuple[Loop, ...]:
    """Rows of bytes: in vectors of words, then what is left one by one."""
    return Loop("rows", rows, length & ~3), Loop("bytes_left", rows, length & 3)


def _loops(step: WeightedAdd | Product) -> str:
    """The nest of loops as a literal."""
    lengths, strides = _nest(step)
    missing = MOST_LOOPS - len(lengths)
    if missing < 0:
        raise ValueError(
            f"its broadcast to {list(step.outputs[0].shape)} takes {len(lengths)} nested loops, "
            f"and the kernel has {MOST_LOOPS}"
        )
    return shape_literal(
        "BroadcastLoops",
        length=(*[1] * missing, *lengths),
        a_stride=(*[0] * missing, *strides[0]),
        b_stride=(*[0] * missing, *strides[1]),
    )


def _binary_pointers(step: WeightedAdd | Product, bind: Binding) -> tuple[Pointer, ...]:
    if step.constant is None:
        second = bind.tensor(step.inputs[1])
    else:
        constant = np.asarray(step.constant, np.uint8)
        if _is_blocked(step):
            constant = to_blocked(np.broadcast_to(constant, step.outputs[0].shape))
        second = bind.constant(np.pad(constant.ravel(), (0, _SPARE)), "operand")
    return (
        Pointer("const uint8_t *", bind.tensor(step.inputs[0])),
        Pointer("const uint8_t *", second),
        Pointer("uint8_t *", bind.tensor(step.outputs[0])),
    )


def _table_pointers(
    step: Table | ChannelTable, table: Array, bind: Binding
) -> tuple[Pointer, ...]:
    return (
        Pointer("const uint8_t *", bind.tensor(step.inputs[0])),
        Pointer("const uint8_t *", bind.constant(np.ascontiguousarray(table, np.uint8), "table")),
        Pointer("uint8_t *", bind.tensor(step.outputs[0])),
    )
