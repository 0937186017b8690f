"""What a drawing shows as a table, for those who do not see it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import unescape

from reports.pages.section import Chart, Drawing, Table, table

_AXES = ("x", "y")


def numbers(chart: Chart) -> Table:
    """A row for each mark of each trace: what it is, where it is, and how far its bars reach."""
    named = any(trace.get("name") for trace in chart.traces)
    told = any(trace.get("hovertext") for trace in chart.traces)
    titles = [_title(chart, axis) for axis in _AXES]
    columns = [*(["drawn as"] if named else []), *titles, *(["what"] if told else [])]
    rows = [
        [*([str(trace.get("name", ""))] if named else []), *cells[: len(_AXES) + told]]
        for trace in chart.traces
        for cells in _marks(trace)
    ]
    right = [title for title, axis in zip(titles, _AXES, strict=True) if _is_numeric(chart, axis)]
    return table(columns, rows, ",".join(right))


def _marks(trace: Drawing) -> Iterator[list[str]]:
    told = trace.get("hovertext") or []
    for at in range(len(trace.get("x", ()))):
        said = told[at] if not isinstance(told, str) and at < len(told) else told or ""
        yield [*(_value(trace, axis, at) for axis in _AXES), unescape(str(said))]


def _value(trace: Drawing, axis: str, at: int) -> str:
    """A value with the ends of its bar, where it has one."""
    value = trace[axis][at]
    if not isinstance(value, int | float):
        return unescape(str(value))
    bar = trace.get(f"error_{axis}") or {}
    above = bar.get("array", ())[at : at + 1]
    below = bar.get("arrayminus", bar.get("array", ()))[at : at + 1]
    if not any((*above, *below)):
        return f"{value:.5g}"
    return f"{value:.5g} [{value - below[0]:.5g}, {value + above[0]:.5g}]"


def _title(chart: Chart, axis: str) -> str:
    """What an axis is called, without the comma of its unit, which separates names of columns."""
    title = chart.layout.get(f"{axis}axis", {}).get("title", {}).get("text", "")
    return unescape(str(title)).replace(",", " in") or ("name" if axis == "y" else "at")


def _is_numeric(chart: Chart, axis: str) -> bool:
    values: Sequence[object] = [v for trace in chart.traces for v in trace.get(axis, ())]
    return bool(values) and all(isinstance(value, int | float) for value in values)
