"""Candidates measured without a search: one in detail, or two that are compared."""

from __future__ import annotations

from farm.measurement import Measurement
from farm.units import format_bytes, format_joules, format_seconds
from reports.tables.cells import MISSING, prediction_cell
from reports.tables.layout import Column, Rows
from tuner.bench import Benchmark
from tuner.racing.statistics import Comparison

_COLUMNS = (
    Column("metric"),
    Column("value", right=True),
    Column("95 % interval", right=True),
    Column("method"),
    Column("samples", right=True),
)
_PREDICTED = Column("predicted [90 %]", right=True, below=0)


def benchmark_table(measured: Benchmark) -> Rows:
    """Every metric of one candidate, with interval and method, and what was predicted of it."""
    title = f"{measured.candidate.label()} on {measured.device} (trial {measured.trial_id})"
    told = [_PREDICTED] if measured.predicted else []
    table = Rows([*_COLUMNS, *told], title)
    for metric, found in sorted(measured.measurements.items()):
        interval = MISSING
        if found.low is not None and found.high is not None:
            interval = f"{_with_unit(found, found.low)} to {_with_unit(found, found.high)}"
        value, samples = _with_unit(found, found.value), str(len(found.samples) or "")
        predicted = (prediction_cell(measured.predicted.get(metric)) for _ in told)
        table.add(str(metric), value, interval, str(found.method), samples, *predicted)
    return table


def comparison_lines(found: Comparison, labels: tuple[str, str]) -> list[str]:
    """Two candidates, and how they compare in one sentence."""
    first, second = labels
    ratio = found.ratio
    verdict = (
        "no significant difference"
        if ratio.low <= 1.0 <= ratio.high
        else f"B is {ratio.value:.3f} times as fast as A"
    )
    sentence = (
        f"{verdict}: latency A / B = {ratio.value:.3f}, 95 % interval {ratio.low:.3f} to "
        f"{ratio.high:.3f}, p = {found.p_value:.2g}, {found.pairs} pairs."
    )
    return [f"A: {first}", f"B: {second}", sentence]


def _with_unit(measurement: Measurement, value: float) -> str:
    formats = {"s": format_seconds, "B": format_bytes, "J": format_joules}
    if measurement.unit in formats:
        return formats[measurement.unit](value)
    if measurement.unit in ("1/s", "packet", "instruction"):
        return f"{value:,.0f} {measurement.unit}"
    return f"{value:.4f}"
