"""Rows of the store for programs: JSON and comma-separated values.

Reading a store needs neither engines nor models, and this module imports neither.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from textwrap import indent
from typing import TypeAlias

from db.questions.profiles import TrialProfile
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
    metrics = ("latency", "memory", "energy", "accuracy", "cpu")
    columns = (*_RESULT_COLUMNS, *(m + s for m in metrics for s in _MEASUREMENT_SUFFIXES))
    return columns, [_cells(row, candidates[row.candidate_id], metrics) for row in rows]


_OPERATOR_COLUMNS = (
    "share",
    "seconds",
    "kernel",
    "kind",
    "operators",
    "precision",
    "profiled_seconds",
    "packets",
    "method",
)


def profile_json(profile: TrialProfile) -> str:
    """The kernels of one trial, in the order in which they run."""
    latency = profile.latency
    kernels: list[Json] = [
        {
            "share": each.share,
            "seconds": each.seconds,
            "kernel": each.kernel.kernel,
            "kind": each.kernel.kind,
            "operators": list(each.kernel.operators),
            "precision": each.kernel.precision or None,
            "profiled_seconds": each.kernel.seconds,
            "packets": each.kernel.packets,
            "method": str(each.kernel.method),
        }
        for each in profile.shares
    ]
    found: dict[str, Json] = {
        "trial": profile.trial,
        "run": profile.run,
        "device": profile.device,
        "candidate": profile.candidate,
        "latency": latency.value if latency else None,
        "latency_method": str(latency.method) if latency else None,
        "unmapped": profile.unmapped,
        "kernels": kernels,
    }
    return dump(found)


def profile_rows(profile: TrialProfile) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    """The same as columns and cells; operators are a JSON list."""
    cells: list[tuple[object, ...]] = [
        (
            each.share,
            each.seconds,
            each.kernel.kernel,
            each.kernel.kind,
            json.dumps(each.kernel.operators),
            each.kernel.precision,
            each.kernel.seconds,
            each.kernel.packets,
            str(each.kernel.method),
        )
        for each in profile.shares
    ]
    return _OPERATOR_COLUMNS, cells


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


def dump(value: Json | Sequence[Json]) -> str:
    """JSON text; never NaN or infinity, which are not JSON."""
    return json.dumps(value, indent=2, allow_nan=False)


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
