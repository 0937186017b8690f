"""What operators take, the baseline beside the winner; what each brought, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from farm.units import counted, format_seconds
from reports.explain.tables import explanation_lines
from reports.pages.section import (
    Chart,
    Drawing,
    Role,
    Section,
    Table,
    distinct,
    label,
    rounded,
    table,
)
from reports.tables.cells import MISSING
from tuner.explain.explanation import Explanation, OperatorRow

_DRAWN = 15  # operators, those that take or change most
_ROW, _AXES = 30, 120  # pixels


@dataclass(frozen=True, slots=True)
class Called:
    """What the two sides of an explanation are called."""

    own: str
    other: str


def operators(device: str, found: Explanation, called: Called) -> Section:
    """Two bars for each of the operators that take longest on either side.

    device: "" on a page that is about nothing else.
    """
    longest = sorted(found.operators, key=lambda row: -max(row.seconds, _other(row)))
    beside = f": {called.other} beside {called.own}" if found.against else ""
    return Section(
        _named("operators", device),
        f"Operators{_on(device)}{beside}",
        found.sentence,
        _beside(longest[:_DRAWN], called) if longest else None,
        _table(longest, called) if longest else None,
        notes=tuple(explanation_lines(found)),
        commands=(f"farm explain {found.trial.trial[:8]}", *_profiles(found)),
    )


def gains(device: str, found: Explanation, called: Called, outputs: Sequence[str] = ()) -> Section:
    """A bar for each operator by the time that the trial saves there, or loses.

    outputs: sentences on what is known of them.
    """
    rows = [row for row in found.operators if row.against_seconds is not None and row.name]
    changed = sorted(rows, key=lambda row: -abs(_other(row) - row.seconds))[:_DRAWN]
    if rows:
        summary = f"{'; '.join(_changes(rows, called))}."
    elif found.against is None:
        summary = "It is the baseline, or its run has none: there is nothing to compare it with."
    else:
        summary = "There are no profiles of both sides to compare operator by operator."
    return Section(
        _named("gains", device),
        f"Gain by operator{_on(device)}",
        summary,
        _saved(changed) if changed else None,
        notes=tuple(outputs),
        commands=(f"farm explain {found.trial.trial[:8]}",),
    )


def _changes(rows: Sequence[OperatorRow], called: Called) -> Iterator[str]:
    """How many operators became faster and slower, and how many run on one side alone."""
    both = [row for row in rows if row.kernel and row.against_kernel]
    differences = [_other(row) - row.seconds for row in both]
    for word, some in (
        ("faster", [each for each in differences if each > 0]),
        ("slower", [-each for each in differences if each < 0]),
    ):
        by = f", by {format_seconds(sum(some))} together" if some else ""
        yield f"{counted(len(some), 'operator') if some else 'no operator'} became {word}{by}"
    for name, some in (
        (called.own, [row.seconds for row in rows if not row.against_kernel]),
        (called.other, [_other(row) for row in rows if not row.kernel]),
    ):
        if some:
            took = format_seconds(sum(some))
            yield f"{counted(len(some), 'operator')} took time in the {name} alone, {took}"


def _other(row: OperatorRow) -> float:
    return row.against_seconds or 0.0


def _named(section: str, device: str) -> str:
    return f"{section}-{device}" if device else section


def _on(device: str) -> str:
    return f" on {device}" if device else ""


def _table(rows: Sequence[OperatorRow], called: Called) -> Table:
    """What each takes; of the other side only where there is one."""
    alone = all(row.against_seconds is None for row in rows)
    names: tuple[str, ...] = ("operator", "type", "kernel", called.own)
    if not alone:
        names = (*names, called.other, "saved", f"kernel of the {called.other}")
    cells = [_cells(row)[: len(names)] for row in rows]
    return table(names, cells, f"{called.own},{called.other},saved")


def _cells(row: OperatorRow) -> tuple[str, ...]:
    other = row.against_seconds
    return (
        ", ".join((row.name, *row.fused)) if row.name else "not mapped",
        row.op_type or MISSING,
        row.kernel or MISSING,
        format_seconds(row.seconds) if row.kernel else MISSING,
        MISSING if other is None or not row.against_kernel else format_seconds(other),
        MISSING if other is None else format_seconds(other - row.seconds),
        row.against_kernel or MISSING,
    )


def _beside(rows: Sequence[OperatorRow], called: Called) -> Chart:
    sides = [(called.own, Role.WINNER, [row.seconds for row in rows])]
    if any(row.against_seconds is not None for row in rows):
        sides.append((called.other, Role.BASELINE, [_other(row) for row in rows]))
    traces = tuple(_bars(rows, seconds, role) | {"name": name} for name, role, seconds in sides)
    layout = _layout("µs of one run") | {"barmode": "group"}
    return Chart(traces, layout, _AXES + _ROW * len(rows))


def _saved(rows: Sequence[OperatorRow]) -> Chart:
    seconds = [_other(row) - row.seconds for row in rows]
    trace = _bars(rows, seconds, [Role.GOOD if each > 0 else Role.BAD for each in seconds])
    return Chart((trace,), _layout("µs saved; below 0 lost"), _AXES + _ROW * len(rows))


def _bars(
    rows: Sequence[OperatorRow], seconds: Sequence[float], colour: Role | list[Role]
) -> Drawing:
    names = [label(row.name or "not mapped") for row in rows]
    return {
        "type": "bar",
        "orientation": "h",
        "x": rounded([1e6 * each for each in seconds]),
        "y": distinct(names),
        "marker": {"color": colour},
        "hoverinfo": "text",
        "hovertext": [
            f"{name}: {format_seconds(each)}" for name, each in zip(names, seconds, strict=True)
        ],
    }


def _layout(title: str) -> Drawing:
    return {
        "xaxis": {"title": {"text": title}},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
    }


def _profiles(found: Explanation) -> Iterator[str]:
    """What shows the profiles of either side."""
    for side in (found.trial, found.against):
        if side is not None and side.kernels:
            yield f"farm results --operators {side.measured[:8]}"
