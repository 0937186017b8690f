"""Rows of the store: trials as ``farm results`` shows them, and any others."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from db.records import Result
from reports.tables.cells import accuracy_cell, add, as_text, bytes_cell, energy_cell, latency_cell


def results_table(rows: Sequence[Result]) -> Table:
    """Trials as ``farm results`` shows them; a failed one with its message."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("trial", "run", "device", "phase", "candidate", "outcome"):
        table.add_column(name, overflow="fold")
    for name in ("latency", "accuracy", "memory", "energy"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        outcome = str(row.outcome or "pending")
        add(
            table,
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


def rows_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Any rows, for ``farm query``."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(as_text(column))
    for row in rows:
        add(table, *("" if value is None else str(value) for value in row))
    return table
