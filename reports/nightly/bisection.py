"""A bisection as people see it, and as JSON for programs."""

from __future__ import annotations

import json

from rich.text import Text

from farm.candidate import to_json
from farm.units import format_seconds
from reports.nightly.machine_readable import ratio_json
from reports.nightly.words import ratio_text
from reports.rows import Json, dump
from reports.tables.cells import MISSING
from reports.tables.layout import Column, Rows
from tuner.nightly.bisect.operators import OperatorChange
from tuner.nightly.bisect.result import Bisection, Step

_STYLES = {"bad": "red", "good": "green", "unknown": "yellow"}
_OPERATORS = 8  # groups that a table shows
_NAMES = 4  # operators of one group that a table names


def bisection_tables(found: Bisection) -> list[Rows]:
    """The steps, and the operators that take most more where they are known."""
    return [_steps(found), *([_operators(found)] if found.operators else [])]


def step_line(step: Step) -> str:
    """A step as it is told while it goes on."""
    if step.ratio is None:
        return f"{step.name}: {step.reason}"
    return f"{step.name}: {ratio_text(step.ratio)} of the good state's, {_verdict(step)}"


def bisection_json(found: Bisection) -> str:
    """The object that ``farm nightly bisect --json`` prints. Seconds throughout.

    Ratios are of the metric over that of what was measured beside it: above 1 is worse.
    """
    return dump(
        {
            "case": found.case,
            "metric": str(found.metric),
            "package": found.package or None,
            "good": _end(found.good, to_json(found.good_candidate)),
            "bad": _end(found.bad, to_json(found.bad_candidate)),
            "last_good": found.last_good or None,
            "first_bad": found.first_bad or None,
            "option": found.option or None,
            "unknown": list(found.unknown),
            "ratio": ratio_json(found.ratio),
            "operators": [_operator(change) for change in found.operators],
            "sentence": found.sentence,
            "steps": [_step(step) for step in found.steps],
            "run": found.run,
            "notes": list(found.notes),
        }
    )


def _steps(found: Bisection) -> Rows:
    columns = (
        Column("what differs", wraps=20),
        Column("beside the good state", wraps=16),
        Column("ratio [95 %]", right=True, below=2),
        Column("p", right=True, below=0),
        Column("pairs", right=True, below=1),
        Column("verdict"),
    )
    table = Rows(columns, f"{found.case}, {found.metric}")
    for step in found.steps:
        verdict = _verdict(step)
        p_value = MISSING if step.p_value is None else f"{step.p_value:.2g}"
        shown = Text(verdict, style=_STYLES[verdict])
        ratio, pairs = ratio_text(step.ratio), str(step.pairs or "")
        table.add(str(step.axis), step.name, ratio, p_value, pairs, shown)
    return table


def _operators(found: Bisection) -> Rows:
    columns = (
        Column("operators", wraps=24),
        Column("before", right=True),
        Column("after", right=True),
        Column("more", right=True),
        Column("kernels", wraps=16, below=0),
    )
    table = Rows(columns, "Operators that take most more")
    for change in found.operators[:_OPERATORS]:
        if change.increase > 0:
            seconds = (change.good_seconds, change.bad_seconds, change.increase)
            table.add(_names(change), *map(format_seconds, seconds), _kernels(change))
    return table


def _verdict(step: Step) -> str:
    return {True: "bad", False: "good", None: "unknown"}[step.bad]


def _names(change: OperatorChange) -> str:
    names = change.operators
    if not names:
        return "not mapped" if change.good_kernels or change.bad_kernels else "outside of all"
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def _kernels(change: OperatorChange) -> str:
    good, bad = ", ".join(change.good_kernels), ", ".join(change.bad_kernels)
    if not (good or bad):
        return ""
    return good if good == bad else f"{good or 'none'} -> {bad or 'none'}"


def _end(version: str, candidate: str) -> Json:
    return {"version": version or None, "candidate": json.loads(candidate)}


def _operator(change: OperatorChange) -> Json:
    return {
        "operators": list(change.operators),
        "good_kernels": list(change.good_kernels),
        "bad_kernels": list(change.bad_kernels),
        "good_seconds": change.good_seconds,
        "bad_seconds": change.bad_seconds,
    }


def _step(step: Step) -> Json:
    return {
        "differs": str(step.axis),
        "name": step.name,
        "ratio": ratio_json(step.ratio),
        "p_value": step.p_value,
        "pairs": step.pairs,
        "bad": step.bad,
        "reason": step.reason or None,
    }
