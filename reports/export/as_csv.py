"""Comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from farm.text import printable_lines
from reports.export.values import in_text


def export(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A header line and a line for each row; a terminal can show them."""
    for row in chain([columns], rows):
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(_cell, row))
        yield buffer.getvalue()


def _cell(value: object) -> object:
    return printable_lines(value) if isinstance(value, str) else in_text(value)
