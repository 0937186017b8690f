"""What blocks say of an entry: its measurements, from the samples that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from db.records import BlockSample
from farm.measurement import Measurement, Method, Metric
from tuner.racing.objective import SINGLE_RUNS
from tuner.racing.statistics import is_told, median_interval, quantile_samples
from tuner.runs.history import Entry

BY_BLOCK = frozenset(
    {
        Metric.LATENCY,
        Metric.CPU_SECONDS,
        Metric.THROUGHPUT,
        Metric.LATENCY_P99,
        Metric.FIRST_RESULT,
        Metric.ENERGY,
    }
)
"""Metrics that may have one sample from each block."""


def measured_in_blocks(
    entry: Entry, samples: Sequence[BlockSample], *, throughput: bool = False
) -> Iterator[Measurement]:
    """Medians over blocks.

    samples: of an entry that was measured before, one per block.
    throughput: also the results of all callers per second.
    """
    method = entry.measurements[Metric.LATENCY].method
    latency = over_blocks(Metric.LATENCY, [sample.seconds for sample in samples], method)
    yield latency
    if Metric.WITH_TRANSFERS in entry.measurements:
        yield _with_transfers(entry, latency.value)
    if throughput:
        rates = [entry.candidate.results_per_second(sample.seconds) for sample in samples]
        yield over_blocks(Metric.THROUGHPUT, rates, method)
    if entry.candidate.is_modelled:
        return
    yield over_blocks(Metric.CPU_SECONDS, [sample.cpu_seconds for sample in samples])
    longest = [s.longest_seconds for s in samples if s.longest_seconds is not None]
    if len(longest) * SINGLE_RUNS >= quantile_samples(0.99):
        yield over_blocks(Metric.LATENCY_P99, longest)
    loads = [s.load_seconds for s in samples if s.load_seconds is not None]
    if loads:
        yield over_blocks(Metric.FIRST_RESULT, loads)
    yield from _counted(samples)


def untold(samples: Sequence[BlockSample]) -> frozenset[Metric]:
    """Energy, where blocks counted it and do not tell it from idling: no value of it holds."""
    counted = any(s.joules is not None for s in samples)
    return frozenset({Metric.ENERGY} if counted and not _joules(samples) else ())


def _joules(samples: Sequence[BlockSample]) -> list[float]:
    """Of each block; nothing where these are not told from 0."""
    joules = [s.joules for s in samples if s.joules is not None]
    return joules if joules and is_told(np.array(joules)) else []


def _with_transfers(entry: Entry, latency: float) -> Measurement:
    """As many times this latency as it was of that beside which it was measured."""
    found = entry.measurements[Metric.WITH_TRANSFERS]
    ratio = found.value / entry.measurements[Metric.LATENCY].value
    return replace(found, value=ratio * latency)


def _counted(samples: Sequence[BlockSample]) -> Iterator[Measurement]:
    """The energy that a counter told, with how it did."""
    columns: dict[Metric, Sequence[float | None]] = {
        Metric.ENERGY: _joules(samples),
        Metric.ENERGY_WINDOW: [s.energy_window for s in samples],
        Metric.IDLE_POWER: [s.idle_watts for s in samples],
    }
    for metric, told in columns.items():
        values = [value for value in told if value is not None]
        if values:
            yield over_blocks(metric, values)


def over_blocks(
    metric: Metric, values: Sequence[float], method: Method = Method.MEASURED
) -> Measurement:
    """The median over blocks, with its distribution-free interval where there are enough."""
    interval = median_interval(np.asarray(values))
    return Measurement(
        metric,
        float(np.median(values)),
        method,
        interval.low if interval else None,
        interval.high if interval else None,
        tuple(values),
    )
