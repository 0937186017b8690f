"""What was expected of trials before they ran, beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from statistics import median

from db.records import Result
from farm.measurement import Measurement, Metric
from farm.prediction import Prediction
from farm.units import counted
from reports.pages.section import Chart, Role, Section, bars, label, rounded, table
from reports.tables.cells import prediction_cell, value_cell

_COLUMNS = ("candidate", "predicted [90 %]", "measured [95 %]", "measured / predicted", "by")
_Pair = tuple[Result, Prediction, Measurement]


def predicted(run: str, device: str, trials: Sequence[Result]) -> Section | None:
    """Latencies of trials with both values; None where there are none."""
    pairs = [
        (row, said, row.latency)
        for row in trials
        if (said := row.predicted.get(Metric.LATENCY)) and row.latency and said.value > 0
    ]
    if not pairs:
        return None
    apart = [abs(log(measured.value / said.value)) for _, said, measured in pairs]
    within = sum(said.low <= measured.value <= said.high for _, said, measured in pairs)
    return Section(
        f"predicted-{device}",
        f"Predicted against measured on {device}",
        f"Of {counted(len(pairs), 'trial')} the latency was predicted before it was measured. "
        f"Half of the predictions were off by less than {exp(median(apart)) - 1:.1%}, and "
        f"{within} of {len(pairs)} intervals hold what was measured.",
        _chart(pairs),
        table(_COLUMNS, list(map(_row, pairs)), ",".join(_COLUMNS[1:4])),
        commands=(f"farm results --run {run} --device {device} --format csv",),
    )


def _row(pair: _Pair) -> tuple[str, ...]:
    row, said, measured = pair
    ratio = f"{measured.value / said.value:.2f}"
    return row.candidate, prediction_cell(said), value_cell(measured), ratio, str(said.basis)


def _chart(pairs: Sequence[_Pair]) -> Chart:
    values = [v.value * 1e3 for _, said, measured in pairs for v in (said, measured)]
    ends = rounded([min(values) / 1.1, max(values) * 1.1])
    line = {
        "type": "scatter",
        "mode": "lines",
        "name": "as predicted",
        "x": ends,
        "y": ends,
        "line": {"color": Role.SOFT, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }
    points = {
        "type": "scatter",
        "mode": "markers",
        "name": "trials",
        "x": rounded([1e3 * said.value for _, said, _ in pairs]),
        "y": rounded([1e3 * measured.value for *_, measured in pairs]),
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": rounded([1e3 * (said.high - said.value) for _, said, _ in pairs]),
            "arrayminus": rounded([1e3 * (said.value - said.low) for _, said, _ in pairs]),
            "thickness": 1.2,
        },
        "error_y": bars([measured for *_, measured in pairs], 1e3),
        "marker": {"color": Role.WINNER, "size": 8},
        "hoverinfo": "text",
        "hovertext": [label(row.candidate) for row, *_ in pairs],
    }
    layout = {
        "xaxis": {"type": "log", "title": {"text": "predicted, ms"}},
        "yaxis": {"type": "log", "title": {"text": "measured, ms"}},
    }
    return Chart((line, points), layout, 420)
