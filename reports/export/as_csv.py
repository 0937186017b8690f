"""Comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from farm.text import printable_lines
from reports.export.values import in_text

_FORMULAS = ("=", "+", "-", "@")  # what begins with these


def export(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A header line and a line for each row; a terminal can show them.

    A text that a spreadsheet would compute has an apostrophe before it, which shows it as it is.
    """
    for row in chain([columns], rows):
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(_cell, row))
        yield buffer.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return in_text(value)
    text = printable_lines(value)
    return f"'{text}" if text.startswith(_FORMULAS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
