"""Interpolation of float tensors along one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, slots=True, eq=False)
class Taps:
    """What every output along an axis is made of: offset + the sum of weight * input.

    places: int32 [outputs, taps], indices of inputs. weights: float32, same shape.
    offset: float32 [outputs].
    """

    places: NDArray[np.int32]
    weights: NDArray[np.float32]
    offset: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class FloatResample:
    """Every output along ``axis`` is a weighted sum of inputs along it."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    axis: int
    taps: Taps
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Every output along the axis, and its taps."""
        inner = math.prod(self.outputs[0].shape[self.axis + 1 :])
        rows, taps = self.outputs[0].size // inner, self.taps.places.shape[1]
        return Work(
            "float_resample", (Loop("rows", rows, inner), Loop("taps", rows * taps, inner))
        )

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """A product with the matrix of all weights, in double precision, then rounded."""
        matrix = np.zeros((len(self.taps.places), inputs[0].shape[self.axis]))
        rows = np.arange(len(matrix))[:, None]
        np.add.at(matrix, (rows, self.taps.places), self.taps.weights)
        lines = np.moveaxis(inputs[0].astype(np.float64), self.axis, -1)
        result = lines @ matrix.T + self.taps.offset
        return (np.moveaxis(result, -1, self.axis).astype(np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_resample``."""
        x, y = self.inputs[0], self.outputs[0]
        pointers = (
            Pointer("const float *", bind.tensor(x)),
            Pointer("const int32_t *", bind.constant(self.taps.places, "places")),
            Pointer("const float *", bind.constant(self.taps.weights, "weights")),
            Pointer("const float *", bind.constant(self.taps.offset, "offset")),
            Pointer("float *", bind.tensor(y)),
        )
        shape = shape_literal(
            "FloatResampleShape",
            outer=math.prod(x.shape[: self.axis]),
            input=x.shape[self.axis],
            output=y.shape[self.axis],
            inner=math.prod(x.shape[self.axis + 1 :]),
            taps=self.taps.places.shape[1],
        )
        return Call("float_resample.h", "float_resample", pointers, shape)
