"""Finds the ranges of activations that static quantisation needs, from calibration data.

The float graph runs once per sample for the extremes, and a second time for histograms when the
method needs them. Work is capped, because a tuning run has minutes: few samples for graphs with
many activations, and a fixed random subset of each tensor's values in histograms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx

from farm.candidate import CalibrationMethod
from farm.compile.passes import cpu_session, reported_as
from farm.errors import CompileError
from farm.model.walk import clone

Feeds = Mapping[str, npt.NDArray[np.generic]]

_MOST_SAMPLES = 256
_FEWEST_SAMPLES = 8
_MOST_VALUES = 1 << 28  # activation values looked at, over all samples
_HISTOGRAM_SAMPLES = 64
_HISTOGRAM_VALUES = 1 << 14  # values of one tensor in one sample
_BINS = 4096  # over [-largest, largest]
_PERCENTILE = 99.99  # of the values lie inside the range
_LEVELS = 128  # of the magnitude, in the divergence of the entropy method
_THRESHOLD_STEP = 16  # bins between two thresholds that the entropy method compares


@dataclass(frozen=True, slots=True)
class Range:
    """The interval of real values that the integers of a tensor stand for; contains zero.

    gap: how far the value nearest to zero is from it; the integers in between are never used.
    """

    lowest: float
    highest: float
    gap: float = 0.0

    def __or__(self, other: Range) -> Range:
        lowest, highest = min(self.lowest, other.lowest), max(self.highest, other.highest)
        crosses = lowest < 0 < highest
        return Range(lowest, highest, 0.0 if crosses else min(self.gap, other.gap))

    @classmethod
    def of(cls, lowest: float, highest: float) -> Range:
        """The range of values between two limits."""
        return cls(min(lowest, 0.0), max(highest, 0.0), max(0.0, lowest, -highest))

    @property
    def width(self) -> float:
        """From end to end."""
        return self.highest - self.lowest

    @property
    def spread(self) -> float:
        """The part of the width that has values."""
        return self.width - self.gap


@dataclass(frozen=True, slots=True)
class Calibration:
    """Ranges by tensor name, and how they were found."""

    ranges: Mapping[str, Range]
    notes: tuple[str, ...] = ()


def calibrate(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    feeds: Sequence[Feeds],
    method: CalibrationMethod,
) -> Calibration:
    """Run the model on calibration data and find a range for each tensor.

    tensors: names of float32 activations of the graph. feeds: one sample each.

    Raises CompileError: no data, data the model cannot run on, values that are not finite.
    """
    if not feeds:
        raise CompileError("Static int8 needs calibration data, and there is none.")
    observer = _Observer(model, tensors)
    samples = feeds[: _sample_count(observer.values_per_sample(feeds[0]))]
    ranges = _extremes(observer, samples)
    note = f"Ranges from {len(samples)} of {len(feeds)} calibration samples ({method})."
    if method is CalibrationMethod.MIN_MAX:
        return Calibration(ranges, (note,))
    histograms = _histograms(observer, samples[:_HISTOGRAM_SAMPLES], ranges)
    choose = _entropy if method is CalibrationMethod.ENTROPY else _percentile
    clipped = {
        name: _clip(ranges[name], *choose(counts, _magnitude(ranges[name])))
        for name, counts in histograms.items()
    }
    count = len(samples[:_HISTOGRAM_SAMPLES])
    detail = f"Histograms from {count} samples, at most {_HISTOGRAM_VALUES} values per tensor."
    return Calibration(clipped, (note, detail))


class _Observer:
    """Runs the model with the observed tensors as its only outputs."""

    def __init__(self, model: onnx.ModelProto, tensors: Sequence[str]) -> None:
        fed = {value.name for value in model.graph.input}
        self._fed = [name for name in tensors if name in fed]
        self._made = [name for name in tensors if name not in fed]
        observed = clone(model)
        del observed.graph.output[:]
        observed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in self._made)
        with reported_as("calibrate"):
            self._session = cpu_session(observed)

    def values_per_sample(self, sample: Feeds) -> int:
        return sum(array.size for _, array in self.run(sample))

    def run(self, sample: Feeds) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
        with reported_as("calibrate"):
            outputs = self._session.run(self._made, dict(sample)) if self._made else []
        yield from zip(self._made, outputs, strict=True)
        yield from ((name, sample[name]) for name in self._fed)


def _sample_count(values_per_sample: int) -> int:
    affordable = _MOST_VALUES // max(values_per_sample, 1)
    return min(max(affordable, _FEWEST_SAMPLES), _MOST_SAMPLES)


def _extremes(observer: _Observer, samples: Sequence[Feeds]) -> dict[str, Range]:
    ranges: dict[str, Range] = {}
    for sample in samples:
        for name, array in observer.run(sample):
            if array.size == 0:
                continue
            lowest, highest = float(array.min()), float(array.max())
            if not (np.isfinite(lowest) and np.isfinite(highest)):
                raise CompileError(
                    f"Calibration found values that are not finite in tensor {name!r}; "
                    "it cannot be quantised."
                )
            seen = Range.of(lowest, highest)
            ranges[name] = ranges.get(name, seen) | seen
    return ranges


def _histograms(
    observer: _Observer, samples: Sequence[Feeds], ranges: Mapping[str, Range]
) -> dict[str, npt.NDArray[np.int64]]:
    """Counts in _BINS equal bins over [-magnitude, magnitude] of each tensor."""
    counts = {name: np.zeros(_BINS, np.int64) for name in ranges}
    random = np.random.default_rng(0)
    chosen: dict[int, npt.NDArray[np.int64]] = {}
    for sample in samples:
        for name, array in observer.run(sample):
            values = array.ravel()
            if not values.size:  # one that is always empty has no range either
                continue
            if values.size > _HISTOGRAM_VALUES:
                if values.size not in chosen:
                    chosen[values.size] = random.integers(values.size, size=_HISTOGRAM_VALUES)
                values = values[chosen[values.size]]
            counts[name] += _count(values, _magnitude(ranges[name]))
    return counts


def _count(values: npt.NDArray[np.generic], magnitude: float) -> npt.NDArray[np.int64]:
    scaled = (values.astype(np.float64) + magnitude) * (_BINS / (2 * magnitude))
    return np.bincount(np.clip(scaled.astype(np.int64), 0, _BINS - 1), minlength=_BINS)


def _magnitude(found: Range) -> float:
    return max(-found.lowest, found.highest) or 1.0


def _clip(found: Range, lowest: float, highest: float) -> Range:
    lowest, highest = max(found.lowest, min(lowest, 0.0)), min(found.highest, max(highest, 0.0))
    # Where most values are cut off at one end, they still differ by as much as they did.
    return Range(lowest, highest, max(0.0, highest - lowest - found.spread))


def _percentile(counts: npt.NDArray[np.int64], magnitude: float) -> tuple[float, float]:
    """The interval that leaves the same share of values outside at both ends."""
    outside = (1 - _PERCENTILE / 100) / 2
    share = np.cumsum(counts) / max(int(counts.sum()), 1)
    edges = np.linspace(-magnitude, magnitude, _BINS + 1)
    first = int(np.searchsorted(share, outside, side="right"))
    last = int(np.searchsorted(share, 1 - outside))
    return float(edges[first]), float(edges[min(last + 1, _BINS)])


def _entropy(counts: npt.NDArray[np.int64], magnitude: float) -> tuple[float, float]:
    """The symmetric interval whose quantised distribution diverges least from the original.

    Migacz, 8-bit Inference with TensorRT, GTC 2017: the Kullback-Leibler divergence between the
    histogram with outliers in its last bin, and the same in _LEVELS levels.
    """
    half = _BINS // 2
    magnitudes = (counts[half:] + counts[:half][::-1]).astype(np.float64)
    # Exact zeros (after Relu) say nothing about the scale and would drown everything else.
    magnitudes[0] = magnitudes[1]
    sizes = range(_LEVELS, half + 1, _THRESHOLD_STEP)
    best = min(sizes, key=lambda size: _divergence(magnitudes, size))
    threshold = best * magnitude / half
    return -threshold, threshold


def _divergence(magnitudes: npt.NDArray[np.float64], size: int) -> float:
    original = magnitudes[:size].copy()
    kept = original.copy()
    original[-1] += magnitudes[size:].sum()
    if not (total := original.sum()) or not kept.sum():
        return np.inf
    starts = np.arange(_LEVELS) * size // _LEVELS
    widths = np.diff(np.append(starts, size))
    filled = kept > 0
    in_level = np.add.reduceat(filled.astype(np.float64), starts)
    level = np.add.reduceat(kept, starts) / np.maximum(in_level, 1)
    quantised = np.where(filled, np.repeat(level, widths), 0.0)
    present = original > 0
    p = original[present] / total
    # A bin that only outliers fill has no share of its own: count it as nearly impossible.
    q = np.maximum(quantised[present] / quantised.sum(), 1e-9)
    return float(np.sum(p * np.log(p / q)))
