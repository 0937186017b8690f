"""Rows of anything, as ``farm query`` and ``farm results`` write them: a table, CSV or JSON."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, count
from textwrap import indent

from rich import box
from rich.table import Table
from rich.text import Text

from farm.text import printable_lines
from farm.units import counted
from reports.machine_readable import Json, dump

_CELL_LETTERS = 1000  # that a table shows; laying out 100 MB takes a quarter of an hour


def rows_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Rows for people. Of long texts and bytes the beginning is shown, and that it is one."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(_cell(column), overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def rows_json(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A list of objects, in parts that are written one after another.

    Values that JSON does not know become text. Names that are there twice get a number.
    """
    names, begin = _unique(columns), "[\n"
    for row in rows:
        yield begin + indent(dump(dict(zip(names, map(_plain, row), strict=True))), "  ")
        begin = ",\n"
    yield "[]\n" if begin == "[\n" else "\n]\n"


def rows_csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Comma-separated values with a header line, line by line; a terminal can show them."""
    for row in chain([columns], rows):
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow([printable_lines(cell) if isinstance(cell, str) else cell for cell in row])
        yield buffer.getvalue()


def _cell(value: object) -> Text:
    """A value of which every character can be seen; cut before anything looks at all of it."""
    if value is None:
        return Text()
    whole = value if isinstance(value, str | bytes) else str(value)
    beginning = printable_lines(str(whole[:_CELL_LETTERS]))
    if len(whole) <= _CELL_LETTERS:
        return Text(beginning)
    what = "byte" if isinstance(whole, bytes) else "character"
    return Text(f"{beginning}… (cut: {counted(len(whole), what)})")


def _unique(names: Sequence[str]) -> list[str]:
    """``a, a, b`` -> ``a, a_2, b``: keys of an object, the first of a name as it is."""
    taken = set(names)
    found: list[str] = []
    for name in names:
        new = name
        if name in found:
            new = next(n for i in count(2) if (n := f"{name}_{i}") not in taken)
        taken.add(new)
        found.append(new)
    return found


def _plain(value: object) -> Json:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str | None) else str(value)
