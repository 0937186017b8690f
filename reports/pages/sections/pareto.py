"""Trials by latency and what else counts, and those among them that nothing beats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from db.records import Phase, Result
from farm.measurement import Measurement, Method
from farm.units import counted
from reports.pages.section import Chart, Drawing, Role, Section, bars, label, rounded, table
from reports.tables.cells import accuracy_cell, bytes_cell, energy_cell, value_cell

_VISIBLE = 1e-4  # accuracies that differ less are one point

_Value = Callable[[Result], Measurement | None]


def pareto_front(
    run: str,
    device: str,
    front: Sequence[Result],
    trials: Sequence[Result],
    confirmed: Result | None = None,
) -> Section:
    """Latency to the right, accuracy or memory upwards; the front with its intervals.

    front: of ``db.questions.pareto``. trials: all of the device; those without a latency are left
    out, and those of other phases than the front is of. confirmed: the winner's.
    """
    phases = {row.phase for row in front}
    shown = [row for row in trials if row.latency is not None and row.phase in phases]
    name, value, scale = _second(shown)
    beaten = [row for row in shown if row.trial not in {each.trial for each in front}]
    drawn = [row for row in front if row.latency is not None and value(row) is not None]
    rest = [row for row in beaten if value(row) is not None]
    return Section(
        f"pareto-{device}",
        f"Pareto front on {device}",
        f"Of {counted(len(shown), 'trial')} that ran, {len(front)} had a candidate that no other "
        f"beats in latency, memory, energy and accuracy at once.{_of_search(front, confirmed)}",
        _chart(drawn, rest, name, value, scale) if drawn else None,
        table(
            ("candidate", "latency [95 %]", "peak memory", "energy", "accuracy", "trial"),
            [_row(row) for row in front],
            "latency [95 %],peak memory,energy,accuracy",
        ),
        notes=tuple(_notes(front)),
        commands=(f"farm results pareto --run {run} --device {device}",),
        has_numbers=False,  # the beaten ones are in no row
    )


def _second(rows: Sequence[Result]) -> tuple[str, _Value, float]:
    """What is upwards: accuracy where it differs, else memory. With its name and scale."""
    accuracies = [row.accuracy.value for row in rows if row.accuracy is not None]
    if accuracies and max(accuracies) - min(accuracies) > _VISIBLE:
        return "accuracy", lambda row: row.accuracy, 1.0
    return "peak memory, MiB", lambda row: row.memory, 2.0**-20


def _row(row: Result) -> tuple[str, ...]:
    return (
        row.candidate,
        value_cell(row.latency),
        bytes_cell(row.memory),
        energy_cell(row.energy),
        accuracy_cell(row.accuracy),
        row.trial[:8],
    )


def _of_search(front: Sequence[Result], confirmed: Result | None) -> str:
    """That a front of a search is not what was confirmed, and what that was."""
    if not any(row.phase is Phase.SEARCH for row in front):
        return ""
    told = " All are values of the search"
    if confirmed is None:
        return f"{told}, which nothing confirmed."
    accuracy = f" at accuracy {accuracy_cell(confirmed.accuracy)}" if confirmed.accuracy else ""
    return (
        f"{told}. What was confirmed, in fresh processes and on other data, is "
        f"{confirmed.candidate} with {value_cell(confirmed.latency)}{accuracy}."
    )


def _notes(front: Sequence[Result]) -> Iterator[str]:
    found = [row.latency for row in front if row.latency is not None]
    if any(each.low is None and each.method is Method.MEASURED for each in found):
        yield "A latency without an interval was measured in too few blocks to have one."


def _chart(
    front: Sequence[Result], rest: Sequence[Result], name: str, value: _Value, scale: float
) -> Chart:
    beaten = _points(rest, value, scale) | {
        "name": "beaten",
        "mode": "markers",
        "marker": {"color": Role.OTHER, "size": 7},
    }
    kept = _points(front, value, scale) | {
        "name": "front",
        "mode": "markers+lines",
        "line": {"shape": "hv", "dash": "dot", "width": 1, "color": Role.WINNER},
        "marker": {"color": Role.WINNER, "size": 11, "symbol": "diamond"},
    }
    layout = {
        "xaxis": {"type": "log", "title": {"text": "latency, ms"}},
        "yaxis": {"title": {"text": name}, "rangemode": "normal" if scale == 1.0 else "tozero"},
    }
    return Chart((beaten, kept), layout, 420)


def _points(rows: Sequence[Result], value: _Value, scale: float) -> Drawing:
    latencies = [row.latency for row in rows if row.latency is not None]
    others = [found for row in rows if (found := value(row)) is not None]
    return {
        "type": "scatter",
        "x": rounded([1e3 * each.value for each in latencies]),
        "y": rounded([scale * each.value for each in others], 7),
        "error_x": bars(latencies, 1e3),
        "error_y": bars(others, scale),
        "hoverinfo": "text",
        "hovertext": [f"{label(row.candidate)}, {label(value_cell(row.latency))}" for row in rows],
    }
