"""Images at another size by linear interpolation, in integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import Array, Binding, Call, Layout, Loop, Pointer, Tensor, Work
from farm.units import Bytes

_HEADER = "resize.h"
_DIGITS = 11  # binary digits of weights: 8 + 2 * 11 are below 31


@dataclass(frozen=True, slots=True, eq=False)
class LinearTaps:
    """What every element along one axis of a result is made of.

    low, high: int32, its two neighbours in x. weight: int32, of ``high``, from 0 to 2048 = 1.
    """

    low: NDArray[np.int32]
    high: NDArray[np.int32]
    weight: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class ResizeLinear:
    """y = linear interpolation of x over its last two axes.

    y = (sum of four neighbours * row weight * column weight + 2**21) >> 22, with weights of 2048.
    x, y: U8 of one quantization and one layout; BLOCKED, or PLAIN with any leading axes.
    rows, columns: made by :func:`linear_taps`.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    rows: LinearTaps
    columns: LinearTaps
    in_place: tuple[tuple[int, int], ...] = ()

    @property
    def scratch_bytes(self) -> Bytes:
        """One row of x in 32 bits."""
        return Bytes(4 * self.inputs[0].shape[-1] * self._channels())

    @property
    def work(self) -> Work:
        """For every row of the result: a row of x, then the outputs."""
        x, y, channels = self.inputs[0], self.outputs[0], self._channels()
        rows = y.bytes // (y.shape[-1] * channels)
        name = "columns" if channels == 1 else "blocked_columns"
        loops = Loop("rows", rows, x.shape[-1] * channels), Loop(name, rows, y.shape[-1])
        return Work("resize_linear", loops)

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Rows first, then columns; rounded at the end."""
        x = inputs[0].astype(np.int32)
        blended = _blend(x, self.rows, -2)
        total = _blend(blended, self.columns, -1)
        return (((total + (1 << (2 * _DIGITS - 1))) >> (2 * _DIGITS)).astype(np.uint8),)

    def call(self, bind: Binding) -> Call:
        """One call of ``resize_linear``."""
        x, y = self.inputs[0], self.outputs[0]
        channels = self._channels()
        shape = shape_literal(
            "ResizeShape",
            outer=x.bytes // (x.shape[-2] * x.shape[-1] * channels),
            height=x.shape[-2],
            width=x.shape[-1],
            out_height=y.shape[-2],
            out_width=y.shape[-1],
            channels=channels,
        )
        both = (self.rows, self.columns)
        taps = np.concatenate([np.stack([t.low, t.high, t.weight], axis=1) for t in both])
        pointers = (
            Pointer("const uint8_t *", bind.tensor(x)),
            Pointer("const int32_t *", bind.constant(taps.astype(np.int32), "taps")),
            Pointer("uint8_t *", bind.tensor(y)),
            Pointer("uint8_t *", bind.scratch()),
        )
        return Call(_HEADER, "resize_linear", pointers, shape)

    def _channels(self) -> int:
        """Elements of one position that lie side by side."""
        return 4 if self.inputs[0].layout is Layout.BLOCKED else 1


def linear_taps(coordinates: NDArray[np.float64], size: int) -> LinearTaps:
    """Taps of outputs that lie at these coordinates among ``size`` inputs, or at the nearest one.

    coordinates: [outputs], by whatever ``coordinate_transformation_mode`` of ONNX.

    Raises ValueError: a coordinate is not finite.
    """
    if not np.isfinite(coordinates).all():
        raise ValueError("a resized axis has coordinates that are not finite numbers")
    place = np.clip(coordinates, 0, size - 1)
    low = np.floor(place).astype(np.int32)
    weight = np.rint((place - low) * 2.0**_DIGITS).astype(np.int32)
    return LinearTaps(low, np.minimum(low + 1, size - 1).astype(np.int32), weight)


def _blend(x: Array, taps: LinearTaps, axis: int) -> Array:
    shape = (-1, 1) if axis == -2 else (-1,)
    weight = taps.weight.reshape(shape)
    low, high = np.take(x, taps.low, axis), np.take(x, taps.high, axis)
    blended: Array = low * ((1 << _DIGITS) - weight) + high * weight
    return blended
