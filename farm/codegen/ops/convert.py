"""Steps between float and u8, and between the orders in which a tensor's elements lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from farm.codegen.arithmetic import dequantize, quantize
from farm.codegen.ops.integer.packing import LINE
from farm.codegen.ops.literal import shape_literal
from farm.codegen.program import (
    NO_SCRATCH,
    Array,
    Binding,
    Call,
    Layout,
    Loop,
    Pointer,
    Tensor,
    Work,
)
from farm.units import Bytes

_HEADER = "convert.h"
_BLOCKS_HEADER = "blocks.h"
_TRIPLE = 3  # channels of an image in colours
_ROW_VECTOR = 128  # positions that HVX takes at once, see kernels/blocks.h
_SPARE = 4  # bytes that are read past a row in scratch
_BLOCK = 4  # channels
_FLOAT = 4  # bytes
_FLOATS = LINE  # in as many vectors as make one of bytes
_FEW = 8  # positions; fewer are converted one by one


@dataclass(frozen=True, slots=True, eq=False)
class Quantize:
    """Float to u8, by the rule of :func:`farm.codegen.arithmetic.quantize`.

    x: F32 PLAIN. y: U8, PLAIN or BLOCKED. channels_last: x is [N, *positions, C], while y is
    [N, C, *positions].
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    channels_last: bool = False
    in_place: tuple[tuple[int, int], ...] = ()

    @property
    def scratch_bytes(self) -> Bytes:
        """The elements of one batch, quantised and not yet in blocks."""
        if not self._to_blocks():
            return NO_SCRATCH
        return Bytes(math.prod(self.outputs[0].shape[1:]) + _SPARE)

    @property
    def work(self) -> Work:
        """Every element, or the words of blocks that they fill."""
        y = self.outputs[0]
        if not self._to_blocks():
            return Work("quantize", _walk(y, _plain(self.channels_last), _layout(y)))
        batch, channels, positions = y.shape[0], y.shape[1], math.prod(y.shape[2:])
        if channels < _BLOCK:
            return Work("quantize", _planes("few_channels", batch, channels, positions))
        name = "words" if channels % _BLOCK == 0 else "unaligned_words"
        words = Loop(name, batch * -(-channels // _BLOCK), positions)
        return Work("quantize", (*_rows(batch, channels * positions), words))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The rule, after moving the channels."""
        x = np.moveaxis(inputs[0], -1, 1) if self.channels_last else inputs[0]
        return (quantize(x, self.outputs[0].quant),)

    def call(self, bind: Binding) -> Call:
        """One call of ``quantize``, or of ``quantize_to_blocks`` from channels last."""
        x, y = self.inputs[0], self.outputs[0]
        shape = shape_literal(
            "QuantizeShape",
            order=_order(y, _plain(self.channels_last), _layout(y)),
            inverse=float(np.float32(1.0 / y.quant.scale)),
            zero_point=y.quant.zero_point,
        )
        pointers = (
            Pointer("const float *", bind.tensor(x)),
            Pointer("uint8_t *", bind.tensor(y)),
        )
        if not self._to_blocks():
            return Call(_HEADER, "quantize", pointers, shape)
        scratch = Pointer("uint8_t *", bind.scratch())
        return Call(_HEADER, "quantize_to_blocks", (*pointers, scratch), shape)

    def _to_blocks(self) -> bool:
        return self.channels_last and self.outputs[0].layout is Layout.BLOCKED


@dataclass(frozen=True, slots=True, eq=False)
class Dequantize:
    """U8 to float, by the rule of :func:`farm.codegen.arithmetic.dequantize`.

    x: U8, PLAIN or BLOCKED. y: F32 PLAIN. channels_last: y is [N, *positions, C], while x is
    [N, C, *positions].
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    channels_last: bool = False
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Every element."""
        x = self.inputs[0]
        loops = _walk(x, _layout(x), _plain(self.channels_last), 2 * _FEW)
        return Work("dequantize", loops)

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """The rule, then moving the channels."""
        y = dequantize(inputs[0], self.inputs[0].quant)
        return (np.moveaxis(y, 1, -1) if self.channels_last else y,)

    def call(self, bind: Binding) -> Call:
        """One call of ``dequantize``."""
        x, y = self.inputs[0], self.outputs[0]
        shape = shape_literal(
            "DequantizeShape",
            order=_order(x, _layout(x), _plain(self.channels_last)),
            scale=float(np.float32(x.quant.scale)),
            zero_point=x.quant.zero_point,
        )
        pointers = (
            Pointer("const uint8_t *", bind.tensor(x)),
            Pointer("float *", bind.tensor(y)),
        )
        return Call(_HEADER, "dequantize", pointers, shape)


@dataclass(frozen=True, slots=True, eq=False)
class Relayout:
    """U8 from PLAIN to BLOCKED or back, the same logical tensor.

    channels_last: the PLAIN one is [N, *positions, C], while the other is [N, C, *positions].
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    channels_last: bool = False
    in_place: tuple[tuple[int, int], ...] = ()
    scratch_bytes: Bytes = NO_SCRATCH

    @property
    def work(self) -> Work:
        """Every element, or every word where the words stay as they are."""
        blocked, _, target = self._orders
        if self._kernel == "blocks_from_rows":
            return Work(self._kernel, (_blocks(blocked),))
        if self._kernel == "blocks_from_triples":
            return Work(self._kernel, (Loop("bytes", 1, blocked.bytes),))
        batch, channels, positions = *blocked.shape[:2], math.prod(blocked.shape[2:])
        blocks = batch * -(-channels // _BLOCK)
        if self.channels_last and channels % _BLOCK == 0:
            return Work("relayout", (Loop("words", blocks, positions),))
        name, in_vectors = "channels", tuple[Loop, ...]()
        if positions >= _FEW and not self.channels_last:
            name, in_vectors = "planes", (Loop("blocks", blocks, positions),)
        elif positions >= _FEW and channels < _BLOCK and target == _BLOCKED:
            name, in_vectors = "few_channels", (Loop("few_words", batch, 4 * positions),)
        return Work("relayout", (Loop(name, batch * channels, positions), *in_vectors))

    def reference(self, inputs: Sequence[Array]) -> tuple[Array, ...]:
        """At most a transposition."""
        if not self.channels_last:
            return (inputs[0],)
        to_blocks = self.outputs[0].layout is Layout.BLOCKED
        axes = (-1, 1) if to_blocks else (1, -1)
        return (np.moveaxis(inputs[0], *axes),)

    def call(self, bind: Binding) -> Call:
        """One call: to blocks there are kernels of their own for rows, and for three channels."""
        pointers = (
            Pointer("const uint8_t *", bind.tensor(self.inputs[0])),
            Pointer("uint8_t *", bind.tensor(self.outputs[0])),
        )
        blocked = self._orders[0]
        outer, channels, *positions = blocked.shape
        each = math.prod(positions)
        match self._kernel:
            case "blocks_from_rows" as kernel:
                sizes = shape_literal(
                    "BlocksShape", outer=outer, channels=channels, positions=each
                )
                return Call(_BLOCKS_HEADER, kernel, pointers, sizes)
            case "blocks_from_triples" as kernel:
                return Call(_BLOCKS_HEADER, kernel, pointers, str(outer * each))
        return Call(_HEADER, "relayout", pointers, _order(*self._orders))

    @property
    def _kernel(self) -> str:
        blocked, source, target = self._orders
        channels = blocked.shape[1]
        if target == _BLOCKED and (source == "CHANNELS_FIRST" or channels == 1):
            return "blocks_from_rows"
        if target == _BLOCKED and channels == _TRIPLE:
            return "blocks_from_triples"
        return "relayout"

    @property
    def _orders(self) -> tuple[Tensor, str, str]:
        """The tensor in blocks, and the orders of x and y."""
        x, y = self.inputs[0], self.outputs[0]
        plain = _plain(self.channels_last)
        return (x, _BLOCKED, plain) if x.layout is Layout.BLOCKED else (y, plain, _BLOCKED)


_BLOCKED = "CHANNELS_BLOCKED"


def _plain(channels_last: bool) -> str:  # noqa: FBT001
    return "CHANNELS_LAST" if channels_last else "CHANNELS_FIRST"


def _layout(tensor: Tensor) -> str:
    return _BLOCKED if tensor.layout is Layout.BLOCKED else "CHANNELS_FIRST"


def _walk(tensor: Tensor, source: str, target: str, few: int = _FEW) -> tuple[Loop, ...]:
    """The loop over all elements: in one row, or by the positions of every channel.

    few: positions; with fewer nothing is done in vectors.
    """
    if source == target:
        return _rows(1, tensor.size)
    batch, channels, positions = *tensor.shape[:2], math.prod(tensor.shape[2:])
    if {source, target} == {_BLOCKED, "CHANNELS_FIRST"} and positions >= few:
        return _planes("planes", batch, channels, positions)
    return (Loop("channels", batch * channels, positions),)


def _rows(times: int, size: int) -> tuple[Loop, ...]:
    """Rows: one by one, in some vectors of floats, or in four of them again and again."""
    if size < 2 * _FEW:
        return (Loop("short_row", times, size),)
    if size < _FLOATS:
        return (Loop("part_row", times, _FLOAT * size),)
    return (Loop("row", times, size),)


def _planes(name: str, batch: int, channels: int, positions: int) -> tuple[Loop, ...]:
    """Vectors of floats of every channel, and of words of every block."""
    length, blocks = _FLOAT * positions, batch * -(-channels // _BLOCK)
    kind = "part_" if length < LINE else ""
    floats = Loop(f"{kind}{name}", batch * channels, length)
    return floats, Loop(f"{kind}{name}_blocks", blocks, length)


def _blocks(tensor: Tensor) -> Loop:
    """The loop over the positions of every block of channels."""
    outer, channels, *positions = tensor.shape
    length = math.prod(positions)
    return Loop("rows" if length >= _ROW_VECTOR else "words", outer * -(-channels // 4), length)


def _order(tensor: Tensor, source: str, target: str) -> str:
    """``ConvertOrder`` of a tensor whose shape is [N, C, *positions], or anything if one row."""
    if source == target:
        outer, channels, positions = 1, 1, tensor.size
    else:
        outer, channels, positions = (*tensor.shape[:2], math.prod(tensor.shape[2:]))
    return shape_literal(
        "ConvertOrder",
        outer=outer,
        channels=channels,
        positions=positions,
        **{"from": source, "to": target},
    )
