"""Integer convolutions with constant weights.

One step stands for every convolution; which kernel computes it follows from its shapes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import Requantization, WeightedSum, add_weighted, requantize
from farm.codegen.ops.integer.depthwise_three import takes_three, three_loops, three_scratch
from farm.codegen.ops.integer.packing import (
    LANES,
    LINE,
    KernelRows,
    band_rows,
    kernel_rows,
    lines,
    merge_groups,
    merged_groups,
    pack_columns,
    pack_depthwise,
    pack_depthwise_three,
    pack_single,
    pad_channels,
    whole_lines,
)
from farm.codegen.ops.integer.pointwise_small import (
    pack_lanes,
    pack_small,
    small_loops,
    small_scratch,
    takes_small,
)
from farm.codegen.ops.integer.window_sums import Window, window_sums
from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import (
    NO_SCRATCH,
    Array,
    Binding,
    Call,
    Layout,
    Loop,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes


class _Kernel(StrEnum):
    """Functions of the kernel headers."""

    POINTWISE = "conv_pointwise"
    POINTWISE_SMALL = "pointwise_small"
    COLUMNS = "conv_columns"
    SINGLE = "conv_single"
    DEPTHWISE = "depthwise"
    DEPTHWISE_THREE = "depthwise_three"


@dataclass(frozen=True, slots=True, eq=False)
class Convolution:
    """y = requantize(bias + Σ x * weights), then perhaps the weighted sum with a second input.

    inputs: x, or x and skip. x: U8 BLOCKED [N, C, H, W], or PLAIN if C is 1 and groups is 1. y and
    skip: U8 BLOCKED [N, O, H', W']; y may have the place of skip. weights: int8
    [O, C / groups, kh, kw]. bias: int32 [O], with all that is to be added: the correction for x's
    zero point and the rule's offset. pads: top, left, bottom, right, filled with x's zero point.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    rule: Requantization
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    groups: int = 1
    skip: WeightedSum | None = None

    @property
    def in_place(self) -> tuple[tuple[int, int], ...]:
        """The output may replace the skip input, unless that is x, too."""
        is_apart = self.skip is not None and self.inputs[0] is not self.inputs[1]
        return ((0, 1),) if is_apart else ()

    @property
    def scratch_bytes(self) -> Bytes:
        """For the columns of one band of output rows."""
        if self._kernel is _Kernel.DEPTHWISE_THREE:
            return three_scratch(self.outputs[0].shape[3], self.strides[1])
        if self._kernel is _Kernel.POINTWISE_SMALL:
            return small_scratch(math.prod(self.outputs[0].shape[2:]))
        if self._kernel is _Kernel.POINTWISE:
            return NO_SCRATCH
        return Bytes(self._before_planes(self._band) + self._scratch(self._band))

    @property
    def work(self) -> Work:
        """What is repeated for every band of output rows."""
        if self._kernel is _Kernel.DEPTHWISE_THREE:
            height, skips = self.weights.shape[2], self.skip is not None
            loops = three_loops(self.outputs[0].shape, height, self.strides, skips=skips)
            return Work(self._kernel.value, loops)
        if self._kernel is _Kernel.POINTWISE_SMALL:
            return Work(self._kernel, small_loops(self.outputs[0].shape, self.weights.shape[1]))
        whole, rest = divmod(self.outputs[0].shape[2], self._band)
        loops = self._band_loops(whole, self._band) if whole else ()
        rest_loops = self._band_loops(1, rest) if rest else ()
        return Work(self._kernel.value, (*loops, *rest_loops))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Sums over windows, narrowed."""
        outside = self.inputs[0].quant.zero_point
        window = Window(self.strides, self.pads, self.dilations, self.outputs[0].shape[2:])
        sums = window_sums(inputs[0], outside, self.weights, self.groups, window)
        result = requantize(sums + self.bias.reshape(1, -1, 1, 1), self.rule, 1)
        return (result if self.skip is None else add_weighted(result, inputs[1], self.skip),)

    def call(self, bind: Binding) -> Call:
        """One call of the kernel that fits the shapes."""
        kernel = self._kernel
        is_small = kernel is _Kernel.POINTWISE_SMALL
        multiplier = np.broadcast_to(self.rule.multiplier, self.bias.shape)
        order, weights = (pack_lanes, "uint8_t") if is_small else (pad_channels, "int32_t")
        pointers = [
            Pointer("const uint8_t *", bind.tensor(self.inputs[0])),
            Pointer(f"const {weights} *", bind.constant(self._packed, "weights")),
            Pointer("const int32_t *", bind.constant(order(self.bias), "bias")),
            Pointer("const int16_t *", bind.constant(order(multiplier), "multiplier")),
        ]
        if not is_small:
            skip = bind.tensor(self.inputs[1] if self.skip else self.outputs[0])
            pointers.append(Pointer("const uint8_t *", skip))
        pointers.append(Pointer("uint8_t *", bind.tensor(self.outputs[0])))
        if kernel is not _Kernel.POINTWISE:
            pointers.append(Pointer("uint8_t *", bind.scratch()))
        header = "conv.h" if kernel.value.startswith("conv") else f"{kernel}.h"
        return Call(header, kernel.value, tuple(pointers), self._shape_literal())

    @property
    def _kernel(self) -> _Kernel:
        channels = self.inputs[0].shape[1]
        if self.inputs[0].layout is Layout.PLAIN:
            return _Kernel.SINGLE
        if channels == self.groups == self.weights.shape[0]:
            widths = (self.inputs[0].shape[3], self.outputs[0].shape[3])
            window = (self.strides, self.pads, self.dilations)
            is_three = takes_three(self.weights.shape[2:], *window, widths)
            return _Kernel.DEPTHWISE_THREE if is_three else _Kernel.DEPTHWISE
        if self.weights.shape[2:] != (1, 1) or self.strides != (1, 1) or any(self.pads):
            return _Kernel.COLUMNS
        positions = math.prod(self.outputs[0].shape[2:])
        is_alone = self.groups == 1 and self.skip is None
        is_small = is_alone and takes_small(positions, channels, self.weights.shape[0])
        return _Kernel.POINTWISE_SMALL if is_small else _Kernel.POINTWISE

    @property
    def _is_depthwise(self) -> bool:
        return self._kernel in {_Kernel.DEPTHWISE, _Kernel.DEPTHWISE_THREE}

    @property
    def _rows(self) -> KernelRows:
        return kernel_rows(self.weights.shape[2], self.strides[0], self.dilations[0])

    @property
    def _words(self) -> int:
        """32-bit words of columns along a row of the kernel."""
        taps: int = self.weights.shape[3]
        return taps if self._kernel is _Kernel.COLUMNS else -(-taps // 4)

    @property
    def _reach(self) -> int:
        """Rows of a plane beyond those of the band."""
        return (self._rows.taps - 1) * self._rows.tap_rows

    @property
    def _band(self) -> int:
        height, width = self.outputs[0].shape[2:]
        if self._kernel not in {_Kernel.COLUMNS, _Kernel.SINGLE, _Kernel.DEPTHWISE}:
            return height
        return band_rows(height, width, self._reach, self._scratch)

    def _scratch(self, band: int) -> Bytes:
        """Bytes for the columns of a band of output rows."""
        plane = (band + self._reach) * self.outputs[0].shape[3] * 4
        planes = self._rows.planes * self._words
        if self._kernel is _Kernel.SINGLE:
            return lines(planes * plane + self._padded_width)
        if self._kernel is _Kernel.DEPTHWISE:
            return Bytes(planes * 4 * lines(plane) + lines(4 * plane))
        blocks = -(-self.inputs[0].shape[1] // self._kernel_groups // 4)
        return lines(blocks * planes * plane)

    def _before_planes(self, band: int) -> int:
        """Bytes for masks, and for a band's rows of plain x, at the begin of scratch memory."""
        out_width, stride = self.outputs[0].shape[3], self.strides[1]
        may_be_halved = self._is_near and stride == 2  # how wide depends on the target
        if self._kernel is _Kernel.COLUMNS and (self._is_straight or may_be_halved):
            return int((self._outside > 0).sum()) * whole_lines((out_width + LANES) * 4)
        if self._kernel is _Kernel.SINGLE and self._are_windows_near:
            planes, dilation = self._rows.planes, self.dilations[0]
            reach = (band + self._reach - 1) * self.strides[0] + (planes - 1) * dilation
            rows = min(reach + 1, self.inputs[0].shape[2]) * self.inputs[0].shape[3]
            mask = out_width * stride + self._words * 4 + LINE
            return whole_lines(mask) + whole_lines(rows)
        return 0

    @property
    def _padded_width(self) -> int:
        """Elements of a padded row of x that the single-channel kernel looks at."""
        out_width, step, dilation = self.outputs[0].shape[3], self.strides[1], self.dilations[1]
        return (out_width - 1) * step + (self._words * 4 - 1) * dilation + 1

    @property
    def _kernel_groups(self) -> int:
        """Groups that the kernel sees: some are computed as one."""
        if self._is_depthwise:
            return 1
        outputs, inputs = self.weights.shape[:2]
        return self.groups // merged_groups(outputs // self.groups, inputs, self.groups)

    @property
    def _packed(self) -> Array:
        """Weights in the kernel's order."""
        if self._kernel is _Kernel.SINGLE:
            return pack_single(self.weights, self._rows)
        if self._kernel is _Kernel.DEPTHWISE:
            return pack_depthwise(self.weights, self._rows)
        if self._kernel is _Kernel.DEPTHWISE_THREE:
            return pack_depthwise_three(self.weights)
        if self._kernel is _Kernel.POINTWISE_SMALL:
            return pack_small(self.weights[:, :, 0, 0])
        merged = merge_groups(self.weights, self.groups, self.groups // self._kernel_groups)
        return pack_columns(merged, self._rows)

    def _band_loops(self, bands: int, rows: int) -> tuple[Loop, ...]:
        """For so many bands of so many rows. A depthwise one takes its blocks one by one."""
        depthwise = self._kernel is _Kernel.DEPTHWISE
        batch, channels = self.inputs[0].shape[:2]
        groups = -(-channels // 4) if depthwise else self._kernel_groups
        blocks = 1 if depthwise else -(-channels // groups // 4)
        out_blocks = 1 if depthwise else -(-self.outputs[0].shape[1] // groups // 4)
        products = blocks * self._rows.planes * self._rows.taps * self._words
        positions = rows * self.outputs[0].shape[3]
        calls, plane = bands * batch * groups, 4 * positions
        loops = [
            Loop("bands", calls, plane),
            Loop("products", calls * out_blocks * products, plane),
            Loop("outputs", calls * out_blocks, plane),
        ]
        if self.skip is not None:
            loops.append(Loop("sums", calls * out_blocks, plane))
        if positions < LANES or (self.skip is not None and positions % LANES):
            loops.append(Loop("parts", calls * out_blocks))
        return (*loops, *self._column_loops(calls, blocks, rows + self._reach))

    def _column_loops(self, calls: int, blocks: int, rows: int) -> tuple[Loop, ...]:
        """What builds the columns of ``blocks`` blocks, planes of so many rows, in every call."""
        kernel, width = self._kernel, self.outputs[0].shape[3]
        planes = calls * blocks * self._rows.planes
        if kernel is _Kernel.POINTWISE:
            return ()
        if kernel is _Kernel.SINGLE:
            return self._window_loops(calls, planes, rows)
        if kernel is _Kernel.COLUMNS and (self._is_straight or self._is_halved):
            return self._near_loops(planes, rows)
        copies = planes * self.weights.shape[3]
        loops = [
            Loop("planes", copies, 4 * rows * width),
            Loop("padding", planes * int(self._outside.sum()), rows),
        ]
        if not self._is_near:
            loops.append(Loop("picked_rows", copies * rows, width))
        elif self.strides != (1, 1) or width != self.inputs[0].shape[3]:
            name = "halved_rows" if self.strides[1] == 2 else "copied_rows"
            loops.append(Loop(name, copies * rows, 4 * width))
        if kernel is _Kernel.DEPTHWISE:
            loops.append(Loop("turned", planes * self._words, 4 * rows * width))
        return tuple(loops)

    def _window_loops(self, calls: int, planes: int, rows: int) -> tuple[Loop, ...]:
        """Those of a single channel."""
        width, across = self.outputs[0].shape[3], self.inputs[0].shape[3]
        if self._are_windows_near:
            copied = Loop("rows", calls, rows * self.strides[0] * across)
            return copied, Loop("windows", planes * rows * self._words, 4 * width)
        name = "words" if self.dilations[1] == 1 else "gathered_words"
        built = Loop(name, planes * rows * self._words, width)
        return Loop("padded_rows", planes * rows, min(across, self._padded_width)), built

    def _near_loops(self, planes: int, rows: int) -> tuple[Loop, ...]:
        """Those of planes that are built together. Pairs are of ``rows_are_paired``."""
        width, taps = self.outputs[0].shape[3], self.weights.shape[3]
        if self._is_straight:
            return (Loop("straight", planes * taps, 4 * rows * width),)
        if width < LANES:
            return (Loop("halved", planes * taps, 4 * rows * width),)
        if width % LANES == LANES // 2 and self.pads[1] <= LANES and rows % 2 == 0:
            return (Loop("paired_rows", planes * taps, 4 * rows * width),)
        return (Loop("long_rows", planes * taps * rows, 4 * width),)

    @property
    def _is_near(self) -> bool:
        """The same question as ``rows_are_near`` of the kernels answers."""
        left, stride = self.pads[1], self.strides[1]
        last = -(-self.weights.shape[3] // 4) * 4 * self.dilations[1] - left
        words = -(-self.outputs[0].shape[3] // LANES) * LANES
        reach = last + words * stride - self.inputs[0].shape[3]
        return stride <= 2 and left < 64 and last < 32 and reach < 64

    @property
    def _is_straight(self) -> bool:
        """The question that ``rows_are_straight`` of the kernels answers."""
        same = self.outputs[0].shape[3] == self.inputs[0].shape[3]
        return self._is_near and self.strides == (1, 1) and same

    @property
    def _is_halved(self) -> bool:
        """The question that ``rows_are_halved`` answers for the longest vectors."""
        width = self.outputs[0].shape[3]
        fits = width >= LANES or width in {LANES // 2, LANES // 4}
        return self._is_near and self.strides[1] == 2 and fits

    @property
    def _are_windows_near(self) -> bool:
        """The question that ``windows_are_near`` answers, but for the target's lanes."""
        left, stride, width = self.pads[1], self.strides[1], self.inputs[0].shape[3]
        end = (self.outputs[0].shape[3] - 1) * stride + self._words * 4
        is_near = left < LINE and end - left < width + LINE
        return self.dilations[1] == 1 and stride <= 2 and is_near

    @property
    def _outside(self) -> NDArray[np.int64]:
        """Columns outside of x, by tap, of the planes of one row of the kernel."""
        taps = np.arange(self.weights.shape[3])[:, None] * self.dilations[1] - self.pads[1]
        columns = taps + np.arange(self.outputs[0].shape[3]) * self.strides[1]
        return np.asarray(((columns < 0) | (columns >= self.inputs[0].shape[3])).sum(1))

    def _shape_literal(self) -> str:
        batch, channels, height, width = self.inputs[0].shape
        outputs, out_height, out_width = self.outputs[0].shape[1:]
        groups = self._kernel_groups
        return shape_literal(
            "ConvShape",
            batch=batch,
            groups=groups,
            in_blocks=-(-channels // groups // 4),
            out_blocks=-(-outputs // groups // 4),
            height=height,
            width=width,
            out_height=out_height,
            out_width=out_width,
            kernel_width=self._words,
            kernel_taps=self.weights.shape[3],
            stride_y=self.strides[0],
            stride_x=self.strides[1],
            dilation_y=self.dilations[0],
            dilation_x=self.dilations[1],
            top=self.pads[0],
            left=self.pads[1],
            row_planes=self._rows.planes,
            taps=self._rows.taps,
            tap_rows=self._rows.tap_rows,
            band=self._band,
            zero_point=self.inputs[0].quant.zero_point,
            output=_output_literal(self.rule, self.skip),
        )


def _output_literal(rule: Requantization, skip: WeightedSum | None) -> str:
    added = (
        {}
        if skip is None
        else {
            "skip_first": skip.first,
            "skip_second": skip.second,
            "skip_offset": skip.offset,
            "skip_shift": skip.shift,
            "skip_lowest": skip.lowest,
            "skip_highest": skip.highest,
        }
    )
    return shape_literal(
        "ConvOutput",
        shift=rule.shift,
        post_shift=rule.post_shift,
        lowest=rule.lowest,
        highest=rule.highest,
        has_skip=int(skip is not None),
        **added,
    )
