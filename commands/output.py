"""Writing results to standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape

from farm.text import printable


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def print_tables(table: Any, lines: Sequence[str]) -> None:
    """Print a table and the lines below it, as wide as the terminal or 160 columns.

    A terminal breaks lines between words; elsewhere, and where a path would be cut, they stay.
    """
    on_terminal = sys.stdout.isatty()
    console = Console(width=None if on_terminal else 160)
    console.print(table)
    for line in map(printable, lines):
        fits = on_terminal and all(cell_len(word) <= console.width for word in line.split())
        console.print(escape(line), highlight=False, soft_wrap=not fits)


def print_lines(lines: Sequence[str]) -> None:
    """Print lines as they are, but for characters that cannot be seen."""
    for line in lines:
        typer.echo(printable(line))


def print_rows(
    columns: Sequence[str], rows: Sequence[Sequence[object]], output_format: Format
) -> None:
    """Print rows of anything in one of the formats."""
    from reports import rows as texts
    from reports.tables.rows import rows_table

    if output_format is Format.JSON:
        typer.echo(texts.rows_json(columns, rows))
    elif output_format is Format.CSV:
        typer.echo(texts.rows_csv(columns, rows), nl=False)
    else:
        print_tables(rows_table(columns, rows), [])
