"""The words and numbers of a night that every form of it shares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime

from farm.measurement import UNITS, Estimate, Metric
from farm.units import format_bytes, format_joules, format_seconds
from reports.tables.cells import MISSING
from tuner.nightly.report import CaseReport, NightReport
from tuner.nightly.screen.series import Verdict

_FORMATS: dict[str, Callable[[float], str]] = {
    "s": format_seconds,
    "B": format_bytes,
    "J": format_joules,
    "1/s": lambda value: f"{value:,.1f} /s" if value < 100 else f"{value:,.0f} /s",
    "1": lambda value: f"{value:.4f}",
}
_CUT_SHORT = "The night was cut short: what is missing here was not measured."


def value_text(metric: Metric, value: float | None) -> str:
    """A value of a metric with its unit, rounded for people."""
    if value is None:
        return MISSING
    unit = UNITS[metric]
    return _FORMATS[unit](value) if unit in _FORMATS else f"{value:,.0f} {unit}s"


def ratio_text(ratio: Estimate | None) -> str:
    """``1.031 [1.024, 1.038]``: above 1 is worse. Few values have no interval."""
    if ratio is None:
        return MISSING
    if not math.isfinite(ratio.high - ratio.low):
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def series_name(case: CaseReport) -> str:
    """``detector on cpu, latency``, and with which environment."""
    beside = f" with environment {case.environment}" if case.environment else ""
    return f"{case.case} on {case.device}, {case.metric}{beside}"


def headline(report: NightReport) -> str:
    """``shop-floor: regression``."""
    if not report.night:
        return f"{report.suite}: no night yet"
    cut = ", and the night was cut short" if report.finished_at is None else ""
    return f"{report.suite}: {report.verdict}{cut}"


def summary(report: NightReport) -> str:
    """One sentence on the night as a whole: when, where, and how many say what.

    Where there was no night yet it is the note that says so.
    """
    if not report.night:
        return " ".join(report.notes)
    when = f", {time_text(report.started_at)}" if report.started_at else ""
    where = f" on {report.machine}" if report.machine else ""
    return f"Night {report.night}{when}{where}: {_counts(report)}."


def time_text(moment: datetime) -> str:
    """``2026-11-29 03:00 UTC`` of a moment that is in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def remarks(report: NightReport) -> Iterator[str]:
    """Sentences on the night as a whole, but for the summary."""
    if not report.night:
        return
    if report.finished_at is None:
        yield _CUT_SHORT
    yield from report.notes


def sentences(case: CaseReport) -> Iterator[str]:
    """What there is to say of one series, sentence by sentence."""
    if case.sentence:
        yield case.sentence
    yield from case.notes
    change = case.change
    if change is None:
        return
    if change.causes:
        yield f"Changed with it: {', '.join(change.causes)}."
    said = f" ({change.state}{f': {change.note}' if change.note else ''})" if change.state else ""
    yield f"Change {change.id}{said} began with night {change.first_night}."


def _counts(report: NightReport) -> str:
    """``1 regression, 3 no change``, and what environments of the suite say."""
    parts = []
    for environments in (False, True):
        found = Counter(c.verdict for c in report.cases if bool(c.environment) is environments)
        if found:
            told = ", ".join(f"{found[each]} {each}" for each in Verdict if found[each])
            parts.append(f"with environments of the suite: {told}" if environments else told)
    return "; ".join(parts) or "no series"
