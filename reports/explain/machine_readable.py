"""The object that ``farm explain --json`` prints. Seconds and shares throughout."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from farm.measurement import Estimate
from reports.rows import Json, dump
from tuner.explain.explanation import Explanation, OperatorRow, Side
from tuner.racing.statistics import Comparison


def explanation_json(found: Explanation) -> str:
    """Keys are promises; see docs/reference/json-output.md."""
    against = found.against
    return dump(
        {
            "trial": found.trial.trial,
            "against": against.trial if against else None,
            "sentence": found.sentence,
            "operators": [_operator(row) for row in found.operators],
            "conversions": [_listed(asdict(each)) for each in found.conversions],
            "unfused": [_listed(asdict(each)) for each in found.unfused],
            "fallbacks": [_listed(asdict(each)) for each in found.fallbacks],
            "decisions": [asdict(each) for each in found.decisions],
            "ratio": _ratio(found.comparison, found.confirmed),
            "measured": _measured(found.trial),
            "against_measured": _measured(against) if against else None,
            "notes": list(found.notes),
        }
    )


def _operator(row: OperatorRow) -> Json:
    return {
        "name": row.name or None,
        "type": row.op_type or None,
        "place": row.place,
        "kernel": row.kernel or None,
        "seconds": row.seconds,
        "share": row.share,
        "against_seconds": row.against_seconds,
        "against_place": row.against_place or None,
        "against_kernel": row.against_kernel or None,
        "fused": list(row.fused),
    }


def _listed(fields: dict[str, Any]) -> Json:
    """Fields as JSON has them: names as in ``operators``, null for texts that nobody told."""
    plain = {key: list(v) if isinstance(v, tuple) else v for key, v in fields.items()}
    named = {("type" if key == "op_type" else key): value for key, value in plain.items()}
    return {key: None if value == "" else value for key, value in named.items()}


def _ratio(comparison: Comparison | None, confirmed: Estimate | None) -> Json:
    ratio = comparison.ratio if comparison else confirmed
    if ratio is None:
        return None
    return {
        "estimate": ratio.value,
        "ci": [ratio.low, ratio.high],
        "p_value": comparison.p_value if comparison else None,
        "pairs": comparison.pairs if comparison else None,
    }


def _measured(side: Side) -> Json:
    """Whose latency and kernels these are."""
    return {
        "trial": side.measured,
        "run": side.run,
        "candidate": side.label,
        "place": side.place,
        "outcome": str(side.outcome) if side.outcome else None,
        "latency": side.latency.value if side.latency else None,
        "method": str(side.method) if side.method else None,
        "profiled_seconds": side.seconds if side.kernels else None,
    }
