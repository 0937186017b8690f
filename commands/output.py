"""Writing results to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from farm.text import printable

TABLE_ROWS = 1000  # a table is laid out as a whole, and nobody reads more
_PARTS = 100  # rows written at a time
_THERE_IS_MORE = (
    f"These are the first {TABLE_ROWS:,} rows; --format csv and --format json write all of them."
)


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def print_tables(table: Any, lines: Sequence[str]) -> None:
    """Print a table and the lines below it, as wide as the terminal or 160 columns."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for line in lines:
        console.print(escape(printable(line)), highlight=False, soft_wrap=True)


def print_lines(lines: Sequence[str]) -> None:
    """Print lines as they are, but for characters that cannot be seen."""
    for line in lines:
        typer.echo(printable(line))


def print_rows(
    columns: Sequence[str], rows: Iterable[Sequence[object]], output_format: Format
) -> None:
    """Print rows of anything in one of the formats; a table shows the first ``TABLE_ROWS``."""
    from reports import rows as written

    if output_format is Format.TABLE:
        rows = iter(rows)
        shown = list(islice(rows, TABLE_ROWS))
        more = next(rows, None) is not None
        print_tables(written.rows_table(columns, shown), [_THERE_IS_MORE] if more else [])
        return
    writing = {Format.JSON: written.rows_json, Format.CSV: written.rows_csv}
    parts = writing[output_format](columns, rows)
    while some := "".join(islice(parts, _PARTS)):
        typer.echo(some, nl=False)
