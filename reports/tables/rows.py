"""Rows of the store: trials as ``farm results`` shows them, and any others."""

from __future__ import annotations

from collections.abc import Sequence

from db.records import Result
from reports.tables.cells import accuracy_cell, bytes_cell, energy_cell, latency_cell
from reports.tables.layout import Column, Rows

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
)
_NARROW = 12  # characters in which the words of anything can be read


def results_table(rows: Sequence[Result]) -> Rows:
    """Trials as ``farm results`` shows them; a failed one with its message."""
    table = Rows(_RESULT_COLUMNS)
    for row in rows:
        outcome = str(row.outcome or "pending")
        table.add(
            row.trial[:8],
            row.run,
            row.device,
            str(row.phase),
            f"{row.candidate}: {row.message}" if row.message else row.candidate,
            outcome,
            latency_cell(row.latency),
            accuracy_cell(row.accuracy),
            bytes_cell(row.memory),
            energy_cell(row.energy),
        )
    return table


def rows_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Rows:
    """Any rows, for ``farm query``."""
    table = Rows([Column(column, wraps=_NARROW) for column in columns])
    for row in rows:
        table.add(*("" if value is None else str(value) for value in row))
    return table
