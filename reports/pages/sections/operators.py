"""What operators take, the baseline beside the winner; what each brought, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farm.units import counted, format_seconds
from reports.explain.tables import explanation_lines
from reports.pages.section import Chart, Drawing, Role, Section, label, rounded, table
from reports.tables.cells import MISSING
from tuner.explain.explanation import Explanation, OperatorRow

_DRAWN = 15  # operators, those that take or change most
_ROW, _AXES = 30, 120  # pixels
_COLUMNS = ("operator", "type", "winner", "baseline", "saved", "kernel", "baseline's kernel")


def operators(device: str, found: Explanation) -> Section:
    """Two bars for each of the operators that take longest on either side."""
    longest = sorted(found.operators, key=lambda row: -max(row.seconds, _other(row)))
    return Section(
        f"operators-{device}",
        f"Operators on {device}: baseline beside winner",
        found.sentence,
        _beside(longest[:_DRAWN]) if longest else None,
        table(_COLUMNS, list(map(_row, longest)), "winner,baseline,saved") if longest else None,
        notes=tuple(explanation_lines(found)),
        commands=(f"farm explain {found.trial.trial[:8]}", *_profiles(found)),
    )


def gains(device: str, found: Explanation, damage: Sequence[str]) -> Section:
    """A bar for each operator by the time that the winner saves there, or loses.

    damage: sentences on what is known of the outputs.
    """
    both = [row for row in found.operators if row.against_seconds is not None and row.name]
    changed = sorted(both, key=lambda row: -abs(_other(row) - row.seconds))[:_DRAWN]
    saved = [row for row in both if _other(row) > row.seconds]
    lost = [row for row in both if _other(row) < row.seconds]
    summary = (
        f"{counted(len(saved), 'operator')} became faster, by "
        f"{format_seconds(sum(_other(r) - r.seconds for r in saved))} together; "
        f"{counted(len(lost), 'operator')} became slower, by "
        f"{format_seconds(sum(r.seconds - _other(r) for r in lost))} together."
    )
    if not both:
        summary = "There are no profiles of both sides to compare operator by operator."
    return Section(
        f"gains-{device}",
        f"Gain and damage by operator on {device}",
        summary,
        _saved(changed) if changed else None,
        notes=tuple(damage),
        commands=(f"farm explain {found.trial.trial[:8]}",),
    )


def _other(row: OperatorRow) -> float:
    return row.against_seconds or 0.0


def _row(row: OperatorRow) -> tuple[str, ...]:
    other = row.against_seconds
    return (
        ", ".join((row.name, *row.fused)) if row.name else "not mapped",
        row.op_type or MISSING,
        format_seconds(row.seconds),
        MISSING if other is None else format_seconds(other),
        MISSING if other is None else format_seconds(other - row.seconds),
        row.kernel or MISSING,
        row.against_kernel or MISSING,
    )


def _beside(rows: Sequence[OperatorRow]) -> Chart:
    sides = [("winner", Role.WINNER, [row.seconds for row in rows])]
    if any(row.against_seconds is not None for row in rows):
        sides.append(("baseline", Role.BASELINE, [_other(row) for row in rows]))
    traces = tuple(_bars(rows, seconds, role) | {"name": name} for name, role, seconds in sides)
    layout = _layout("µs of one run, without the profiler's own time") | {"barmode": "group"}
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
        "y": list(_distinct(names)),
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


def _distinct(names: Sequence[str]) -> Iterator[str]:
    """Names of a category each: those that were shortened to the same text are counted."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name} ({seen[name]})"


def _profiles(found: Explanation) -> Iterator[str]:
    """What shows the profiles of either side."""
    for side in (found.trial, found.against):
        if side is not None and side.kernels:
            yield f"farm results --operators {side.measured[:8]}"
