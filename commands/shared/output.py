"""Writing results to standard output."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import islice
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from farm.errors import OptionError
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


FormatOption = Annotated[
    Format | None, typer.Option("--format", help="How rows are written. Default: table.")
]
AsJsonOption = Annotated[bool, typer.Option("--json", help="The same as --format json.")]


def chosen_format(given: Format | None, *, as_json: bool) -> Format:
    """What ``--format`` and ``--json`` say together. Raises OptionError: they contradict."""
    if as_json and given not in (None, Format.JSON):
        raise OptionError(f"--json and --format {given} contradict each other; leave one out.")
    return Format.JSON if as_json else given or Format.TABLE


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
    columns: Sequence[str], rows: Iterable[Sequence[object]], output_format: Format
) -> None:
    """Print rows of anything in one of the formats; a table shows the first ``TABLE_ROWS``."""
    from reports import rows as written
    from reports.tables.rows import rows_table

    if output_format is Format.TABLE:
        rows = iter(rows)
        shown = list(islice(rows, TABLE_ROWS))
        more = next(rows, None) is not None
        print_tables(rows_table(columns, shown), [_THERE_IS_MORE] if more else [])
        return
    writing = {Format.JSON: written.rows_json, Format.CSV: written.rows_csv}
    parts = writing[output_format](columns, rows)
    while some := "".join(islice(parts, _PARTS)):
        typer.echo(some, nl=False)
