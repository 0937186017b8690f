"""Writing results to standard output, or rows to a file."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from farm.errors import OptionError
from farm.text import printable
from reports.export.formats import Format, exporter, format_of

if TYPE_CHECKING:
    from reports.answers.answer import Answer

TABLE_ROWS = 1000  # a table is laid out as a whole, and nobody reads more
_WIDTH = 160  # of a table that no terminal shows
_PARTS = 100  # parts written at a time
_THERE_IS_MORE = (
    f"These are the first {TABLE_ROWS:,} rows; --format csv and --format json write all of them."
)

FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="How rows are written. Default: as --output ends, else table."),
]
AsJsonOption = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
RowsFileOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the rows into this file."),
]
Write = Callable[[str | bytes], object]


@dataclass(frozen=True, slots=True)
class Destination:
    """How rows are written, and where. file: None for standard output."""

    format: Format
    file: Path | None = None

    @contextmanager
    def opened(self) -> Iterator[Write]:
        """What writes there. A file is whole in the end, or it is not there."""
        if self.file is None:
            yield _to_standard_output
            return
        from farm.host.places import draft_of

        try:
            with draft_of(self.file) as draft:
                yield lambda part: draft.write(part.encode() if isinstance(part, str) else part)
        except OSError as error:
            raise OptionError(
                f"The rows cannot be written to {self.file}: {error.strerror or error}. "
                "Give another --output."
            ) from None


def destination(given: Format | None, file: Path | None, *, as_json: bool) -> Destination:
    """What ``--format``, ``--json`` and ``--output`` say together.

    Raises OptionError: they contradict each other, the file cannot be one or its name says no
    format, the format is none for a terminal, or it needs a package that is not installed.
    """
    if as_json and given not in (None, Format.JSON):
        raise OptionError(f"--json and --format {given} contradict each other; leave one out.")
    if file is not None:
        check_file_name(file)
    chosen = Format.JSON if as_json else given
    if chosen is None:
        chosen = format_of(file) if file is not None else Format.TABLE
    if file is None and not chosen.is_text and sys.stdout.isatty():
        raise OptionError(
            f"The format {chosen} is nothing that a terminal can show: name a file with --output."
        )
    if chosen is not Format.TABLE:
        exporter(chosen)  # before anything is asked
    return Destination(chosen, file)


def check_file_name(file: Path) -> None:
    """Raise OptionError for what names no file; "" is the folder that the command runs in."""
    if file.is_dir():
        raise OptionError(f"{file} is a folder; name a file with --output.")
    if file.name == "-":
        raise OptionError("--output takes the name of a file; `-` is none.")


def print_tables(table: Any, lines: Sequence[str]) -> None:
    """Print a table and the lines below it, as wide as the terminal or 160 columns."""
    Console(width=None if sys.stdout.isatty() else _WIDTH).print(table)
    print_lines(lines)


def print_lines(lines: Sequence[str]) -> None:
    """Print lines as they are, but for characters that cannot be seen.

    A terminal breaks them between words; elsewhere, and where a path would be cut, they stay.
    """
    console = Console()
    for line in map(printable, lines):
        whole = any(cell_len(word) > console.width for word in line.split())
        console.print(Text(line), soft_wrap=whole or not sys.stdout.isatty())


def print_answer(answer: Answer, to: Destination) -> None:
    """Write an answer: what is for people in their words, what is for programs in base units."""
    if to.format is Format.TABLE:
        _write_table(answer.table, answer.lines, to)
    elif to.format is Format.MARKDOWN:
        write_rows(answer.table.names, answer.table.texts, to)
    else:
        write_rows(answer.columns, answer.rows, to)


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], to: Destination) -> None:
    """Write rows of anything; a table shows the first ``TABLE_ROWS``."""
    if to.format is not Format.TABLE:
        write_rows(columns, rows, to)
        return
    from reports.tables.rows import rows_table

    rows = iter(rows)
    shown = list(islice(rows, TABLE_ROWS))
    more = next(rows, None) is not None
    _write_table(rows_table(columns, shown), [_THERE_IS_MORE] if more else [], to)


def write_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], to: Destination) -> None:
    """Write rows in a format other than a table, as they come."""
    parts: Iterator[Any] = iter(exporter(to.format)(columns, rows))
    with to.opened() as write:
        while some := list(islice(parts, _PARTS)):
            write(type(some[0])().join(some))


def _write_table(table: Any, lines: Sequence[str], to: Destination) -> None:
    if to.file is None:
        print_tables(table, lines)
        return
    text = io.StringIO()
    console = Console(file=text, width=_WIDTH)
    console.print(table)
    for line in lines:
        console.print(Text(printable(line)), soft_wrap=True)
    with to.opened() as write:
        write(text.getvalue())


def _to_standard_output(part: str | bytes) -> None:
    """Text as the terminal's encoding has it, bytes as they are."""
    typer.echo(part, nl=False)
