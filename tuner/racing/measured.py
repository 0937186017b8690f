"""What blocks say of an entry: its measurements, from the samples that were kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from db.records import BlockSample
from farm.measurement import Measurement, Method, Metric
from tuner.racing.statistics import median_interval
from tuner.runs.history import Entry

BY_BLOCK = frozenset({Metric.LATENCY, Metric.CPU_SECONDS, Metric.THROUGHPUT})
"""Metrics with one sample from each block."""


def measured_in_blocks(
    entry: Entry, samples: Sequence[BlockSample], *, throughput: bool = False
) -> Iterator[Measurement]:
    """Medians over blocks.

    samples: of an entry that was measured before, one per block.
    throughput: also the results of all callers per second.
    """
    method = entry.measurements[Metric.LATENCY].method
    if throughput:
        rates = [entry.candidate.callers / sample.seconds for sample in samples]
        yield over_blocks(Metric.THROUGHPUT, rates, method)
    yield over_blocks(Metric.LATENCY, [sample.seconds for sample in samples], method)
    if not entry.candidate.is_counted:
        yield over_blocks(Metric.CPU_SECONDS, [sample.cpu_seconds for sample in samples])


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
