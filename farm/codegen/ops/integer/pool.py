"""Steps over windows of images and over whole axes: largest elements and means of u8."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import (
    Requantization,
    accumulators_fit,
    requantization,
    requantize,
)
from farm.codegen.ops.floats.elementwise import MOST_LOOPS, broadcast_loops
from farm.codegen.ops.integer.elementwise import rule_literal
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

_HEADER = "pool.h"
_VECTOR = 128  # bytes of the widest vector: scratch is the same for every target
_MOST_SUMMED = (1 << 31) // 256

_ALMOST_ONE = 32767 / 32768


@dataclass(frozen=True, slots=True, eq=False)
class MaxPool:
    """Largest element of every window; padding never wins.

    x, y: BLOCKED [N, C, height, width] with one quantization. pads: top, left, bottom, right.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int] = (1, 1)
    in_place: tuple[tuple[int, int], ...] = ()

    @property
    def scratch_bytes(self) -> Bytes:
        """The joined rows of a window, and the largest of every window that begins in them."""
        span = _span(self.outputs[0], self.kernel, self.strides, self.dilations)
        return Bytes(2 * (_whole_vectors(4 * span) + _VECTOR))

    @property
    def work(self) -> Work:
        """For every row of results: rows joined, columns joined, positions taken."""
        _, _, _, width = self.inputs[0].shape
        y = self.outputs[0]
        rows = y.bytes // (4 * y.shape[3])
        first = (y.shape[3] - 1) * self.strides[1] + 1
        inside = min(width, first + (self.kernel[1] - 1) * self.dilations[1] - self.pads[1])
        taps = _inside(self, 0, self.dilations[0])
        joined = rows // y.shape[2] * sum(max(1, count - 1) for count in taps)
        loops = (
            Loop("rows", joined, _whole_vectors(4 * inside)),
            Loop("columns", rows * max(1, self.kernel[1] - 1), _whole_vectors(4 * first)),
            Loop("taken" if self.strides[1] <= 2 else "picked", rows, 4 * y.shape[3]),
            Loop("padded_rows", rows if any(self.pads) else 0),
        )
        return Work("max_pool", loops)

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The taps of all windows, the largest of them."""
        taps = _taps(self, inputs[0], self.dilations, np.zeros((), np.uint8))
        return (np.max(taps, axis=0),)

    def call(self, bind: Binding) -> Call:
        """One call of ``max_pool``."""
        return Call(
            _HEADER,
            "max_pool",
            (
                Pointer("const uint8_t *", bind.tensor(self.inputs[0])),
                Pointer("uint8_t *", bind.tensor(self.outputs[0])),
                Pointer("uint8_t *", bind.scratch()),
            ),
            _pool_shape(self, self.dilations),
        )


@dataclass(frozen=True, slots=True, eq=False)
class AveragePool:
    """Mean of every window, from the accumulator sum of (x - zero point) + offset of the rule.

    x, y: BLOCKED [N, C, height, width]. pads: top, left, bottom, right; padding is the zero
    point. rules: by number of elements that are counted, made by :func:`average_rules`; padding
    counts if ``count_include_pad``.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    kernel: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    rules: Mapping[int, Requantization]
    count_include_pad: bool = False
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Rows of windows that lie in the image with all their elements, and all the others."""
        y = self.outputs[0]
        outer = y.bytes // (4 * y.shape[2] * y.shape[3])
        high, wide = _inside(self, 0, 1), _inside(self, 1, 1)
        rows = high.count(self.kernel[0]) if self.strides[1] <= 2 else 0
        whole, taps = wide.count(self.kernel[1]), math.prod(self.kernel)
        alone, alone_taps = len(high) * len(wide) - rows * whole, sum(high) * sum(wide)
        name = "window" if alone_taps == len(high) * len(wide) * taps else "edge"
        loops = (
            Loop("rows", outer * rows, 4 * whole),
            Loop("taps", outer * rows * taps, 4 * whole),
            Loop(f"{name}s", outer * alone, 4),
            Loop(f"{name}_taps", outer * (alone_taps - rows * whole * taps), 4),
        )
        return Work("average_pool", loops)

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The taps of all windows, their sum, and the rule of every position."""
        zero = self.inputs[0].quant.zero_point
        difference = inputs[0].astype(np.int32) - zero
        sums = _taps(self, difference, (1, 1), np.zeros((), np.int32)).sum(axis=0, dtype=np.int32)
        inside = _taps(self, np.ones_like(difference), (1, 1), np.zeros((), np.int32)).sum(axis=0)
        result = np.zeros(sums.shape, np.uint8)
        for count, rule in self._rules().items():
            chosen = inside == count
            result[chosen] = requantize(sums[chosen] + rule.offset[0], rule)
        return (result,)

    def call(self, bind: Binding) -> Call:
        """One call of ``average_pool``."""
        table = self._table()
        offset, shift, multiplier, post_shift = table[-1].tolist()
        whole = shape_literal(
            "CountRule", offset=offset, shift=shift, multiplier=multiplier, post_shift=post_shift
        )
        pool = _pool_shape(self, (1, 1))
        return Call(
            _HEADER,
            "average_pool",
            (
                Pointer("const uint8_t *", bind.tensor(self.inputs[0])),
                Pointer("const int32_t *", bind.constant(table, "rules")),
                Pointer("uint8_t *", bind.tensor(self.outputs[0])),
            ),
            shape_literal("AverageShape", pool=pool, whole=whole),
        )

    def _rules(self) -> dict[int, Requantization]:
        """Rules by number of elements of a window that lie in the image."""
        most = math.prod(self.kernel)
        whole = self.count_include_pad
        counts = range(1, most + 1)
        return {n: self.rules[most if whole else n] for n in counts if whole or n in self.rules}

    def _table(self) -> NDArray[np.int32]:
        """``CountRule`` of every number of elements; the zero points are part of the offset."""
        zero = self.inputs[0].quant.zero_point
        table = np.zeros((math.prod(self.kernel) + 1, 4), np.int32)
        for count, rule in self._rules().items():
            offset = int(rule.offset[0]) - count * zero
            table[count] = offset, rule.shift, rule.multiplier[0], rule.post_shift
        return table


@dataclass(frozen=True, slots=True, eq=False)
class Mean:
    """Mean over axes, from the accumulator sum of (x - zero point) + offset of the rule.

    x: PLAIN with any axes; or BLOCKED [N, C, *positions] with all positions as the axes. y: the
    remaining elements, PLAIN; from BLOCKED also BLOCKED with one position and a channel count
    that is a multiple of 4. rule: made by :func:`mean_rule`.

    Raises ValueError: axes and kept axes alternate more often than the kernel has loops.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    axes: tuple[int, ...]
    rule: Requantization
    in_place: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        """Check layout and axes."""
        x = self.inputs[0]
        if x.layout is Layout.BLOCKED:
            positions = tuple(range(2, len(x.shape)))
            assert self.axes == positions, (self.axes, x.shape)
            plain = self.outputs[0].layout is Layout.PLAIN
            assert plain or x.shape[1] % 4 == 0, self.outputs[0]
        elif len(self._loops()[0]) > MOST_LOOPS:
            raise ValueError(
                f"a mean of {list(x.shape)} over the axes {list(self.axes)} takes "
                f"{len(self._loops()[0])} nested loops, and the kernel has {MOST_LOOPS}"
            )

    @property
    def scratch_bytes(self) -> Bytes:
        """The sums, and a vector that is written past them."""
        x, y = self.inputs[0], self.outputs[0]
        sums = -(-x.shape[1] // 4) * 4 if x.layout is Layout.BLOCKED else y.size
        return Bytes(4 * sums + _VECTOR)

    @property
    def work(self) -> Work:
        """Sums, then outputs."""
        x, y = self.inputs[0], self.outputs[0]
        if x.layout is Layout.BLOCKED:
            batch, channels, *positions = x.shape
            blocks = Loop("blocks", batch * -(-channels // 4), 4 * math.prod(positions))
            return Work("global_mean", (blocks, Loop("outputs", batch, channels)))
        (*outer, length), strides = self._loops()
        name = "summed" if strides[-1] == 0 else "added"
        return Work("mean", (Loop(name, math.prod(outer), length), Loop("outputs", 1, y.size)))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The sum over the axes, by the rule."""
        difference = inputs[0].astype(np.int32) - self.inputs[0].quant.zero_point
        sums = np.asarray(difference.sum(axis=self.axes, dtype=np.int32))
        result = requantize(sums + self.rule.offset[0], self.rule)
        return (result.reshape(self.outputs[0].shape),)

    def call(self, bind: Binding) -> Call:
        """One call of ``global_mean`` where x is BLOCKED, otherwise of ``mean``."""
        pointers = (
            Pointer("const uint8_t *", bind.tensor(self.inputs[0])),
            Pointer("uint8_t *", bind.tensor(self.outputs[0])),
            Pointer("uint8_t *", bind.scratch()),
        )
        if self.inputs[0].layout is Layout.BLOCKED:
            return Call(_HEADER, "global_mean", pointers, self._global_shape())
        return Call(_HEADER, "mean", pointers, self._shape())

    def _global_shape(self) -> str:
        batch, channels, *positions = self.inputs[0].shape
        return shape_literal(
            "GlobalMeanShape",
            batch=batch,
            channels=channels,
            positions=math.prod(positions),
            offset=self._offset(),
            rule=rule_literal(self.rule),
        )

    def _shape(self) -> str:
        lengths, strides = self._loops()
        missing = MOST_LOOPS - len(lengths)
        return shape_literal(
            "MeanShape",
            length=(*[1] * missing, *lengths),
            stride=(*[0] * missing, *strides),
            outputs=self.outputs[0].size,
            offset=self._offset(),
            rule=rule_literal(self.rule),
        )

    def _loops(self) -> tuple[list[int], list[int]]:
        shape = self.inputs[0].shape
        kept = [1 if axis in self.axes else length for axis, length in enumerate(shape)]
        lengths, strides = broadcast_loops(shape, (shape, kept))
        return lengths, strides[1]

    def _offset(self) -> int:
        """The rule's offset and the zero points of all that is summed."""
        count = math.prod(self.inputs[0].shape[axis] for axis in self.axes)
        return int(self.rule.offset[0]) - count * self.inputs[0].quant.zero_point


def mean_rule(x: Quantization, y: Quantization, count: int) -> Requantization:
    """The rule for a mean of ``count`` elements of x.

    Raises ValueError: so many sums do not fit 32 bits, or a unit of x is more than one of y.
    """
    too_many = f"a mean of {count} elements does not fit sums of 32 bits"
    if not 0 < count <= _MOST_SUMMED:
        raise ValueError(too_many)
    factor = x.scale / (count * y.scale)
    if factor >= 1 and factor < 1 + 1e-6:
        factor = _ALMOST_ONE  # off by less than a hundredth of a unit at the most
    rule = requantization(np.array([factor]), y.zero_point)
    if not accumulators_fit(0, 255 * count, int(rule.offset[0]) - count * x.zero_point):
        raise ValueError(too_many)
    return rule


def average_rules(
    x: Quantization, y: Quantization, counts: Iterable[int]
) -> dict[int, Requantization]:
    """The rules for windows of which so many elements are counted.

    Raises ValueError: as :func:`mean_rule`.
    """
    return {count: mean_rule(x, y, count) for count in counts}


def _inside(step: MaxPool | AveragePool, axis: int, dilation: int) -> list[int]:
    """How many taps lie in the image, for each row (axis 0) or column (axis 1) of results."""
    starts = np.arange(step.outputs[0].shape[2 + axis]) * step.strides[axis] - step.pads[axis]
    taps = starts[:, None] + np.arange(step.kernel[axis]) * dilation
    counts: list[int] = ((taps >= 0) & (taps < step.inputs[0].shape[2 + axis])).sum(1).tolist()
    return counts


def _whole_vectors(count: int) -> int:
    return -(-count // _VECTOR) * _VECTOR


def _span(
    y: Tensor, kernel: tuple[int, int], strides: tuple[int, int], dilations: tuple[int, int]
) -> int:
    """Columns, padding included, that the windows of a row reach over."""
    return (y.shape[3] - 1) * strides[1] + (kernel[1] - 1) * dilations[1] + 1


def _pool_shape(step: MaxPool | AveragePool, dilations: tuple[int, int]) -> str:
    batch, channels, height, width = step.inputs[0].shape
    return shape_literal(
        "PoolShape",
        outer=batch * -(-channels // 4),
        height=height,
        width=width,
        out_height=step.outputs[0].shape[2],
        out_width=step.outputs[0].shape[3],
        kernel_height=step.kernel[0],
        kernel_width=step.kernel[1],
        stride_height=step.strides[0],
        stride_width=step.strides[1],
        dilation_height=dilations[0],
        dilation_width=dilations[1],
        top=step.pads[0],
        left=step.pads[1],
        span=_span(step.outputs[0], step.kernel, step.strides, dilations),
    )


def _taps(
    step: MaxPool | AveragePool, x: Array, dilations: tuple[int, int], padding: Array
) -> Array:
    """Elements of all windows: [taps, N, C, height, width]."""
    top, left, bottom, right = step.pads
    padded = np.pad(
        x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=padding.item()
    )
    rows, columns = step.outputs[0].shape[2:]
    taps = []
    for i in range(step.kernel[0]):
        for j in range(step.kernel[1]):
            from_top = padded[:, :, i * dilations[0] :: step.strides[0]][:, :, :rows]
            taps.append(from_top[:, :, :, j * dilations[1] :: step.strides[1]][..., :columns])
    return np.stack(taps)
