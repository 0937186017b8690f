"""JSON: a list of objects."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from textwrap import indent

from reports.export.values import in_text, unique
from reports.rows import Json, dump


def export(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """A list of objects. Values that JSON does not know become text; see ``unique`` for keys."""
    names, begin = unique(columns), "[\n"
    for row in rows:
        yield begin + indent(dump(dict(zip(names, map(_plain, row), strict=True))), "  ")
        begin = ",\n"
    yield "[]\n" if begin == "[\n" else "\n]\n"


def _plain(value: object) -> Json:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str | None) else str(in_text(value))
