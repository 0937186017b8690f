"""Softmax of u8, by a table of exponentials."""

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
    Element,
    Loop,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes

MOST_ELEMENTS = 65535
"""Along the axis: the sum of so many exponentials fits 31 bits."""

_HEADER = "softmax.h"
_ONE = 15  # binary digits after the point of exponentials,
_INVERSE = 46  # of the inverse of their sum,
_SHARE = 16  # and of the result before it gets the output's scale
_FACTOR = 15  # digits of that scale


@dataclass(frozen=True, slots=True, eq=False)
class Softmax:
    """exp(x) divided by its sum along an axis.

    With d the difference to the largest element, e = round(2**15 * exp(-d * scale)) is a table.
    As F32, y = float32(e) * r, where r is a float32 reciprocal of the sum, by Newton's method
    from a guess. As U8, y = zero_point + (share * factor + 2**(shift - 1) >> shift), saturated,
    where share = e * floor(2**46 / sum) >> 30 is the result in 16 bits, and factor / 2**shift is
    its unit in those of y.

    x: U8 PLAIN. y: F32 or U8 PLAIN.

    Raises ValueError: more than MOST_ELEMENTS along the axis, or y's scale is below 2**-30.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    axis: int
    scratch_bytes: Bytes = NO_SCRATCH

    def __post_init__(self) -> None:
        """Check that all numbers fit."""
        if self.inputs[0].shape[self.axis] > MOST_ELEMENTS:
            raise ValueError(
                f"a softmax over {self.inputs[0].shape[self.axis]} elements does not fit sums of "
                f"32 bits, which end at {MOST_ELEMENTS}"
            )
        if self._is_integer():
            self._output_scale()

    @property
    def in_place(self) -> tuple[tuple[int, int], ...]:
        """u8 can be overwritten."""
        return ((0, 0),) if self._is_integer() else ()

    @property
    def work(self) -> Work:
        """Rows along the axis."""
        size = self.inputs[0].shape[self.axis]
        return Work(self._function(), (Loop("rows", self.inputs[0].size // size, size),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The same integers; float32 operations in the same order."""
        x = np.moveaxis(inputs[0], self.axis, -1).astype(np.int32)
        exponentials = self._table()[x.max(axis=-1, keepdims=True) - x]
        total = exponentials.sum(axis=-1, keepdims=True, dtype=np.uint32)
        if self._is_integer():
            y = self._integers(exponentials, total)
        else:
            y = exponentials.astype(np.float32) * _reciprocal(total.astype(np.float32))
        return (np.moveaxis(y, -1, self.axis),)

    def call(self, bind: Binding) -> Call:
        """One call of ``softmax_integer`` or ``softmax_float``."""
        x, y = self.inputs[0], self.outputs[0]
        integer = self._is_integer()
        factor, shift = self._output_scale() if integer else (0, 0)
        axis = self.axis % len(x.shape)
        shape = shape_literal(
            "SoftmaxShape",
            outer=math.prod(x.shape[:axis]),
            size=x.shape[axis],
            inner=math.prod(x.shape[axis + 1 :]),
            factor=factor,
            shift=shift,
            zero_point=y.quant.zero_point if integer else 0,
        )
        pointers = (
            Pointer("const uint8_t *", bind.tensor(x)),
            Pointer("const uint32_t *", bind.constant(self._table(), "exponentials")),
            Pointer(f"{y.element.ctype} *", bind.tensor(y)),
        )
        return Call(_HEADER, self._function(), pointers, shape)

    def _function(self) -> str:
        return "softmax_integer" if self._is_integer() else "softmax_float"

    def _is_integer(self) -> bool:
        return self.outputs[0].element is Element.U8

    def _table(self) -> NDArray[np.uint32]:
        distances = np.arange(256) * self.inputs[0].quant.scale
        table: NDArray[np.uint32] = np.rint(np.exp(-distances) * 2.0**_ONE).astype(np.uint32)
        return table

    def _output_scale(self) -> tuple[int, int]:
        """Factor and shift from shares to units of y."""
        unit = 1 / (self.outputs[0].quant.scale * 2.0**_SHARE)
        shift = min(30, _FACTOR - math.frexp(unit)[1])
        if shift < 0:
            raise ValueError(
                f"the result's scale of {self.outputs[0].quant.scale:g} is too small for a softmax"
            )
        return min(round(unit * 2.0**shift), (1 << _FACTOR) - 1), shift

    def _integers(self, exponentials: Array, total: Array) -> Array:
        factor, shift = self._output_scale()
        inverse = (1 << _INVERSE) // total.astype(np.uint64)
        share = exponentials.astype(np.uint64) * inverse >> (_INVERSE - _SHARE)
        units = (share * factor + ((1 << shift) >> 1)) >> shift
        y = units.astype(np.int64) + self.outputs[0].quant.zero_point
        return np.clip(y, 0, 255).astype(np.uint8)


def _reciprocal(x: Array) -> Array:
    """1 / x in float32 operations that every target has."""
    guess = (np.uint32(0x7EF311C7) - x.view(np.uint32)).view(np.float32)
    for _ in range(3):
        guess = guess * (np.float32(2.0) - x * guess)
    return guess
