"""Trials and profiles for programs, and JSON as all commands write it.

Reading a store needs neither engines nor models, and this module imports neither.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from db.questions.operators.profiles import TrialProfile
from db.records import Result
from farm.measurement import Measurement, Metric
from farm.prediction import Prediction

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
_METRICS = (
    *("latency", "memory", "energy", "accuracy", "cpu", "throughput", "load"),
    *("energy_window", "idle_power"),
)
_MEASUREMENT_SUFFIXES = ("", "_low", "_high", "_method")
_PREDICTED = {
    "latency": Metric.LATENCY,
    "memory": Metric.PEAK_MEMORY,
    "energy": Metric.ENERGY,
    "cpu": Metric.CPU_SECONDS,
}
_PREDICTION_SUFFIXES = ("", "_low", "_high", "_basis", "_rows")
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def result_rows(
    rows: Sequence[Result], candidate: Callable[[str], str]
) -> tuple[tuple[str, ...], Iterator[tuple[object, ...]]]:
    """Trials as columns and cells. candidate: the JSON text of a candidate id, asked by row."""
    columns = (
        *_RESULT_COLUMNS,
        *(m + s for m in _METRICS for s in _MEASUREMENT_SUFFIXES),
        *(f"predicted_{m}{s}" for m in _PREDICTED for s in _PREDICTION_SUFFIXES),
    )
    return columns, (_cells(row, candidate(row.candidate_id)) for row in rows)


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


def dump(value: Json | Sequence[Json]) -> str:
    """JSON text; never NaN or infinity, which are not JSON."""
    return json.dumps(value, indent=2, allow_nan=False)


def prediction_json(found: Prediction | None) -> Json:
    """A predicted value with its interval and what it rests on."""
    if found is None:
        return None
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "unit": found.unit,
        "basis": str(found.basis),
        "rows": found.rows,
    }


def _cells(row: Result, candidate: str) -> tuple[object, ...]:
    cells: list[object] = [
        row.trial,
        row.run,
        row.created_at,
        row.model,
        row.device,
        str(row.phase),
        str(row.outcome) if row.outcome else None,
        row.message,
        row.candidate_id,
        row.candidate,
        candidate,
    ]
    for metric in _METRICS:
        found: Measurement | None = getattr(row, metric)
        if found is None:
            cells += [None, None, None, None]
        else:
            cells += [found.value, found.low, found.high, str(found.method)]
    for metric in _PREDICTED.values():
        said = row.predicted.get(metric)
        if said is None:
            cells += [None] * len(_PREDICTION_SUFFIXES)
        else:
            cells += [said.value, said.low, said.high, str(said.basis), said.rows]
    return tuple(cells)
