"""JSON for programs: one object per command."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from farm.accuracy.result import Worst
from farm.candidate import to_json
from farm.devices.profile import Availability, DeviceProfile
from farm.measurement import Estimate, Measurement, Metric
from farm.plan.memory.portions import PortionSolution
from farm.prediction import Prediction
from reports.rows import Json, dump, prediction_json
from tuner.bench import Benchmark
from tuner.delivery.record import RecordedAccuracy
from tuner.planning.memory import Planned
from tuner.racing.statistics import Comparison
from tuner.results import DeviceResult, Measured, TuneResult
from tuner.verify.package import Verified
from tuner.verify.verification import Verification
from workers.gpus.devices import gpu_facts


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
            "objective": str(result.objective),
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
            "predicted": predictions_json(measured.predicted),
            "accuracy": None if measured.accuracy is None else asdict(measured.accuracy),
            "notes": list(measured.notes),
            "threads": measured.threads or None,
            "output": measured.output or None,
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


def claim_json(found: Verification) -> str:
    """The object that ``farm verify --json`` prints. Ratios are baseline over winner."""
    record = found.record
    origin = record.origin if record else None
    return dump(
        {
            "folder": str(found.folder),
            "verdict": str(found.holds),
            "reason": found.reason,
            "run": origin.run if origin else None,
            "model_sha256": origin.model_sha256 if origin else None,
            "device": record.device if record else None,
            "candidate": record.candidate.label() if record else None,
            "confirmed": origin.confirmed if origin else None,
            "objective": str(record.request.objective) if record else None,
            "claimed": estimate_json(found.claimed),
            "measured": estimate_json(found.measured),
            "blocks": found.blocks,
            "accuracy": {
                "claimed": _recorded(record.accuracy if record else None),
                "measured": _recorded(found.reached),
            },
            "package": json.loads(verified_json(found.package)) if found.package else None,
            "disagreements": list(found.disagreements),
            "notes": list(found.notes),
        }
    )


def _recorded(accuracy: RecordedAccuracy | None) -> Json:
    return None if accuracy is None else asdict(accuracy)


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
    devices: list[Json] = [
        {
            "device": profile.name,
            "kind": str(profile.kind),
            "description": profile.description,
            "found": found.found,
            "available": found.available,
            "reason": found.reason,
            "remedy": found.remedy,
            "engines": list(engines),
            "gpu": None if (gpu := gpu_facts(profile)) is None else asdict(gpu),
        }
        for profile, found, engines in rows
    ]
    return dump(devices)


def measurements_json(measurements: Mapping[Metric, Measurement]) -> dict[str, Json]:
    """Each metric's value, unit, method and interval."""
    return {str(metric): _measurement(value) for metric, value in sorted(measurements.items())}


def predictions_json(predicted: Mapping[Metric, Prediction]) -> dict[str, Json]:
    """What was expected of each metric before it was measured; empty where nothing was."""
    return {str(metric): prediction_json(found) for metric, found in sorted(predicted.items())}


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
        "places": list(device.places),
        "confirmed": device.winner is not None,
        "best": _measured(device.best),
        "ratio": estimate_json(device.ratio),
        "gain": estimate_json(device.gain),
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
        "predicted": predictions_json(measured.predicted),
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
