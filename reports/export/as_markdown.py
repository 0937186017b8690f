"""A table in Markdown, as GitHub and others show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from farm.text import printable_lines
from reports.export.values import in_text

# What would be markup. A line break would end the row.
_ESCAPED = str.maketrans({c: f"\\{c}" for c in "\\|`*<"} | {"\n": "<br>"})


def export(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A heading and a line for each row; names and values are text, whatever they look like."""
    yield _line(columns)
    yield f"|{'---|' * len(columns)}\n"
    yield from map(_line, rows)


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |\n"


def _cell(value: object) -> str:
    text = "" if value is None else str(in_text(value))
    return printable_lines(text).translate(_ESCAPED)
