"""JSON for programs: one object per command."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TypeAlias

from db.records import Result
from farm.accuracy.result import Worst
from farm.candidate import to_json
from farm.device import Availability, DeviceProfile
from farm.measurement import Estimate, Measurement, Metric
from farm.plan.memory.portions import PortionSolution
from farm.text import printable_lines
from tuner.bench import Benchmark
from tuner.delivery.verify import Verified
from tuner.plan import Planned
from tuner.racing.statistics import Comparison
from tuner.results import DeviceResult, Measured, TuneResult

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


def tune_json(result: TuneResult) -> str:
    """The object that ``farm tune --json`` prints. Seconds, bytes and joules throughout."""
    return dump(
        {
            "run": result.run,
            "model": {"path": result.model_path, "sha256": result.model_sha256},
            "devices": [_device(device) for device in result.devices],
            "output": result.output,
            "interrupted": result.interrupted,
            "threads": result.threads or None,
        }
    )


def benchmark_json(measured: Benchmark) -> str:
    """The object that ``farm bench --json`` prints."""
    return dump(
        {
            "run": measured.run,
            "device": measured.device,
            "trial": measured.trial_id,
            "candidate": json.loads(to_json(measured.candidate)),
            "measurements": dict(measurements_json(measured.measurements)),
            "accuracy": None if measured.accuracy is None else asdict(measured.accuracy),
            "notes": list(measured.notes),
            "threads": measured.threads or None,
        }
    )


def comparison_json(found: Comparison, labels: tuple[str, str]) -> str:
    """The object that ``farm compare --json`` prints; the ratio is latency of A over B."""
    return dump(
        {
            "a": labels[0],
            "b": labels[1],
            "ratio": estimate_json(found.ratio),
            "p_value": found.p_value,
            "pairs": found.pairs,
        }
    )


def verified_json(verified: Verified) -> str:
    """The object that ``farm package verify --json`` prints."""
    return dump(
        {
            "package": str(verified.folder),
            "agrees": verified.agrees,
            "vectors": verified.vectors,
            "target": str(verified.target),
            "compiler": verified.compiler,
            "disagreements": list(verified.disagreements),
            "notes": list(verified.notes),
        }
    )


def plan_json(planned: Planned) -> str:
    """The object that ``farm plan memory --json`` prints: bytes and seconds.

    Without a solution within the capacity, height is that of the lowest one that was found.
    """
    solution = planned.solution
    found: dict[str, Json] = {
        "buffers": len(planned.problem.buffers),
        "height": solution.height,
        "lower_bound": solution.lower_bound,
        "status": str(solution.status),
        "seconds": solution.seconds,
        "capacity": planned.problem.capacity,
        "binding": solution.binding,
    }
    if isinstance(solution, PortionSolution):
        found["portions"] = list(solution.sizes)
    return dump(found)


def devices_json(
    rows: Sequence[tuple[DeviceProfile, Availability, tuple[str, ...]]],
) -> str:
    """The list that ``farm devices --json`` prints."""
    return dump(
        [
            {
                "device": profile.name,
                "kind": str(profile.kind),
                "description": profile.description,
                "available": found.available,
                "reason": found.reason,
                "remedy": found.remedy,
                "engines": list(engines),
            }
            for profile, found, engines in rows
        ]
    )


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


def measurements_json(measurements: Mapping[Metric, Measurement]) -> dict[str, Json]:
    """Each metric's value, unit, method and interval."""
    return {str(metric): _measurement(value) for metric, value in sorted(measurements.items())}


def estimate_json(ratio: Estimate | None) -> Json:
    """``{"estimate": ..., "ci": [low, high]}``.

    The interval is null where it has no bounds, and where it has no width: that is the ratio of
    counts, which are the same every time.
    """
    if ratio is None:
        return None
    width = ratio.high - ratio.low
    exists = math.isfinite(width) and width > 0
    return {"estimate": ratio.value, "ci": [ratio.low, ratio.high] if exists else None}


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


def _device(device: DeviceResult) -> Json:
    accuracy = device.accuracy
    return {
        "device": device.device,
        "status": str(device.status),
        "reason": device.reason,
        "remedy": device.remedy,
        "verdict": str(device.verdict) if device.verdict else None,
        "baseline": _measured(device.baseline),
        "winner": _measured(device.winner),
        "ratio": estimate_json(device.ratio),
        "accuracy": None
        if accuracy is None
        else {
            "metric": accuracy.metric,
            "baseline": accuracy.baseline,
            "original": accuracy.original,
            "winner": accuracy.winner,
            "samples": accuracy.samples,
            "on_real_data": accuracy.on_real_data,
            "worst": _worst(accuracy.worst),
            "notes": list(accuracy.notes),
        },
        "trials": {str(outcome): count for outcome, count in device.trials.items()},
        "blocks": {"disturbed": device.disturbed, "tolerated": device.tolerated},
        "notes": list(device.notes),
        "output": device.output,
    }


def _worst(worst: Worst | None) -> Json:
    return None if worst is None else asdict(worst)


def _measured(measured: Measured | None) -> Json:
    if measured is None:
        return None
    return {
        "trial": measured.trial_id,
        "candidate": measured.candidate_id,
        "label": measured.label,
        **measurements_json(measured.measurements),
    }


def _measurement(measurement: Measurement) -> Json:
    interval: Json = None
    if measurement.low is not None and measurement.high is not None:
        interval = [measurement.low, measurement.high]
    return {
        "value": measurement.value,
        "unit": measurement.unit,
        "method": str(measurement.method),
        "ci": interval,
        "samples": len(measurement.samples),
    }
