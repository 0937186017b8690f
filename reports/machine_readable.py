"""JSON for programs: one object per command."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from farm.measurement import Estimate, Measurement, Metric
from tuner.results import DeviceResult, Measured, TuneResult

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
        }
    )


def measurements_json(measurements: Mapping[Metric, Measurement]) -> dict[str, Json]:
    """Each metric's value, unit, method and interval."""
    return {str(metric): _measurement(value) for metric, value in sorted(measurements.items())}


def estimate_json(ratio: Estimate | None) -> Json:
    """``{"estimate": ..., "ci": [low, high]}``; an unbounded interval is null."""
    if ratio is None:
        return None
    bounded = math.isfinite(ratio.low) and math.isfinite(ratio.high)
    return {"estimate": ratio.value, "ci": [ratio.low, ratio.high] if bounded else None}


def dump(value: Json | Sequence[Json]) -> str:
    """JSON text; never NaN or infinity, which are not JSON."""
    return json.dumps(value, indent=2, allow_nan=False)


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
            "winner": accuracy.winner,
            "samples": accuracy.samples,
            "on_real_data": accuracy.on_real_data,
        },
        "trials": {str(outcome): count for outcome, count in device.trials.items()},
        "blocks": {"disturbed": device.disturbed, "tolerated": device.tolerated},
        "output": device.output,
    }


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
