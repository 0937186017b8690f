"""Agreement of float values with the baseline's, channel by channel, each on its own scale.

Of a group of values (a channel over all samples, say), with t the baseline's, y those that are
judged, and m the baseline's mean of each element over the samples:

    C = 1 - sum (y - t)^2 / (sum (t - m)^2 + sum (y - m)^2)

This is the concordance of L. I. Lin, Biometrics 45 (1989), 255-268, about a fixed centre: 1 for
equal values, 0 for values that know nothing of the baseline's (the mean itself, or noise), below
0 for opposite ones. What does not depend on the input, however large, is in m and counts for
nothing. The *agreement* is (1 + C) / 2: 1 for equal, 1/2 for a coin's answer, like the share of
equal decisions between two equally frequent ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.accuracy.outputs import Array, Floats

RESOLUTION = {"float16": 2e-3, "bfloat16": 1.6e-2}
"""Spread below this share of a channel's largest value is rounding, by type of the output."""
FINE = 1e-5  # the same for the other types
_EPSILON = 1.2e-7  # of the whole output's largest value: what sums of float32 lose
CONSTANT_OF_SIZE, CONSTANT_OF_SPREAD = 1e-2, 2e-2  # by how much a constant channel may move
_COIN = 0.5
MOST_CHANNELS = 4096  # a longer axis beside another one has positions: anchors, time
MASK, MASK_RATIO = -1e4, 1e3  # a mask is below, and so many times as large as all that is above
_RANK_OF_IMAGES = 4  # samples, batch, height and width: what has more axes has channels, too


@dataclass(frozen=True, slots=True)
class Profile:
    """Agreement along one axis.

    axis: of the array with samples first, from 1; None: of everything together, as one channel.
    values: [channels] agreement; NaN where the baseline is constant, and the other the same.
    """

    axis: int | None
    values: Floats


@dataclass(frozen=True, slots=True)
class Pair:
    """Values that are judged and the baseline's, [samples, *shape] float64, all finite.

    again: the baseline's second answer, None where it is the same.
    fine: spread that is no more than rounding, as a share of a channel's largest value.
    """

    values: Floats
    truth: Floats
    again: Floats | None
    fine: float

    @property
    def is_constant(self) -> bool:
        """Whether the baseline says the same to every sample."""
        spread = np.ptp(self.truth, axis=0)
        return bool(np.all(spread <= self.fine * np.abs(self.truth).max(axis=0)))

    def size(self, axis: int | None) -> Floats:
        """[channels] the largest absolute value of the baseline along an axis."""
        if axis is None:
            return np.asarray([np.abs(self.truth).max()])
        others = tuple(i for i in range(self.truth.ndim) if i != axis)
        return np.asarray(np.abs(self.truth).max(axis=others))


def pair(output: Array, truth: Array, again: Array | None) -> Pair:
    """What is compared; what is no number in the baseline, or a mask, says nothing either way."""
    known = _is_number(truth.astype(np.float64))
    if again is not None:
        known &= np.isfinite(again.astype(np.float64))
    base = np.where(known, truth.astype(np.float64), 0.0)
    centre = base.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    filled = [
        np.where(known, each.astype(np.float64), centre)
        for each in (output, truth, again)
        if each is not None
    ]
    second = filled[2] if again is not None else None
    return Pair(filled[0], filled[1], second, RESOLUTION.get(truth.dtype.name, FINE))


def masks_kept(output: Array, truth: Array) -> float:
    """Share of the baseline's masks and negative infinities that are below all numbers here, too.

    How far below says nothing: 8 bits end where a softmax gives nothing any more.
    """
    base = truth.astype(np.float64)
    known = _is_number(base)
    masked = ~known & (base < 0)
    if not masked.any() or not known.any():
        return 1.0
    return float(np.mean(output.astype(np.float64)[masked] <= base[known].min()))


def _is_number(truth: Floats) -> NDArray[np.bool_]:
    """Where values are finite and no masks: those are hugely negative, beside all the others."""
    finite = np.isfinite(truth)
    mild = finite & (truth > MASK)
    largest = float(np.abs(truth[mild]).max(initial=0.0))
    return mild | (finite & (np.abs(np.where(finite, truth, 0.0)) <= MASK_RATIO * largest))


def channel_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Axes whose positions are judged one by one. shape: [samples, *shape].

    Of an image, and of what has more axes still, the channels: the second axis of the model's
    shape and the last one, unless one of the two is as long as its neighbour, as height and width
    often are. Of everything else every axis. None that is very long, unless there is no other.
    """
    wide = [axis for axis in range(1, len(shape)) if shape[axis] > 1]
    if len(wide) <= 1:
        return tuple(wide)
    if len(shape) > _RANK_OF_IMAGES:
        places = set(range(2, len(shape))) - set(_channels_of_image(shape))
        wide = [axis for axis in wide if axis not in places]
    return tuple(axis for axis in wide if shape[axis] <= MOST_CHANNELS)


def _channels_of_image(shape: tuple[int, ...]) -> tuple[int, ...]:
    first, last = 2, len(shape) - 1
    if shape[first] == shape[last]:
        return first, last
    is_first = shape[first] != shape[first + 1]
    is_last = shape[last] != shape[last - 1]
    return tuple(axis for axis, found in ((first, is_first), (last, is_last)) if found)


def profiles(compared: Pair) -> list[Profile]:
    """Agreement along every axis of channels; of everything together where there is none."""
    axes = channel_axes(compared.truth.shape)
    return [_profile(compared, axis) for axis in axes] or [_profile(compared, None)]


def _profile(compared: Pair, axis: int | None) -> Profile:
    """Agreement along one axis."""
    truth, values = compared.truth, compared.values
    centre = truth.mean(axis=0, keepdims=True)
    signal = _mean_along(np.square(truth - centre), axis)
    other = _mean_along(np.square(values - centre), axis)
    error = _mean_along(np.square(values - truth), axis)
    if compared.again is not None:
        error = np.maximum(0.0, error - _own_error(compared, axis))
    energy = signal + other
    concordance = 1.0 - np.divide(error, energy, out=np.zeros_like(error), where=energy > 0)
    agreement = np.clip((1.0 + concordance) / 2.0, 0.0, 1.0)
    constant = signal <= np.square(compared.fine * compared.size(axis))
    constant |= signal <= np.square(_EPSILON * compared.size(None))
    kept = np.sqrt(error) <= _tolerance(compared, axis, float(signal.mean()))
    return Profile(axis, np.where(constant, np.where(kept, np.nan, _COIN), agreement))


def _tolerance(compared: Pair, axis: int | None, signal: float) -> Floats:
    """[channels] by how much a constant may move: little of its size or of the output's spread."""
    of_spread = CONSTANT_OF_SPREAD * math.sqrt(signal)
    return np.asarray(np.maximum(CONSTANT_OF_SIZE * compared.size(axis), of_spread))


def _own_error(compared: Pair, axis: int | None) -> Floats:
    """How far the baseline's two answers are apart: mean square, with what chance adds to it."""
    assert compared.again is not None
    error = _mean_along(np.square(compared.again - compared.truth), axis)
    count = compared.truth.size / error.size
    return np.asarray(error * (1.0 + 4.0 * np.sqrt(2.0 / count)))


def _mean_along(squares: Floats, axis: int | None) -> Floats:
    """[channels] means over all other axes; [1] over everything."""
    if axis is None:
        return np.asarray([squares.mean()])
    others = tuple(i for i in range(squares.ndim) if i != axis)
    return np.asarray(squares.mean(axis=others))
