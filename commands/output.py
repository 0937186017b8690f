"""Writing results to standard output."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from farm.text import printable


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def print_tables(table: Any, lines: Sequence[str]) -> None:
    """Print a table and the lines below it, as wide as the terminal or 160 columns."""
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    print_lines(lines)


def print_lines(lines: Sequence[str]) -> None:
    """Print lines as they are, but for characters that cannot be seen.

    A terminal breaks them between words; elsewhere, and where a path would be cut, they stay.
    """
    console = Console()
    for line in map(printable, lines):
        whole = any(cell_len(word) > console.width for word in line.split())
        console.print(Text(line), soft_wrap=whole or not sys.stdout.isatty())


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
