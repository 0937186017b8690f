"""Steps that move elements without computing: tensors of any element type.

Every operator that rearranges one tensor is a :class:`Move`: a nest of loops over the output, each
with its own offsets into the input. Most loops are plain strides; the rest get a small table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.integer.packing import LINE
from farm.codegen.ops.literal import Field, shape_literal
from farm.codegen.ops.operands import operand_names, operands
from farm.codegen.program import (
    NO_SCRATCH,
    Array,
    Binding,
    Call,
    Element,
    Layout,
    Loop,
    Mover,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes

Offsets = NDArray[np.int64]
"""Offsets of one loop into the input, in elements, one per iteration; negative: outside of it."""

OUTSIDE = -1

_HEADER = "movement.h"
_LOOPS = "abcdef"
_MANY = 32  # elements in a row that vectors move


@dataclass(frozen=True, slots=True, eq=False)
class Move(Mover):
    """y[i, j, ...] = x[offsets[0][i] + offsets[1][j] + ...], or ``fill`` outside of x.

    x and y are PLAIN and of one element type. offsets: of a nest of loops over y, outermost
    first; their lengths multiply to y's size, but need not be y's axes. fill: for U8 a whole
    number of 0..255.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    offsets: tuple[Offsets, ...]
    fill: float = 0.0
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Rows of the innermost loop, in bytes where these are moved as vectors."""
        nest = simplified(self.offsets)
        *outer, length = map(len, nest)
        stride = _whole_stride(nest[-1])
        if _window(nest[-1]) is None:
            name = "table_rows"
        elif stride is None:
            name = "padded_rows"
        elif stride > 1 and _whole_stride(nest[-2]) == 1:
            name = "transposed_rows"
        else:
            name = "rows" if stride else "repeated_elements"
        window = nest[-1][nest[-1] >= 0] if name in {"padded_rows", "rows"} else nest[-1][:0]
        if len(window) >= _MANY and _whole_stride(window) == 1:
            name, length = f"{name}_in_vectors", length * self.outputs[0].element.bytes
        return Work("move", (Loop(name, math.prod(outer), length),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Every element looked up."""
        place = np.zeros(1, np.int64)
        inside = np.ones(1, bool)
        for each in self.offsets:
            place = np.add.outer(place, each).ravel()
            inside = np.logical_and.outer(inside, each >= 0).ravel()
        taken = inputs[0].ravel()[np.where(inside, place, 0)] if inputs[0].size else place
        dtype = np.dtype(self.outputs[0].element.value)
        filled = np.where(inside, taken.astype(dtype), np.asarray(self.fill).astype(dtype))
        return (filled.reshape(self.outputs[0].shape),)

    def call(self, bind: Binding) -> Call:
        """One call of ``move``."""
        table: list[Offsets] = []
        start, loops = 0, []
        for each in simplified(self.offsets):
            base, loop = _loop(each, sum(map(len, table)))
            start += base
            loops.append(shape_literal("MoveLoop", **loop))
            if loop["table"] != "MOVE_BY_STRIDE":
                table.append(each)
        offsets = np.concatenate(table).astype(np.int32) if table else None
        is_whole = self.outputs[0].element in (Element.I32, Element.I64)
        whole: dict[str, Field] = {"whole": 1} if is_whole else {}
        shape = shape_literal(
            "MoveShape",
            bytes=self.outputs[0].element.bytes,
            **whole,
            fill=float(self.fill),
            start=start,
            **dict(zip(_LOOPS, loops, strict=True)),
        )
        name = "0" if offsets is None else bind.constant(offsets, "offsets")
        pointers = (
            Pointer("const void *", bind.tensor(self.inputs[0])),
            Pointer("const int32_t *", name),
            Pointer("void *", bind.tensor(self.outputs[0])),
        )
        return Call(_HEADER, "move", pointers, shape)


@dataclass(frozen=True, slots=True, eq=False)
class Concat(Mover):
    """Tensors one after the other along an axis.

    Parts and y are PLAIN; or BLOCKED with axis 1, when the channels of every part are a multiple
    of 4. constants: one entry for each part, None where it is the next of the inputs.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    axis: int
    constants: tuple[Array | None, ...]
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    def __post_init__(self) -> None:
        """Check what the BLOCKED layout demands."""
        if self.outputs[0].layout is Layout.BLOCKED:
            parts = [tensor.shape[1] for tensor in self.inputs]
            assert self.axis == 1, self.axis
            assert all(channels % 4 == 0 for channels in parts), parts
            assert all(constant is None for constant in self.constants)

    @property
    def is_contiguous(self) -> bool:
        """Whether every part is one run of bytes of the result, and none is constant."""
        outer = math.prod(self.outputs[0].shape[: self.axis])
        return outer == 1 and all(constant is None for constant in self.constants)

    @property
    def work(self) -> Work:
        """Copies of all pieces: in vectors, then byte by byte."""
        y = self.outputs[0]
        outer = max(1, math.prod(y.shape[: self.axis]))
        parts = operands(self.constants, self.inputs)
        lengths = [part.size * y.element.bytes // outer for part in parts]
        names = ["pieces" if length % 8 == 0 else "unaligned_pieces" for length in lengths]
        pieces = (Loop(name, outer, length) for name, length in zip(names, lengths, strict=True))
        left = (Loop("bytes_left", outer, length % LINE) for length in lengths)
        return Work("concat", (*pieces, *left))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """Numpy's own."""
        parts = operands(self.constants, inputs)
        return (np.concatenate(parts, self.axis).astype(self.outputs[0].element.value),)

    def call(self, bind: Binding) -> Call:
        """One call of ``concat``."""
        y = self.outputs[0]
        outer = math.prod(y.shape[: self.axis])
        names = operand_names(self.constants, self.inputs, bind, "part", y.element.value)
        sizes = [part.size for part in operands(self.constants, self.inputs)]
        pieces = [size * y.element.bytes // max(outer, 1) for size in sizes]
        pointers = (
            Pointer("const void *const *", f"(const void *const[]){{{', '.join(names)}}}"),
            Pointer("const int32_t *", bind.constant(np.array(pieces, np.int32), "pieces")),
            Pointer("void *", bind.tensor(y)),
        )
        shape = shape_literal("ConcatShape", outer=outer, parts=len(names))
        return Call(_HEADER, "concat", pointers, shape)


def transposition(
    x: Tensor, y: Tensor, order: Sequence[int], shape: Sequence[int] | None = None
) -> Move:
    """Axis i of y is axis order[i] of x. shape: of x, and so of y, if axes are to be split."""
    offsets = axis_offsets(x.shape if shape is None else shape)
    return Move((x,), (y,), tuple(offsets[axis] for axis in order))


def selection(
    x: Tensor,
    y: Tensor,
    indices: Mapping[int, Array],
    fill: float = 0.0,
    shape: Sequence[int] | None = None,
) -> Move:
    """Along each axis of x the elements at the indices, which OUTSIDE stands among for ``fill``.

    indices: by axis; axes that are not named are taken whole. shape: x's shape with axes of
    length 1 added, if that is how the axes are counted.
    """
    offsets = list(axis_offsets(x.shape if shape is None else shape))
    for axis, given in indices.items():
        chosen, whole = np.asarray(given, np.int64).ravel(), offsets[axis]
        inside = chosen >= 0
        offsets[axis] = np.full(chosen.shape, OUTSIDE, np.int64)
        offsets[axis][inside] = whole[chosen[inside]]
    return Move((x,), (y,), tuple(offsets), fill)


def axis_offsets(shape: Sequence[int]) -> tuple[Offsets, ...]:
    """Offsets of every index along every axis of a row-major tensor."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return tuple(
        np.arange(size, dtype=np.int64) * stride
        for size, stride in zip(shape, strides, strict=True)
    )


def simplified(offsets: Sequence[Offsets]) -> tuple[Offsets, ...]:
    """An equal nest of exactly six loops: few tables, long innermost loop."""
    parts = [part for each in offsets for part in _factored(each)]
    loops = [each for each in parts if len(each) != 1 or each[0] < 0]
    base = sum(int(each[0]) for each in parts if len(each) == 1 and each[0] >= 0)
    merged: list[Offsets] = []
    for each in reversed(loops):
        together = _outer_sum(each, merged[0]) if merged else each
        if merged and _is_run(each) and _is_run(merged[0]) and _is_run(together):
            merged[0] = together
        else:
            merged.insert(0, each)
    while len(merged) > len(_LOOPS):
        merged[:2] = [_outer_sum(merged[0], merged[1])]
    whole = np.zeros(1, np.int64)
    nest = [*[whole] * (len(_LOOPS) - len(merged)), *merged]
    nest[0] = np.where(nest[0] < 0, OUTSIDE, nest[0] + base)
    return tuple(nest)


def _outer_sum(outer: Offsets, inner: Offsets) -> Offsets:
    total = np.add.outer(outer, inner)
    outside = np.logical_or.outer(outer < 0, inner < 0)
    combined: Offsets = np.where(outside, OUTSIDE, total).ravel()
    return combined


def _is_run(offsets: Offsets) -> bool:
    """Whether all of it lies inside, with one stride."""
    steps = np.diff(offsets)
    return bool((offsets >= 0).all() and (steps == steps[:1]).all())


def _factored(offsets: Offsets) -> tuple[Offsets, ...]:
    """Two loops of strides instead of one that needs a table, where that is possible."""
    if _window(offsets) is not None:
        return (offsets,)
    for inner in range(2, len(offsets) // 2 + 1):
        if len(offsets) % inner == 0:
            grid = offsets.reshape(-1, inner)
            column, row = grid[:, 0], grid[0] - grid[0, 0]
            if _is_run(column) and _is_sum(grid, column, row):
                return column, row
    return (offsets,)


def _is_sum(grid: Offsets, column: Offsets, row: Offsets) -> bool:
    return _is_run(row) and bool((grid == np.add.outer(column, row)).all())


def _window(offsets: Offsets) -> tuple[int, int] | None:
    """The iterations inside the input, if they are neighbours and have one stride."""
    inside = np.flatnonzero(offsets >= 0)
    if len(inside) == 0:
        return 0, 0
    first, last = int(inside[0]), int(inside[-1]) + 1
    return (first, last) if _is_run(offsets[first:last]) else None


def _whole_stride(offsets: Offsets) -> int | None:
    """The stride of a loop that has one, and lies inside the input."""
    if not _is_run(offsets):
        return None
    return int(offsets[1] - offsets[0]) if len(offsets) > 1 else 1


def _loop(offsets: Offsets, table: int) -> tuple[int, dict[str, Field]]:
    """The offset that all iterations share, and the fields of a ``MoveLoop``.

    table: where the loop's entries in the table would be.
    """
    length = len(offsets)
    window = _window(offsets)
    if window is None:
        return 0, {"length": length, "first": 0, "last": length, "stride": 0, "table": table}
    first, last = window
    inside = offsets[first:last].tolist()
    stride = next((b - a for a, b in pairwise(inside)), 1)
    base = inside[0] if inside else 0
    fields: dict[str, Field] = {"length": length, "first": first, "last": last, "stride": stride}
    return base, fields | {"table": "MOVE_BY_STRIDE"}
