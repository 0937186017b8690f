"""What one night says of a series by its own blocks, before the nights before it are asked."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, isfinite, log, log1p, sqrt

import numpy as np

from db.records import BlockSample
from farm.candidate import Candidate
from farm.errors import InfrastructureError
from farm.measurement import Estimate, Metric
from tuner.racing.statistics import (
    FloatArray,
    compare_net,
    is_told,
    paired_interval,
    pairs_needed,
    signed_rank_p,
)

ALPHA = 0.01
"""Of the run that confirms: it makes a false alarm rare."""

SUSPICION = 0.05
"""Of a night's own test, which may have few blocks: it costs a run, and nobody hears of it."""

_LEAST_CHANGE = 0.01
"""A smaller difference is nothing that somebody is woken for by one night."""

_NORMAL_95 = 1.959964
_LEAST_PAIRS, _MOST_PAIRS = 15, 60
_LEAST_SECONDS = 1e-9  # what no clock sees is not nothing: a ratio needs two positive numbers

WATCHED = (
    Metric.LATENCY,
    Metric.CPU_SECONDS,
    Metric.THROUGHPUT,
    Metric.FIRST_RESULT,
    Metric.PEAK_MEMORY,
    Metric.ENERGY,
)
"""Metrics that a series can have: each block has a value of its own."""


@dataclass(frozen=True, slots=True)
class Tonight:
    """Two states side by side, in blocks.

    ratio: the metric over that of what it is compared with, above 1 is worse; of a throughput the
    inverse. uncertainty: standard error of its log. noise: standard deviation of one pair's.
    value, good_value: medians, in the metric's unit. p_value: two-sided, of both being alike.
    """

    ratio: Estimate
    uncertainty: float
    noise: float
    p_value: float
    pairs: int
    value: float
    good_value: float

    @property
    def log_ratio(self) -> float:
        """Above 0 is worse."""
        return log(self.ratio.value)

    @property
    def looks_changed(self) -> bool:
        """Whether these blocks alone say that one is worse than the other, by 1 % at least."""
        return self.p_value <= SUSPICION and abs(self.log_ratio) >= log1p(_LEAST_CHANGE)

    @property
    def pairs_to_confirm(self) -> int:
        """Blocks in which a run finds such a difference in nine of ten cases."""
        effect = max(abs(self.log_ratio), _LEAST_CHANGE)
        needed = pairs_needed(effect, max(self.noise, 1e-6), ALPHA)
        return min(max(needed, _LEAST_PAIRS), _MOST_PAIRS)


def of_sample(metric: Metric, candidate: Candidate, sample: BlockSample) -> float:
    """What a block says of a metric, in its unit, above 0; an energy as it was counted."""
    match metric:
        case Metric.CPU_SECONDS if not candidate.is_modelled:
            return max(_LEAST_SECONDS, sample.cpu_seconds)
        case Metric.THROUGHPUT:
            return candidate.results_per_second(sample.seconds)
        case Metric.FIRST_RESULT:
            return sample.load_seconds or sample.seconds
        case Metric.ENERGY:
            assert sample.joules is not None, "the energy of every member was counted"
            return sample.joules
        case Metric.PEAK_MEMORY:
            return max(4096.0, float(sample.peak_bytes or 0))
        case _:
            return sample.seconds


def compare_tonight(metric: Metric, values: FloatArray, good: FloatArray) -> Tonight:
    """Compare two series of values, [blocks] each, of which equal positions share a block.

    Raises InfrastructureError: they are energies that the counter does not tell from idling.
    """
    if metric is Metric.ENERGY:
        return _compare_net(values, good)
    d = np.log(values) - np.log(good)
    if metric is Metric.THROUGHPUT:
        d = -d
    found = paired_interval(d, 0.95)
    noise = float(np.std(d, ddof=1)) if len(d) > 1 else 0.0
    width = (found.high - found.low) / (2 * _NORMAL_95)
    return Tonight(
        Estimate(exp(found.value), exp(found.low), exp(found.high)),
        width if isfinite(width) else noise / sqrt(len(d)),
        noise,
        signed_rank_p(d),
        len(d),
        float(np.median(values)),
        float(np.median(good)),
    )


def _compare_net(values: FloatArray, good: FloatArray) -> Tonight:
    """The same of net energies, which may be 0 and below in single blocks."""
    if not (is_told(values) and is_told(good)):
        raise InfrastructureError(
            "the counter does not tell the energy of a run from idling; leave energy out of the "
            "metrics, or make the machine quieter"
        )
    found = compare_net(good, values)
    apart = values - found.ratio.value * good
    noise = float(np.std(apart, ddof=1) / np.median(values)) if len(apart) > 1 else 0.0
    has_limits = found.ratio.low > 0 and isfinite(found.ratio.high)
    uncertainty = noise / sqrt(len(apart))
    if has_limits:
        uncertainty = log(found.ratio.high / found.ratio.low) / (2 * _NORMAL_95)
    return Tonight(
        found.ratio,
        uncertainty,
        noise,
        found.p_value,
        found.pairs,
        float(np.median(values)),
        float(np.median(good)),
    )
