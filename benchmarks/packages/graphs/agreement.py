"""How far outputs are from what they should be: per channel, and centred.

A channel is judged by how it varies, because offsets and other channels hide what was lost: two
vectors near 1000 have the cosine 1, whatever they say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.packages.graphs.operators.proposal import Array
from farm.accuracy.evaluate import accuracy
from farm.accuracy.metric import choose_metric, default_limit
from farm.accuracy.outputs import Reference

Noise = NDArray[np.float64]

FLOAT_TOLERANCE = 1e-4  # of how much a channel varies; sums in another order
_MAGNITUDE = 1e-2  # of the largest element, beside how much a channel varies, in floats
_SMALLEST = 1e-3  # of differences that say anything
_LEAST_SPREAD = 1e-4  # of the largest element; channels that vary less are as good as constant
_FEW_STEPS = 8
_MOST = 3.0  # of a channel's noise, that is still told apart
_LOST = 0.9  # of a channel's noise: little better than knowing nothing but the mean
_MANY = 0.25  # share of the channels


def stacked(outputs: Sequence[Sequence[Array]], index: int) -> Array:
    """One output of all samples, [samples, *shape]; all in a row where shapes differ."""
    arrays = [each[index] for each in outputs]
    if len({array.shape for array in arrays}) > 1:
        return np.concatenate([array.ravel() for array in arrays])
    return np.stack(arrays)


def float_error(wanted: Array, found: Array) -> float:
    """Largest difference, beside how much its channel varies; infinite where NaNs differ."""
    if wanted.shape != found.shape or _strange(wanted, found):
        return float("inf")
    wanted, found = _channels(wanted), _channels(found)
    if not wanted.size:
        return 0.0
    centred = abs(wanted - wanted.mean(axis=1, keepdims=True)).max(axis=1)
    size = centred + _MAGNITUDE * abs(wanted).max() + _SMALLEST
    return float((abs(found - wanted).max(axis=1) / size).max())


def noise(wanted: Array, found: Array, step: float = 0.0) -> float:
    """Root mean square over the channels of their noise; infinite where NaNs differ.

    step: of the integers that the output is made of. A channel that spans a few of them is judged
    as if it spanned more: what is rounded the other way before it moves it as a whole.
    """
    if _strange(wanted, found):
        return float("inf")
    found_noise = _noises(wanted, found, _FEW_STEPS * step)
    return float(np.sqrt((found_noise**2).mean())) if found_noise.size else 0.0


def hidden_loss(wanted: Sequence[Array], found: Sequence[Array]) -> str:
    """How accuracy is good enough although channels lost what they say; "" where it is not.

    wanted, found: each output of all samples.
    """
    reference = Reference(tuple(wanted))
    metric = choose_metric(reference, None)
    result = accuracy(metric, tuple(found), reference, None)
    if result.value is None or result.value < 1 - default_limit(metric.name):
        return ""
    for index, (one, two) in enumerate(zip(wanted, found, strict=True)):
        name = reference.name(index)
        if any(f"'{name}'" in note for note in result.notes):
            continue
        if lack := _silent(one, two):
            return f"accuracy is {result.value:.4f}, and {lack} of {name}"
    return ""


def _silent(wanted: Array, found: Array) -> str:
    """What part of an output says nothing any more; "" where none does."""
    if _strange(wanted, found):
        return "NaN or infinity is in other elements"
    if wanted.size and not np.isfinite(wanted).any():
        return "no finite number is in any element"
    noises = _noises(wanted, found)
    lost = int((noises >= _LOST).sum())
    return f"noise is in {lost} of {noises.size} channels" if lost > _MANY * noises.size else ""


def _noises(wanted: Array, found: Array, least: float = 0.0) -> Noise:
    """Of each channel that varies: spread of the difference over that of the channel.

    least: spread that a channel has at the least.
    """
    wanted, found = _channels(wanted), _channels(found)
    if not wanted.size:
        return np.zeros(0)
    spread = wanted.std(axis=1)
    varies = spread > max(_LEAST_SPREAD * float(abs(wanted).max()), 1e-6)
    spread = np.maximum(spread, least)
    difference = np.sqrt(((found - wanted) ** 2).mean(axis=1))
    return np.asarray(np.minimum(difference[varies] / spread[varies], _MOST))


def _strange(wanted: Array, found: Array) -> bool:
    """Whether other elements are NaN or infinite."""
    same = np.isfinite(wanted) == np.isfinite(found)
    infinite = np.isinf(wanted) & np.isinf(found)
    return not (same.all() and (wanted[infinite] == found[infinite]).all())


def _channels(array: Array) -> NDArray[np.float64]:
    """[channels, elements] of [samples, batch, channels, ...]; 0 for what is not finite."""
    values = np.where(np.isfinite(array), array, 0).astype(np.float64)
    if values.ndim < 2:
        return values.reshape(1, -1)
    count = values.shape[min(2, values.ndim - 1)]
    moved = np.moveaxis(values, min(2, values.ndim - 1), 0)
    return moved.reshape(count, values.size // max(count, 1))
