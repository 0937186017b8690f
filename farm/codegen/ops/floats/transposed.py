"""Transposed convolution of float tensors over one to three axes of positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.floats.window import Window
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
class FloatTransposed:
    """y [N, O, *positions] from x [N, C, *positions]: every element of x adds a window to y.

    weights: float32 [C, O / groups, *kernel]. bias: float32 [O]. window: over y; its padding is
    what is cut off.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    window: Window
    groups: int = 1
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Rows of x that are added, and their elements, by tap and pair of channels."""
        x, y = self.inputs[0], self.outputs[0]
        *outer, inner = self.window.taps(y.shape[2:], x.shape[2:])
        pairs = x.shape[0] * math.prod(self.weights.shape[:2])
        rows = pairs * math.prod(outer)
        taps = self.window.kernel[-1]
        return Work(
            "float_transposed",
            (
                Loop("planes", math.prod(y.shape[:2]), math.prod(y.shape[2:])),
                Loop("taps", pairs, math.prod(self.window.kernel)),
                Loop("tap_rows", rows, taps),
                Loop("sums", rows, inner),
            ),
        )

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        x, y, span = inputs[0].astype(np.float64), self.outputs[0], self.window
        batch, channels, *positions = x.shape
        grouped = x.reshape(batch, self.groups, channels // self.groups, *positions)
        weights = self.weights.reshape(self.groups, channels // self.groups, -1, *span.kernel)
        parts = zip(y.shape[2:], positions, span.begin, strict=True)
        reach = [
            max(out + b, (n - 1) * s + (k - 1) * d + 1)
            for (out, n, b), s, k, d in zip(
                parts, span.strides, span.kernel, span.dilations, strict=True
            )
        ]
        whole = np.zeros((batch, y.shape[1], *reach))
        for tap in np.ndindex(*span.kernel):
            factors = weights[(..., *tap)].astype(np.float64)
            part = np.einsum("ngc...,gco->ngo...", grouped, factors)
            places = [
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, span.dilations, positions, span.strides, strict=True)
            ]
            whole[(slice(None), slice(None), *places)] += part.reshape(batch, -1, *positions)
        kept = [slice(b, b + n) for b, n in zip(span.begin, y.shape[2:], strict=True)]
        bias = self.bias.reshape(-1, *[1] * len(positions))
        return ((whole[(slice(None), slice(None), *kept)] + bias).astype(np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_transposed``."""
        x, y = self.inputs[0], self.outputs[0]
        pointers = (
            Pointer("const float *", bind.tensor(x)),
            Pointer("const float *", bind.constant(self.weights, "weights")),
            Pointer("const float *", bind.constant(self.bias, "bias")),
            Pointer("float *", bind.tensor(y)),
        )
        shape = shape_literal(
            "FloatTransposedShape",
            batch=x.shape[0],
            groups=self.groups,
            inputs=x.shape[1] // self.groups,
            outputs=y.shape[1] // self.groups,
            window=self.window.literal(y.shape[2:], x.shape[2:]),
        )
        return Call("float_transposed.h", "float_transposed", pointers, shape)
