"""The float step that normalises rows."""

from __future__ import annotations

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
class FloatLayerNorm:
    """y = (x - mean) / sqrt(variance + epsilon) * scale + bias over the last axes, a row.

    scale, bias: [elements of a row]. outputs: y, then the mean and 1 / sqrt(variance + epsilon)
    of every row, each where it is wanted.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    scale: NDArray[np.float32]
    bias: NDArray[np.float32]
    epsilon: float
    has_mean: bool = False
    has_inverse: bool = False
    in_place: tuple[tuple[int, int], ...] = ((0, 0),)
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Every row is read several times."""
        return Work("float_layer_norm", (Loop("rows", self._rows, self.scale.size),))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        x = inputs[0].reshape(self._rows, -1).astype(np.float64)
        mean = x.mean(1, keepdims=True)
        inverse = 1 / np.sqrt(x.var(1, keepdims=True) + self.epsilon)
        y = (x - mean) * inverse * self.scale + self.bias
        found = [y, *[mean] * self.has_mean, *[inverse] * self.has_inverse]
        return tuple(
            each.astype(np.float32).reshape(tensor.shape)
            for each, tensor in zip(found, self.outputs, strict=True)
        )

    def call(self, bind: Binding) -> Call:
        """One call of ``float_layer_norm``."""
        following = iter(self.outputs[1:])
        mean, inverse = (
            bind.tensor(next(following)) if wanted else "0"
            for wanted in (self.has_mean, self.has_inverse)
        )
        shape = shape_literal(
            "FloatNormShape",
            rows=self._rows,
            length=self.scale.size,
            factor=float(np.float32(1 / self.scale.size)),
            epsilon=float(np.float32(self.epsilon)),
            mean=int(self.has_mean),
            inverse=int(self.has_inverse),
        )
        reads = (
            bind.tensor(self.inputs[0]),
            bind.constant(self.scale, "scale"),
            bind.constant(self.bias, "bias"),
        )
        pointers = (
            *(Pointer("const float *", name) for name in reads),
            *(Pointer("float *", n) for n in (bind.tensor(self.outputs[0]), mean, inverse)),
        )
        return Call("float_norm.h", "float_layer_norm", pointers, shape)

    @property
    def _rows(self) -> int:
        return self.inputs[0].size // self.scale.size
