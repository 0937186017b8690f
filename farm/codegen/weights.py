"""Quantises the weights of a product: s8, symmetric, one scale per output channel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.arithmetic import MOST_SPREAD, Requantization, requantization
from farm.codegen.program import Array, Quantization

_LARGEST = 127


@dataclass(frozen=True, slots=True, eq=False)
class IntegerProduct:
    """Constants of a product in integers.

    weights: int8, first axis the output channels. bias: int32 [channels], complete: the model's
    bias, the input's zero point, and the rule's offset.
    """

    weights: NDArray[np.int8]
    bias: NDArray[np.int32]
    rule: Requantization


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
    quantised, [channels] or [1]. limits: lowest and highest value of y, quantised.

    Raises ValueError: the output's scale is too small for the rule of requantisation.
    """
    channels = len(weights)
    flat = weights.reshape(channels, -1).astype(np.float64)
    steps = _scales(flat, scales)
    # Channels with tiny weights are given a larger scale, so that one shift serves all channels:
    # their weights keep the precision that the largest channel's would have in 32 times its scale.
    steps = np.maximum(steps, steps.max() / MOST_SPREAD)
    integers = np.clip(np.rint(flat / steps[:, None]), -_LARGEST, _LARGEST).astype(np.int64)
    rule = requantization(x.scale * steps / y.scale, y.zero_point, *limits)
    whole = np.rint(bias.astype(np.float64) / (x.scale * steps)).astype(np.int64)
    complete = whole - x.zero_point * integers.sum(axis=1) + rule.offset
    if np.abs(complete).max() >= 2**31:
        raise ValueError("its bias does not fit 32 bits")
    return IntegerProduct(
        integers.astype(np.int8).reshape(weights.shape), complete.astype(np.int32), rule
    )


def _scales(flat: Array, given: NDArray[np.float64] | None) -> NDArray[np.float64]:
    if given is not None:
        return np.broadcast_to(given, (len(flat),)).astype(np.float64)
    largest = np.abs(flat).max(axis=1) / _LARGEST
    least = max(float(largest.max()), 1e-12) * 1e-6  # channels of zeros have a scale, too
    scales: NDArray[np.float64] = np.maximum(largest, least)
    return scales
