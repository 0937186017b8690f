"""The product of float matrices, one of which may be constant."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.float_elementwise import broadcast_loops
from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import NO_SCRATCH, Array, Binding, Call, Pointer, Tensor
from farm.units import Bytes

MOST_BATCH_LOOPS = 3


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

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        following = iter(inputs)
        a, b = (next(following) if each is None else each for each in self.constants)
        product = a.astype(np.float64) @ b.astype(np.float64)
        if self.bias is not None:
            product = product + self.bias
        return (np.asarray(product, np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_matmul``."""
        following = iter(self.inputs)
        names, shapes = [], []
        for constant in self.constants:
            if constant is None:
                tensor = next(following)
                names.append(bind.tensor(tensor))
                shapes.append(tensor.shape)
            else:
                names.append(bind.constant(np.ascontiguousarray(constant, np.float32), "matrix"))
                shapes.append(constant.shape)
        names.append("0" if self.bias is None else bind.constant(self.bias, "bias"))
        reads = tuple(Pointer("const float *", name) for name in names)
        y = Pointer("float *", bind.tensor(self.outputs[0]))
        return Call("float_matmul.h", "float_matmul", (*reads, y), self._shape(*shapes))

    def _shape(self, a: tuple[int, ...], b: tuple[int, ...]) -> str:
        a = (1, *a) if len(a) == 1 else a
        b = (*b, 1) if len(b) == 1 else b
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
