"""Convolution of float tensors over one or two axes of positions."""

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

_TILE_COLUMNS = 32  # the most that kernels/float_vector.h has on any target
_TILE = 4  # rows and columns that it has on a Hexagon
_UNROLLED = range(3, 6)  # lengths of padded rows that clang unrolls, into twice the packets


@dataclass(frozen=True, slots=True, eq=False)
class FloatConvolution:
    """y [N, O, *positions] from x [N, C, *positions].

    weights: float32 [O, C / groups, *kernel]. bias: float32 [O].
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]
    window: Window
    groups: int = 1
    in_place: tuple[tuple[int, int], ...] = ()

    @property
    def scratch_bytes(self) -> Bytes:
        """What one tile of positions reads, unless the kernel reads x itself."""
        is_depthwise = self.weights.shape[1] == 1
        if is_depthwise or self._is_pointwise:
            return NO_SCRATCH
        return Bytes(self.weights[0].size * _TILE_COLUMNS * 4)

    @property
    def work(self) -> Work:
        """Tiles of a matrix product and their columns; rows and taps of a depthwise one."""
        loops = self._depthwise_loops() if self.weights.shape[1] == 1 else self._tile_loops()
        return Work("float_conv", loops)

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """In double precision, then rounded."""
        y = self.outputs[0]
        view = self.window.view(inputs[0].astype(np.float64), y.shape[2:], 0.0)
        batch, channels, *rest = view.shape
        outputs, inputs_each = self.weights.shape[:2]
        grouped = view.reshape(batch, self.groups, channels // self.groups, *rest)
        weights = self.weights.reshape(self.groups, -1, inputs_each, *self.window.kernel)
        axes = "xyz"[: len(self.window.kernel)], "uvw"[: len(self.window.kernel)]
        rule = f"ngc{axes[0]}{axes[1]},goc{axes[1]}->ngo{axes[0]}"
        total = np.einsum(rule, grouped, weights.astype(np.float64), optimize=True)
        bias = self.bias.reshape(1, outputs, *[1] * len(self.window.kernel))
        return ((total.reshape(y.shape) + bias).astype(np.float32),)

    def call(self, bind: Binding) -> Call:
        """One call of ``float_conv``."""
        x, y = self.inputs[0], self.outputs[0]
        pointers = (
            Pointer("const float *", bind.tensor(x)),
            Pointer("const float *", bind.constant(self.weights, "weights")),
            Pointer("const float *", bind.constant(self.bias, "bias")),
            Pointer("float *", bind.tensor(y)),
            Pointer("float *", f"(float *){bind.scratch()}" if self.scratch_bytes else "0"),
        )
        shape = shape_literal(
            "FloatConvShape",
            batch=x.shape[0],
            groups=self.groups,
            inputs=x.shape[1] // self.groups,
            outputs=y.shape[1] // self.groups,
            window=self.window.literal(x.shape[2:], y.shape[2:]),
        )
        return Call("float_conv.h", "float_conv", pointers, shape)

    def _depthwise_loops(self) -> tuple[Loop, ...]:
        x, y = self.inputs[0], self.outputs[0]
        *outer, inner = self.window.taps(x.shape[2:], y.shape[2:])
        planes, length = math.prod(y.shape[:2]), y.shape[-1]
        is_unrolled = length in _UNROLLED and any(self.window.begin)
        name = "unrolled_taps" if is_unrolled else "taps"
        rows = planes * math.prod(outer)
        return (
            Loop("rows", y.size // length, length),
            Loop("tap_rows", rows, self.window.kernel[-1]),
            Loop(name, rows, inner),
        )

    def _tile_loops(self) -> tuple[Loop, ...]:
        """Tiles at the edges have fewer rows, or columns that are not neighbours in y."""
        y, depth = self.outputs[0], self.weights[0].size
        positions, channels = math.prod(y.shape[2:]), len(self.weights) // self.groups
        calls = y.shape[0] * self.groups
        columns = calls * -(-positions // _TILE)
        loops = [
            Loop("tiles", columns * (channels // _TILE), depth),
            Loop(f"tiles_of_{channels % _TILE}", columns if channels % _TILE else 0, depth),
        ]
        if self._is_pointwise:
            edges = calls * -(-channels // _TILE)
            loops.append(Loop("edges", edges if positions % _TILE else 0, depth))
        else:
            loops.append(Loop("columns", columns * depth, min(_TILE, positions)))
            loops.append(Loop("rows", calls * depth * math.prod(y.shape[2:-1])))
        return tuple(loops)

    @property
    def _is_pointwise(self) -> bool:
        """The same question as ``conv_is_pointwise`` of the kernel answers."""
        ones = (1,) * len(self.window.kernel)
        same = self.inputs[0].shape[2:] == self.outputs[0].shape[2:]
        return (
            self.window.kernel == self.window.strides == ones
            and same
            and not any(self.window.begin)
        )
