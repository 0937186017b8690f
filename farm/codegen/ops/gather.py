"""Steps that choose elements by what other tensors hold: indices, or truth values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from farm.codegen.ops.floats.elementwise import MOST_LOOPS, broadcast_loops
from farm.codegen.ops.literal import shape_literal
from farm.codegen.ops.operands import operand_names, operands
from farm.codegen.program import (
    NO_SCRATCH,
    Array,
    Binding,
    Call,
    Loop,
    Mover,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes

_HEADER = "gather.h"


@dataclass(frozen=True, slots=True, eq=False)
class Gather(Mover):
    """Slices of a tensor along an axis, at indices of which negative ones count from the end.

    Indices beyond an end are taken for the last one there. inputs: the data, where they are no
    constant, and the indices, I32 or I64. All are PLAIN. constant: data of y's element type.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    axis: int
    constant: Array | None = None
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Copies of rows."""
        outer, _, row = self._parts
        rows = outer * self.inputs[-1].size
        return Work(self._function, (Loop("rows", rows, row * self._element_bytes),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Numpy's own, within the data."""
        data = inputs[0] if self.constant is None else self.constant
        size = data.shape[self.axis]
        indices = inputs[-1].astype(np.int64)
        rows = np.clip(np.where(indices < 0, indices + size, indices), 0, size - 1)
        return (np.take(data, rows, self.axis),)

    def call(self, bind: Binding) -> Call:
        """One call of ``gather_...``, which is named after the indices."""
        outer, size, row = self._parts
        indices = self.inputs[-1]
        if self.constant is None:
            data = bind.tensor(self.inputs[0])
        else:
            data = bind.constant(np.ascontiguousarray(self.constant), "table")
        shape = shape_literal(
            "GatherShape",
            outer=outer,
            rows=size,
            indices=indices.size,
            bytes=row * self._element_bytes,
        )
        pointers = (
            Pointer("const void *", data),
            Pointer("const void *", bind.tensor(indices)),
            Pointer("void *", bind.tensor(self.outputs[0])),
        )
        return Call(_HEADER, self._function, pointers, shape)

    @property
    def _function(self) -> str:
        return f"gather_{self.inputs[-1].element}"

    @property
    def _element_bytes(self) -> int:
        return self.outputs[0].element.bytes

    @property
    def _parts(self) -> tuple[int, int, int]:
        """The data as [outer, size, row]."""
        shape = self.inputs[0].shape if self.constant is None else self.constant.shape
        axis = self.axis
        return math.prod(shape[:axis]), shape[axis], math.prod(shape[axis + 1 :])


@dataclass(frozen=True, slots=True, eq=False)
class Select(Mover):
    """y = a where the choice is true, b where it is false, with numpy's broadcasting.

    inputs: those of choice (BOOL), a and b that are no constants. constants: of the three, a and b
    of y's element type.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    constants: tuple[Array | None, Array | None, Array | None]
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Rows of the result."""
        *outer, length = broadcast_loops(self.outputs[0].shape, self.shapes())[0]
        return Work(self._function, (Loop("rows", math.prod(outer), length),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Numpy's own."""
        choice, a, b = operands(self.constants, inputs)
        return (np.where(choice, a, b),)

    def call(self, bind: Binding) -> Call:
        """One call of ``select_...``, which is named after the bytes of an element."""
        names = operand_names(self.constants, self.inputs, bind, "operand")
        lengths, strides = broadcast_loops(self.outputs[0].shape, self.shapes())
        missing = MOST_LOOPS - len(lengths)
        choice, a, b = ((*[0] * missing, *each) for each in strides)
        shape = shape_literal(
            "SelectShape",
            length=(*[1] * missing, *lengths),
            choice_stride=choice,
            a_stride=a,
            b_stride=b,
        )
        pointers = (
            Pointer("const uint8_t *", names[0]),
            *(Pointer("const void *", name) for name in names[1:]),
            Pointer("void *", bind.tensor(self.outputs[0])),
        )
        return Call(_HEADER, self._function, pointers, shape)

    def shapes(self) -> list[tuple[int, ...]]:
        """Of choice, a and b."""
        return [each.shape for each in operands(self.constants, self.inputs)]

    @property
    def _function(self) -> str:
        return f"select_{self.outputs[0].element.bytes}"
