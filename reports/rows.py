"""Rows of the store for programs: JSON and comma-separated values.

Reading a store needs neither engines nor models, and this module imports neither.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from db.records import Result
from farm.measurement import Measurement
from farm.text import printable_lines

_RESULT_COLUMNS = (
    "trial",
    "run",
    "created_at",
    "model",
    "device",
    "phase",
    "outcome",
    "message",
    "candidate_id",
    "label",
    "candidate",
)
_MEASUREMENT_SUFFIXES = ("", "_low", "_high", "_method")
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def result_rows(
    rows: Sequence[Result], candidates: Mapping[str, str]
) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """Trials as columns and cells. candidates: JSON texts by candidate id."""
    metrics = ("latency", "memory", "energy", "accuracy")
    columns = (*_RESULT_COLUMNS, *(m + s for m in metrics for s in _MEASUREMENT_SUFFIXES))
    return columns, [_cells(row, candidates[row.candidate_id], metrics) for row in rows]


def rows_json(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A list of objects; values that JSON does not know become text."""
    return dump([dict(zip(columns, map(_plain, row), strict=True)) for row in rows])


def rows_csv(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Comma-separated values with a header line, which can be shown on a terminal."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for row in (columns, *rows):
        writer.writerow([printable_lines(cell) if isinstance(cell, str) else cell for cell in row])
    return buffer.getvalue()


def dump(value: Json | Sequence[Json]) -> str:
    """JSON text; never NaN or infinity, which are not JSON."""
    return json.dumps(value, indent=2, allow_nan=False)


def _plain(value: object) -> Json:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if isinstance(value, bool | int | str | None) else str(value)


def _cells(row: Result, candidate: str, metrics: Sequence[str]) -> tuple[object, ...]:
    cells: list[object] = [
        row.trial,
        row.run,
        row.created_at.isoformat(),
        row.model,
        row.device,
        str(row.phase),
        str(row.outcome) if row.outcome else None,
        row.message,
        row.candidate_id,
        row.candidate,
        candidate,
    ]
    for metric in metrics:
        found: Measurement | None = getattr(row, metric)
        if found is None:
            cells += [None, None, None, None]
        else:
            cells += [found.value, found.low, found.high, str(found.method)]
    return tuple(cells)
