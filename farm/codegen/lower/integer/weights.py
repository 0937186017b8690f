"""Quantises the weights of a product: s8, symmetric, one scale per output channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import MOST_SPREAD, Requantization, requantization, sums_fit
from farm.codegen.program import Array, Quantization

_LARGEST = 127


@dataclass(frozen=True, slots=True, eq=False)
class IntegerProduct:
    """Constants of a product in integers.

    weights: int8, first axis the output channels. bias: int32 [channels], complete: the model's
    bias, the input's zero point, and the rule's offset. is_given: whether the weights are the
    very integers that they came with.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    rule: Requantization
    is_given: bool


def integer_product(
    weights: Array,
    bias: Array,
    x: Quantization,
    y: Quantization,
    scales: NDArray[np.float64] | None = None,
    limits: tuple[int, int] = (0, 255),
) -> IntegerProduct:
    """Quantise a product y = Σ x w + bias.

    weights: float [channels, ...]. bias: float [channels]. scales: of weights that came
    quantised, like the weights; used if they are one per output channel and the integers fit 8
    bits with a sign. limits: lowest and highest value of y, quantised.

    Channels with tiny weights are given a larger scale, so that one shift serves all channels:
    their weights keep the precision that the largest channel's would have in 32 times its scale.

    Raises ValueError: the output's scale is too small for the rule of requantisation, or a sum
    could leave 32 bits.
    """
    channels = len(weights)
    flat = weights.reshape(channels, -1).astype(np.float64)
    given = _given_scales(flat, scales)
    nothing = y.scale / (2 * x.scale)  # a scale for weights that are all zero
    found = _own_scales(flat, nothing) if given is None else given
    steps = np.maximum(found, found.max() / MOST_SPREAD)
    integers = np.clip(np.rint(flat / steps[:, None]), -128, _LARGEST).astype(np.int64)
    rule = requantization(x.scale * steps / y.scale, y.zero_point, *limits)
    whole = np.rint(bias.astype(np.float64) / (x.scale * steps))
    if not np.all(np.abs(whole) < 2**31):  # what is no number, either
        raise ValueError("its bias does not fit 32 bits")
    complete = whole.astype(np.int64) - x.zero_point * integers.sum(axis=1) + rule.offset
    if not sums_fit(integers.astype(np.int8), complete):
        raise ValueError(
            f"sums of {flat.shape[1]} products with these weights and this bias do not fit 32 bits"
        )
    return IntegerProduct(
        integers.astype(np.int8).reshape(weights.shape),
        complete.astype(np.int32),
        rule,
        given is not None and np.array_equal(steps, given),
    )


def _given_scales(flat: Array, scales: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """The scales that weights [channels, ...] came with, [channels], if they can be used."""
    if scales is None:
        return None
    rows = scales.reshape(flat.shape)
    steps: NDArray[np.float64] = rows[:, 0]
    if not (np.all(rows == steps[:, None]) and np.all(steps > 0)):
        return None
    integers = np.rint(flat / rows)
    return steps if integers.min() >= -128 and integers.max() <= _LARGEST else None


def _own_scales(flat: Array, nothing: float) -> NDArray[np.float64]:
    """Scales with which the largest weight of every channel is 127."""
    largest: NDArray[np.float64] = np.abs(flat).max(axis=1) / _LARGEST
    return largest if largest.any() else np.full(len(flat), nothing)
