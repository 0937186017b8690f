"""A night as JSON, for programs: ``--json``, and what a command is told of a regression."""

from __future__ import annotations

import math
from datetime import datetime

from farm.measurement import UNITS, Estimate
from reports.rows import Json, dump
from tuner.nightly.report import CaseReport, ChangeReport, NightReport


def night_json(report: NightReport) -> str:
    """The object that ``farm nightly check --json`` prints. Seconds, bytes and joules throughout.

    Ratios are of the metric over that of what was measured beside it: above 1 is worse.
    """
    return dump(
        {
            "suite": report.suite,
            "night": report.night or None,
            "started_at": _time(report.started_at),
            "finished_at": _time(report.finished_at),
            "machine": report.machine,
            "verdict": str(report.verdict),
            "exit_code": report.exit_code,
            "notes": list(report.notes),
            "cases": [_case(case) for case in report.cases],
        }
    )


def _case(case: CaseReport) -> Json:
    return {
        "case": case.case,
        "model": case.model,
        "device": case.device,
        "metric": str(case.metric),
        "environment": case.environment or None,
        "verdict": str(case.verdict),
        "sentence": case.sentence,
        "ratio": ratio_json(case.ratio),
        "value": case.value,
        "good_value": case.good_value,
        "unit": UNITS[case.metric],
        "p_value": case.p_value,
        "nights": case.nights,
        "change": _change(case.change),
        "run": case.run or None,
        "candidate": case.candidate,
        "seconds": case.seconds,
        "notes": list(case.notes),
    }


def _change(change: ChangeReport | None) -> Json:
    if change is None:
        return None
    return {
        "id": change.id,
        "first_night": change.first_night,
        "ratio": ratio_json(change.ratio),
        "pairs": change.pairs,
        "causes": list(change.causes),
        "state": change.state or None,
        "note": change.note,
    }


def ratio_json(ratio: Estimate | None) -> Json:
    """A ratio with its interval; few values have none."""
    if ratio is None:
        return None
    bounds = (each if math.isfinite(each) else None for each in (ratio.low, ratio.high))
    return {"value": ratio.value, **dict(zip(("low", "high"), bounds, strict=True))}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
