"""Rows of the store: trials as ``farm results`` shows them, and any others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from db.records import Result
from farm.measurement import Metric
from farm.units import counted
from reports.tables.cells import (
    accuracy_cell,
    bytes_cell,
    counted_cell,
    energy_cell,
    prediction_cell,
    seconds_cell,
    value_cell,
)
from reports.tables.layout import ALWAYS, Column, Rows

_RESULT_COLUMNS = (
    Column("trial"),
    Column("run", below=3),
    Column("device"),
    Column("phase", below=4),
    Column("candidate", wraps=24),
    Column("outcome"),
    Column("latency", right=True, below=6),
    Column("accuracy", right=True, below=5),
    Column("memory", right=True, below=2),
    Column("energy", right=True, below=1),
    Column("CPU time", right=True, below=0),
    Column("energy counted", below=ALWAYS),
)
_PREDICTED = Column("predicted [90 %]", right=True, below=5)
_CELL_LETTERS = 1000  # that a table shows; laying out 100 MB takes a quarter of an hour
_NARROW = 12  # characters in which the words of anything can be read


def results_table(rows: Sequence[Result]) -> Rows:
    """Trials as ``farm results`` shows them; a failed one with its message.

    Where latencies were predicted, these stand beside what was measured.
    """
    is_predicted = any(Metric.LATENCY in row.predicted for row in rows)
    at = [column.name for column in _RESULT_COLUMNS].index("latency") + 1
    told = [_PREDICTED] if is_predicted else []
    table = Rows([*_RESULT_COLUMNS[:at], *told, *_RESULT_COLUMNS[at:]])
    for row in rows:
        outcome = str(row.outcome or "pending")
        table.add(
            row.trial[:8],
            row.run,
            row.device,
            str(row.phase),
            f"{row.candidate}: {row.message}" if row.message else row.candidate,
            outcome,
            value_cell(row.latency),
            *(prediction_cell(row.predicted.get(Metric.LATENCY)) for _ in told),
            accuracy_cell(row.accuracy),
            bytes_cell(row.memory),
            energy_cell(row.energy),
            seconds_cell(row.cpu),
            counted_cell(row.energy_window, row.idle_power),
        )
    return table


def rows_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Rows:
    """Any rows, for ``farm query``. Of long texts and bytes the beginning is shown."""
    table = Rows([Column(column, wraps=_NARROW) for column in columns])
    for row in rows:
        table.add(*map(_cell, row))
    return table


def _cell(value: object) -> str:
    """A value as text, cut before anything looks at all of it."""
    if value is None:
        return ""
    whole = value if isinstance(value, str | bytes) else str(value)
    beginning = str(whole[:_CELL_LETTERS])
    if len(whole) <= _CELL_LETTERS:
        return beginning
    what = "byte" if isinstance(whole, bytes) else "character"
    return f"{beginning}… (cut: {counted(len(whole), what)})"
