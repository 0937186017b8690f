"""A table in Markdown, as GitHub and others show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from farm.text import printable
from reports.export.values import in_text

_MARKUP = re.compile(r"([\\`*<>|~]|&(?=#?\w+;)|\](?=[(\[:])|\b_|_\b|^#)")


def export(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A heading and a line for each row; names and values are text, whatever they look like."""
    yield _line(columns)
    yield f"|{'---|' * len(columns)}\n"
    yield from map(_line, rows)


def escaped(text: str) -> str:
    """A line as it is: nothing in it is markup, and every character can be seen."""
    return _MARKUP.sub(r"\\\1", printable(text))


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(_cell, cells))} |\n"


def _cell(value: object) -> str:
    lines = [] if value is None else str(in_text(value)).split("\n")
    return "<br>".join(map(escaped, lines))  # a line break would end the row
