"""How the convolution kernels want their weights, and how much scratch memory they get.

The layouts are those that ``kernels/conv.h``, ``depthwise.h`` and ``dense.h`` document.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.program import Array
from farm.units import Bytes

LINE = 128
"""Bytes of the longest vector of any target: what a kernel may write past its columns."""

LANES = 32
"""Positions in that vector."""

NEAR_WORDS = 64
"""Words outside of the input that vectors may read where rows are copied as they are:
``NEAR_WORDS`` of ``kernels/columns.h``,"""

NEAR_TAPS_END = 32
"""and the column, from that of the output, before which its last tap lies: ``NEAR_TAPS_END``."""

NEAR_BYTES = 128
"""The same for windows of bytes: ``NEAR_BYTES`` of ``kernels/windows.h``."""

NEAR_STRIDE = 2
"""Largest stride along a row of either: ``NEAR_STRIDE`` of ``kernels/columns.h``."""

HALVED_ROWS = 4
"""Rows of a halved plane that one vector holds at most: ``HALVED_ROWS`` of
``kernels/near_vectors.h``."""

DENSE_WIDE = 128
"""Outputs that ``dense`` computes together where there are so many,"""

DENSE_NARROW = 32
"""and elsewhere."""

DENSE_ROWS = 4
"""Rows that it computes together, if there are as many."""

_SCRATCH = 10 * 1024  # bytes that columns should fit: they are read from the nearest cache
_MORE_WORK = 1.05  # what may be lost for less scratch memory
_TILE = 64  # positions that no target has to split


@dataclass(frozen=True, slots=True)
class KernelRows:
    """How the rows of a kernel share planes of columns.

    planes * taps: rows of the kernel; row ``tap * planes + plane`` is a tap of that plane.
    tap_rows: rows of the plane between two taps.
    """

    planes: int
    taps: int
    tap_rows: int


def kernel_rows(height: int, stride: int, dilation: int) -> KernelRows:
    """Sharing where the taps lie whole output rows apart, one plane for each row elsewhere."""
    if stride == 1:
        return KernelRows(1, height, dilation)
    if dilation == 1 and height % stride == 0:
        return KernelRows(stride, height // stride, 1)
    return KernelRows(height, 1, 1)


def band_rows(rows: int, width: int, taps_reach: int, scratch: Callable[[int], int]) -> int:
    """Output rows whose columns are built at a time.

    rows, width: of the output. taps_reach: rows of a plane beyond the band. scratch: bytes for
    that many rows. The fewest rows that leave about as little to compute twice, and to fill up
    vectors with, as any number that fits the scratch memory; one row, or one vector of
    positions, may take more.
    """

    def work(band: int) -> int:
        positions = -(-band * width // _TILE) * _TILE
        return -(-rows // band) * (8 * positions + (band + taps_reach) * width)

    fitting = [
        band
        for band in range(1, rows + 1)
        if band == 1 or band * width <= LANES or scratch(band) <= _SCRATCH
    ]
    least = min(work(band) for band in fitting)
    return next(band for band in fitting if work(band) <= _MORE_WORK * least)


def merged_groups(outputs: int, inputs: int, groups: int) -> int:
    """How many groups to compute as one, so that these have whole blocks of four channels.

    outputs, inputs: channels of one group. All groups, where nothing less helps.
    """
    for count in range(1, groups):
        if groups % count == 0 and count * outputs % 4 == 0 and count * inputs % 4 == 0:
            return count
    return groups


def merge_groups(weights: NDArray[np.int8], groups: int, count: int) -> NDArray[np.int8]:
    """Weights of groups / count groups, with zeros between those that were merged."""
    outputs, inputs = weights.shape[0] // groups, weights.shape[1]
    wide = np.zeros((weights.shape[0], count * inputs, *weights.shape[2:]), np.int8)
    for group in range(groups):
        place = group % count * inputs
        rows = slice(group * outputs, (group + 1) * outputs)
        wide[rows, place : place + inputs] = weights[rows]
    return wide


def pack_columns(weights: NDArray[np.int8], rows: KernelRows) -> Array:
    """Words of four input channels, in the order of ``conv.h``; int32, one-dimensional."""
    padded = _padded(_padded(weights, 0, 4), 1, 4)
    outputs, inputs, _, width = padded.shape
    split = padded.reshape(outputs // 4, 4, inputs // 4, 4, rows.taps, rows.planes, width)
    return _words(split.transpose(0, 2, 5, 6, 4, 1, 3))


def pack_single(weights: NDArray[np.int8], rows: KernelRows) -> Array:
    """Words of four taps along the row, for the single-channel kernel of ``conv.h``; int32."""
    padded = _padded(_padded(weights[:, 0], 2, 4), 0, 4)
    split = padded.reshape(padded.shape[0] // 4, 4, rows.taps, rows.planes, -1, 4)
    return _words(split.transpose(0, 3, 4, 2, 1, 5))


def pack_depthwise(weights: NDArray[np.int8], rows: KernelRows) -> Array:
    """Words of four taps along the row, in the order of ``depthwise.h``; int32."""
    return pack_single(weights, rows)


def dense_strips(outputs: int) -> tuple[int, int]:
    """Strips of DENSE_WIDE and of DENSE_NARROW outputs that ``dense`` computes one by one.

    Fewer outputs than fill a wide strip are one, too, if they reach into its last quarter.
    """
    wide = (outputs + DENSE_NARROW - 1) // DENSE_WIDE
    return wide, max(0, -(-(outputs - wide * DENSE_WIDE) // DENSE_NARROW))


def pack_depthwise_three(weights: NDArray[np.int8]) -> Array:
    """[C, 1, rows, 3] as words of three taps, in the order of ``depthwise_three.h``; int32.

    The third tap lies in another byte of odd channels, and there are zeros in the other one.
    """
    padded = _padded(weights[:, 0], 0, 4)
    channels, rows, _ = padded.shape
    words = np.zeros((channels // 4, rows, 4, 4), np.int8)
    split = padded.reshape(-1, 4, rows, 3).transpose(0, 2, 1, 3)
    words[..., :2] = split[..., :2]
    words[:, :, 0::2, 2] = split[:, :, 0::2, 2]
    words[:, :, 1::2, 3] = split[:, :, 1::2, 2]
    return _words(words)


def pack_dense(weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """[O, K] in the order of ``dense.h``; int8, one-dimensional."""
    wide, _ = dense_strips(len(weights))
    padded = _padded(_padded(weights, 0, DENSE_NARROW), 1, 4)
    parts = (padded[: wide * DENSE_WIDE], padded[wide * DENSE_WIDE :])
    packed = [
        part.reshape(-1, strip, part.shape[1] // 4, 4).transpose(0, 2, 1, 3).ravel()
        for part, strip in zip(parts, (DENSE_WIDE, DENSE_NARROW), strict=True)
    ]
    return np.concatenate(packed)


def pad_outputs(values: Array) -> Array:
    """One-dimensional, filled up with zeros as far as ``dense`` reads."""
    return np.pad(_padded(values, 0, DENSE_NARROW), (0, DENSE_NARROW))


def pad_channels(values: Array) -> Array:
    """One-dimensional, filled up with zeros to whole blocks of four."""
    return _padded(values, 0, 4)


def whole_lines(size: int) -> Bytes:
    """Bytes rounded up to whole lines."""
    return Bytes((size + LINE - 1) // LINE * LINE)


def lines(size: int) -> Bytes:
    """Bytes rounded up to whole lines, and one line more."""
    return Bytes(whole_lines(size) + LINE)


def _padded(array: Array, axis: int, multiple: int) -> Array:
    missing = -array.shape[axis] % multiple
    return np.pad(array, [(0, missing if i == axis else 0) for i in range(array.ndim)])


def _words(weights: Array) -> Array:
    """The last axis, four int8, as one int32 of a little-endian machine."""
    return np.ascontiguousarray(weights).view("<i4").astype(np.int32).ravel()
