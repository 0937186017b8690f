"""Integer arithmetic of generated programs: the rules that every target follows bit for bit.

Activations are u8, weights s8, accumulators s32. There is one rule for getting from an
accumulator back to u8, chosen because HVX (vasr, vmpy:rnd:sat), AVX (packs, mulhrs, packus) and
plain C all do it cheaply and identically::

    a = saturate16(accumulator >> shift)              arithmetic shift, rounds down
    h = (a * multiplier + 2**14) >> 15                multiplier: 1..32767, one per channel
    y = saturate8((h + 2**(post_shift - 1)) >> post_shift)     no addend where post_shift is 0
    y = min(max(y, lowest), highest)

The zero point of the output and half a unit of the first shift are part of the bias, so that the
rule itself has no further addends. ``shift`` and ``post_shift`` are one per operator.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.program import Array, Quantization

MOST_SPREAD = 32.0
"""Largest ratio of two channels' factors that one shift per operator serves well: it leaves the
channel with the largest factor 10 bits before the last rounding."""

SIGN = 128
"""From an s8 number to the u8 number that stands for it; the same bits but for the first one."""

_S16 = 32767
_LARGEST_SHIFT = 15  # HVX takes four bits of shift
_FINE_MULTIPLIER = 4096  # from here on its own rounding moves a result by 1/32 at most
_LARGEST_POST_SHIFT = 7  # and three for the second one


@dataclass(frozen=True, slots=True, eq=False)
class Requantization:
    """Parameters of the rule above for one operator.

    multiplier: int16 [channels] or [1]. offset: int32, same shape, to be added to accumulators:
    the output's zero point and the rounding of the first shift.
    """

    shift: int
    multiplier: NDArray[np.int16]
    post_shift: int
    offset: NDArray[np.int32]
    lowest: int = 0
    highest: int = 255


def requantization(
    factors: Array, zero_point: int | Array, lowest: int = 0, highest: int = 255
) -> Requantization:
    """Parameters for real factors: output - zero_point = accumulator * factor.

    factors: positive, [channels] or [1], below 1, no two further apart than MOST_SPREAD.
    zero_point: of the output, one for all channels or [channels].

    Raises ValueError: a factor outside (0, 1), or factors too far apart.
    """
    factors = np.atleast_1d(np.asarray(factors, np.float64))
    smallest, largest = float(factors.min()), float(factors.max())
    if not 0 < smallest <= largest < 1:
        raise ValueError(f"factors from {smallest:g} to {largest:g} are not between 0 and 1")
    if largest > smallest * MOST_SPREAD * (1 + 1e-9):
        raise ValueError(f"factors from {smallest:g} to {largest:g} are too far apart")
    shift = max(0, math.ceil(math.log2(256 / (_S16 * smallest))))
    post_shift = math.floor(math.log2(_S16 / (largest * 2.0 ** (shift + 15))))
    if shift > _LARGEST_SHIFT or post_shift < 0:
        raise ValueError(f"factors from {smallest:g} to {largest:g} are too small for 32 bits")
    post_shift = min(post_shift, _LARGEST_POST_SHIFT)
    # Two roundings in a row round up more often than down, by 2**-(post_shift + 1) on average.
    if smallest * 2.0 ** (shift + 15) >= _FINE_MULTIPLIER:
        post_shift = 0
    multiplier = np.clip(np.rint(factors * 2.0 ** (shift + 15 + post_shift)), 1, _S16)
    rounding = (1 << shift) >> 1
    offset = np.rint(zero_point / factors).astype(np.int64) + rounding
    return Requantization(
        shift,
        multiplier.astype(np.int16),
        post_shift,
        offset.astype(np.int32),
        lowest,
        highest,
    )


def requantize(accumulator: Array, rule: Requantization, channel_axis: int | None = None) -> Array:
    """Apply the rule to accumulators (int32, offset and bias already added); uint8.

    channel_axis: axis of the accumulators that the multipliers belong to; None for one multiplier.
    """
    shape = [1] * accumulator.ndim
    if channel_axis is not None:
        shape[channel_axis] = -1
    multiplier = rule.multiplier.astype(np.int32).reshape(shape)
    narrow = np.clip(accumulator.astype(np.int32) >> rule.shift, -32768, 32767)
    high = (narrow * multiplier + (1 << 14)) >> 15
    half = (1 << rule.post_shift) >> 1
    clamped: Array = np.clip((high + half) >> rule.post_shift, rule.lowest, rule.highest)
    return clamped.astype(np.uint8)


def sums_fit(weights: Array, bias: Array) -> bool:
    """Whether no sum of u8 times weights, with the bias, leaves 32 bits at any moment.

    Exact for the given numbers: a partial sum lies between that of all negative products and that
    of all positive ones, and the bias comes first in some kernels and last in others.

    weights: int8 [channels, ...]. bias: whole numbers [channels], complete.
    """
    flat = weights.reshape(len(weights), -1)
    positive = np.maximum(flat, 0).sum(axis=1, dtype=np.int64)
    negative = np.minimum(flat, 0).sum(axis=1, dtype=np.int64)
    return accumulators_fit(255 * negative, 255 * positive, bias.astype(np.int64))


def accumulators_fit(lowest: Array | int, highest: Array | int, added: Array | int) -> bool:
    """Whether sums from lowest (0 at most) to highest fit 32 bits, with and without an addend."""
    fits = (lowest + np.minimum(added, 0) >= -(2**31)) & (highest + np.maximum(added, 0) < 2**31)
    return bool(np.all(fits))


@dataclass(frozen=True, slots=True)
class WeightedSum:
    """y = clamp((a * first + b * second + offset) >> shift): sums and differences of two tensors.

    first, second: 16-bit. offset: zero points and rounding included. shift: 0..15.
    """

    first: int
    second: int
    offset: int
    shift: int
    lowest: int = 0
    highest: int = 255


def weighted_sum(
    a: Quantization,
    b: Quantization,
    y: Quantization,
    sign: int = 1,
    *,
    relu: bool = False,
) -> WeightedSum:
    """Parameters of y = a + sign * b for quantised tensors.

    relu: negative sums become zero.

    Raises ValueError: the output's scale is too small against the inputs'.
    """
    ratios = (a.scale / y.scale, sign * b.scale / y.scale)
    largest = max(abs(ratio) for ratio in ratios)
    shift = min(_LARGEST_SHIFT, math.floor(math.log2(_S16 / largest)))
    if shift < 0:
        raise ValueError(f"a factor of {largest:g} does not fit 16 bits")
    first, second = (round(ratio * (1 << shift)) for ratio in ratios)
    offset = (y.zero_point << shift) + ((1 << shift) >> 1)
    offset -= a.zero_point * first + b.zero_point * second
    return WeightedSum(first, second, offset, shift, y.zero_point if relu else 0)


def add_weighted(a: Array, b: Array, rule: WeightedSum) -> Array:
    """Apply a weighted sum to uint8 arrays that broadcast; uint8."""
    total = a.astype(np.int32) * rule.first + b.astype(np.int32) * rule.second + rule.offset
    clamped: Array = np.clip(total >> rule.shift, rule.lowest, rule.highest)
    return clamped.astype(np.uint8)


def quantize(real: Array, quantization: Quantization) -> Array:
    """float32 to uint8, as the kernel does: one float32 product, round half to even, saturate.

    What is not a number becomes 0.
    """
    inverse = np.float32(1.0 / quantization.scale)
    with np.errstate(over="ignore", invalid="ignore"):
        product = real.astype(np.float32) * inverse
    scaled = np.fmin(np.fmax(product, np.float32(-512.0)), np.float32(512.0))
    shifted = np.rint(scaled).astype(np.int32) + quantization.zero_point
    clamped: Array = np.clip(shifted, 0, 255)
    return clamped.astype(np.uint8)


def quantize_port(real: Array, quantization: Quantization, dtype: str) -> Array:
    """float32 to what an input of a package takes: uint8, or int8 with its own zero point."""
    if dtype == "uint8":
        return quantize(real, quantization)
    moved = Quantization(quantization.scale, quantization.zero_point + SIGN)
    flipped: Array = (quantize(real, moved) ^ SIGN).view(np.int8)
    return flipped


def dequantize(elements: Array, quantization: Quantization) -> Array:
    """uint8 or int8 to float32, as the kernel does: one float32 product of the difference."""
    difference = elements.astype(np.int32) - quantization.zero_point
    return difference.astype(np.float32) * np.float32(quantization.scale)
