"""The newest winners of models on devices, each beside its baseline."""

from __future__ import annotations

from collections.abc import Sequence

from db.questions.latest import Latest
from farm.measurement import Estimate
from farm.units import counted
from reports.pages.section import (
    Chart,
    Link,
    Role,
    Section,
    bars,
    label,
    rounded,
    table,
    vertical,
)
from reports.site.links import device_link, model_link, run_link, trial_link
from reports.tables.cells import MISSING, ratio_cell, value_cell

_DRAWN = 25
_ROW, _AXES = 26, 110  # pixels
_COLUMNS = ("model", "device", "machine", "times as fast [95 %]", "baseline", "latency", "winner")


def speedups(title: str, rows: Sequence[Latest], command: str) -> Section:
    """A point with its interval for each model and device. rows: newest first."""
    faster = [row for row in rows if row.newest.ratio is not None]
    return Section(
        "speedups",
        title,
        f"A winner other than the baseline was found for {len(faster)} of "
        f"{counted(len(rows), 'pair')} of model and device.",
        _chart(faster[:_DRAWN]) if faster else None,
        table(
            (*_COLUMNS, "run"),
            [_row(row) for row in rows],
            "times as fast [95 %],baseline,latency",
        ),
        commands=(command,),
    )


def _row(row: Latest) -> tuple[str | Link, ...]:
    new = row.newest
    return (
        model_link(new.model, new.model_sha256),
        device_link(new.device),
        new.machine,
        ratio_cell(new.ratio, new.ratio_low, new.ratio_high) if new.ratio else MISSING,
        value_cell(row.baseline),
        value_cell(row.value),
        trial_link(new.winner_trial, new.winner),
        run_link(new.run),
    )


def _chart(rows: Sequence[Latest]) -> Chart:
    found = [(row, row.newest.ratio or 1.0) for row in rows]
    ratios = [
        Estimate(value, row.newest.ratio_low or value, row.newest.ratio_high or value)
        for row, value in found
    ]
    names = [f"{n}. {row.newest.model} on {row.newest.device}" for n, row in enumerate(rows, 1)]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": rounded([ratio.value for ratio in ratios]),
        "y": [label(name) for name in names],
        "error_x": bars(ratios),
        "marker": {"color": Role.WINNER, "size": 9},
        "hoverinfo": "text",
        "hovertext": [
            label(f"{row.newest.winner}: {ratio.value:.2f}x")
            for row, ratio in zip(rows, ratios, strict=True)
        ],
    }
    layout = {
        "xaxis": {"title": {"text": "times as fast as the baseline"}},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
        "shapes": [vertical(1.0)],
    }
    return Chart((trace,), layout, _AXES + _ROW * len(rows))
