"""The product of float matrices, one of which may be constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.floats.elementwise import broadcast_loops
from farm.codegen.ops.literal import shape_literal
from farm.codegen.ops.operands import operand_names, operands
from farm.codegen.program import NO_SCRATCH, Array, Binding, Call, Loop, Pointer, Tensor, Work
from farm.units import Bytes

MOST_BATCH_LOOPS = 3

_TILE = 4  # rows and columns that kernels/float_vector.h has on a Hexagon


@dataclass(frozen=True, slots=True, eq=False)
class FloatMatMul:
    """y = a @ b + bias, with numpy's rules for vectors and for stacks of matrices.

    constants: for a and b, None where the matrix is the next of the inputs. bias: float32, one
    for each of b's columns.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    constants: tuple[Array | None, Array | None] = (None, None)
    bias: NDArray[np.float32] | None = None
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Tiles; those at the edges have fewer rows, and perhaps fewer columns."""
        a, b = self._shapes()
        depth, matrices = a[-1], self.outputs[0].size // (a[-2] * b[-1])
        edges = int(b[-1] % _TILE > 0)
        loops = []
        for tiles, rows in ((a[-2] // _TILE, _TILE), (1, a[-2] % _TILE)):
            if rows:
                whole = Loop(f"tiles_of_{rows}", matrices * tiles * (b[-1] // _TILE), depth)
                loops += [whole, Loop(f"edges_of_{rows}", matrices * tiles * edges, depth)]
        return Work("float_matmul", tuple(loops))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        a, b = operands(self.constants, inputs)
        product = a.astype(np.float64) @ b.astype(np.float64)
        if self.bias is not None:
            product = product + self.bias
        return (np.asarray(product, np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_matmul``."""
        names = operand_names(self.constants, self.inputs, bind, "matrix", np.float32)
        names.append("0" if self.bias is None else bind.constant(self.bias, "bias"))
        reads = tuple(Pointer("const float *", name) for name in names)
        y = Pointer("float *", bind.tensor(self.outputs[0]))
        return Call("float_matmul.h", "float_matmul", (*reads, y), self._shape())

    def _shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of a and b, vectors as matrices."""
        a, b = (each.shape for each in operands(self.constants, self.inputs))
        return (1, *a) if len(a) == 1 else a, (*b, 1) if len(b) == 1 else b

    def _shape(self) -> str:
        a, b = self._shapes()
        batch = np.broadcast_shapes(a[:-2], b[:-2])
        lengths, (a_steps, b_steps) = broadcast_loops(batch, (a[:-2], b[:-2]))
        missing = MOST_BATCH_LOOPS - len(lengths)
        return shape_literal(
            "FloatMatMulShape",
            rows=a[-2],
            depth=a[-1],
            columns=b[-1],
            batch=(*[1] * missing, *lengths),
            a_stride=(*[0] * missing, *(step * math.prod(a[-2:]) for step in a_steps)),
            b_stride=(*[0] * missing, *(step * math.prod(b[-2:]) for step in b_steps)),
            has_bias=int(self.bias is not None),
        )
