"""Shapes of an integer convolution, the kernel that fits them, and the memory it works in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.integer.depthwise_three import takes_three, three_scratch
from farm.codegen.ops.integer.packing import (
    HALVED_ROWS,
    LANES,
    LINE,
    NEAR_BYTES,
    NEAR_STRIDE,
    NEAR_TAPS_END,
    NEAR_WORDS,
    KernelRows,
    band_rows,
    kernel_rows,
    lines,
    merged_groups,
    whole_lines,
)
from farm.codegen.ops.integer.pointwise_small import small_scratch, takes_small
from farm.codegen.program import NO_SCRATCH
from farm.units import Bytes


class Kernel(StrEnum):
    """Functions of the kernel headers."""

    POINTWISE = "conv_pointwise"
    POINTWISE_SMALL = "pointwise_small"
    COLUMNS = "conv_columns"
    SINGLE = "conv_single"
    DEPTHWISE = "depthwise"
    DEPTHWISE_THREE = "depthwise_three"


@dataclass(frozen=True, slots=True)
class Geometry:
    """What of a convolution decides how it is computed.

    in_shape: [N, C, H, W], PLAIN or BLOCKED. out_shape: [N, O, H', W'].
    kernel_shape: [O, C / groups, kh, kw]. pads: top, left, bottom, right.
    has_skip: whether a second input is added.
    """

    in_shape: tuple[int, ...]
    is_plain: bool
    out_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...]
    strides: tuple[int, int]
    pads: tuple[int, int, int, int]
    dilations: tuple[int, int]
    groups: int
    has_skip: bool

    @property
    def kernel(self) -> Kernel:
        """The function that fits the shapes."""
        channels = self.in_shape[1]
        if self.is_plain:
            return Kernel.SINGLE
        if channels == self.groups == self.kernel_shape[0]:
            widths = (self.in_shape[3], self.out_shape[3])
            window = (self.strides, self.pads, self.dilations)
            is_three = takes_three(self.kernel_shape[2:], *window, widths)
            return Kernel.DEPTHWISE_THREE if is_three else Kernel.DEPTHWISE
        if self.kernel_shape[2:] != (1, 1) or self.strides != (1, 1) or any(self.pads):
            return Kernel.COLUMNS
        positions = math.prod(self.out_shape[2:])
        is_alone = self.groups == 1 and not self.has_skip
        is_small = is_alone and takes_small(positions, channels, self.kernel_shape[0])
        return Kernel.POINTWISE_SMALL if is_small else Kernel.POINTWISE

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel has a kernel of its own."""
        return self.kernel in {Kernel.DEPTHWISE, Kernel.DEPTHWISE_THREE}

    @property
    def rows(self) -> KernelRows:
        """Planes and taps of the rows of the kernel."""
        return kernel_rows(self.kernel_shape[2], self.strides[0], self.dilations[0])

    @property
    def words(self) -> int:
        """32-bit words of columns along a row of the kernel."""
        taps: int = self.kernel_shape[3]
        return taps if self.kernel is Kernel.COLUMNS else -(-taps // 4)

    @property
    def reach(self) -> int:
        """Rows of a plane beyond those of the band."""
        return (self.rows.taps - 1) * self.rows.tap_rows

    @property
    def band(self) -> int:
        """Output rows that are computed together."""
        height, width = self.out_shape[2:]
        if self.kernel not in {Kernel.COLUMNS, Kernel.SINGLE, Kernel.DEPTHWISE}:
            return height
        return band_rows(height, width, self.reach, self._scratch)

    @property
    def scratch_bytes(self) -> Bytes:
        """For the columns of one band of output rows."""
        if self.kernel is Kernel.DEPTHWISE_THREE:
            return three_scratch(self.out_shape[3], self.strides[1])
        if self.kernel is Kernel.POINTWISE_SMALL:
            return small_scratch(math.prod(self.out_shape[2:]))
        if self.kernel is Kernel.POINTWISE:
            return NO_SCRATCH
        return Bytes(self._before_planes(self.band) + self._scratch(self.band))

    @property
    def padded_width(self) -> int:
        """Elements of a padded row of x that the single-channel kernel looks at."""
        out_width, step, dilation = self.out_shape[3], self.strides[1], self.dilations[1]
        return (out_width - 1) * step + (self.words * 4 - 1) * dilation + 1

    @property
    def kernel_groups(self) -> int:
        """Groups that the kernel sees: some are computed as one."""
        if self.is_depthwise:
            return 1
        outputs, inputs = self.kernel_shape[:2]
        return self.groups // merged_groups(outputs // self.groups, inputs, self.groups)

    @property
    def is_near(self) -> bool:
        """The same question as ``rows_are_near`` of the kernels answers."""
        left, stride = self.pads[1], self.strides[1]
        last = -(-self.kernel_shape[3] // 4) * 4 * self.dilations[1] - left
        words = -(-self.out_shape[3] // LANES) * LANES
        reach = last + words * stride - self.in_shape[3]
        are_near = left < NEAR_WORDS and reach < NEAR_WORDS
        return stride <= NEAR_STRIDE and are_near and last < NEAR_TAPS_END

    @property
    def is_straight(self) -> bool:
        """The question that ``rows_are_straight`` of the kernels answers."""
        same = self.out_shape[3] == self.in_shape[3]
        return self.is_near and self.strides == (1, 1) and same

    @property
    def is_halved(self) -> bool:
        """The question that ``rows_are_halved`` answers for the longest vectors."""
        width = self.out_shape[3]
        fits = width >= LANES or (LANES % width == 0 and LANES // width <= HALVED_ROWS)
        return self.is_near and self.strides[1] == 2 and fits

    @property
    def are_windows_near(self) -> bool:
        """The question that ``windows_are_near`` answers, but for the target's lanes."""
        left, stride, width = self.pads[1], self.strides[1], self.in_shape[3]
        end = (self.out_shape[3] - 1) * stride + self.words * 4
        is_near = left < NEAR_BYTES and end - left < width + NEAR_BYTES
        return self.dilations[1] == 1 and stride <= NEAR_STRIDE and is_near

    @property
    def outside(self) -> NDArray[np.int64]:
        """Columns outside of x, by tap, of the planes of one row of the kernel."""
        taps = np.arange(self.kernel_shape[3])[:, None] * self.dilations[1] - self.pads[1]
        columns = taps + np.arange(self.out_shape[3]) * self.strides[1]
        return np.asarray(((columns < 0) | (columns >= self.in_shape[3])).sum(1))

    def _scratch(self, band: int) -> Bytes:
        """Bytes for the columns of a band of output rows."""
        plane = (band + self.reach) * self.out_shape[3] * 4
        planes = self.rows.planes * self.words
        if self.kernel is Kernel.SINGLE:
            return lines(planes * plane + self.padded_width)
        if self.kernel is Kernel.DEPTHWISE:
            return Bytes(planes * 4 * lines(plane) + lines(4 * plane))
        blocks = -(-self.in_shape[1] // self.kernel_groups // 4)
        return lines(blocks * planes * plane)

    def _before_planes(self, band: int) -> int:
        """Bytes for masks, and for a band's rows of plain x, at the begin of scratch memory."""
        out_width, stride = self.out_shape[3], self.strides[1]
        may_be_halved = self.is_near and stride == 2  # how wide depends on the target
        if self.kernel is Kernel.COLUMNS and (self.is_straight or may_be_halved):
            return int((self.outside > 0).sum()) * whole_lines((out_width + LANES) * 4)
        if self.kernel is Kernel.SINGLE and self.are_windows_near:
            planes, dilation = self.rows.planes, self.dilations[0]
            reach = (band + self.reach - 1) * self.strides[0] + (planes - 1) * dilation
            rows = min(reach + 1, self.in_shape[2]) * self.in_shape[3]
            mask = out_width * stride + self.words * 4 + LINE
            return whole_lines(mask) + whole_lines(rows)
        return 0
