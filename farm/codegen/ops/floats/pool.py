"""Pooling of float tensors over one to three axes of positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.floats.window import AXES, Window
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
class FloatPool:
    """The largest element of every window, or the mean of all that count.

    counts_padding: padding counts as zeros of the mean.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    window: Window
    is_average: bool
    counts_padding: bool = False
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """For every row of results its own loops, and those of the taps."""
        x, y = self.inputs[0], self.outputs[0]
        *outer, inner = self.window.taps(x.shape[2:], y.shape[2:])
        planes, kind = math.prod(y.shape[:2]), "mean" if self.is_average else "max"
        loops = (
            Loop(f"{kind}_rows", y.size // y.shape[-1], y.shape[-1]),
            Loop(f"{kind}_taps", planes * math.prod(outer), inner),
        )
        return Work("float_pool", loops)

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """From a view of all windows."""
        positions = self.outputs[0].shape[2:]
        taps = tuple(range(-len(positions), 0))
        if not self.is_average:
            return (self.window.view(inputs[0], positions, -np.inf).max(taps),)
        total = self.window.view(inputs[0].astype(np.float64), positions, 0.0).sum(taps)
        for axis, part in enumerate(self._parts()):
            total = total * part.reshape(-1, *[1] * (len(positions) - 1 - axis))
        return (total.astype(np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_pool``."""
        x, y = self.inputs[0], self.outputs[0]
        parts = "0"
        if self.is_average:
            missing = np.ones(AXES - len(self.window.kernel), np.float32)
            parts = bind.constant(np.concatenate((missing, *self._parts())), "parts")
        pointers = (
            Pointer("const float *", bind.tensor(x)),
            Pointer("const float *", parts),
            Pointer("float *", bind.tensor(y)),
        )
        shape = shape_literal(
            "FloatPoolShape",
            channels=x.shape[0] * x.shape[1],
            is_average=int(self.is_average),
            window=self.window.literal(x.shape[2:], y.shape[2:]),
        )
        return Call("float_pool.h", "float_pool", pointers, shape)

    def _parts(self) -> list[NDArray[np.float32]]:
        """For each axis and output the reciprocal of the number of taps that count."""
        x, y = self.inputs[0], self.outputs[0]
        counts = self.window.counts(x.shape[2:], y.shape[2:], with_padding=self.counts_padding)
        return [(1.0 / np.maximum(each, 1)).astype(np.float32) for each in counts]
