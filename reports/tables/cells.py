"""Cells of tables: text as it is, and values with their units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from math import isclose

from rich.table import Table
from rich.text import Text

from farm.accuracy.result import Worst
from farm.measurement import UNITS, Estimate, Measurement, Method, Metric
from farm.prediction import Prediction
from farm.text import printable_lines
from farm.units import counted, format_bytes, format_joules, format_seconds

MISSING = "-"
"""Where nothing was measured."""
_PREDICTED_UNITS = {"s": format_seconds, "B": format_bytes, "J": format_joules}


def add(table: Table, *cells: str | Text) -> None:
    """Add a row whose cells are taken as they are: brackets are no markup."""
    table.add_row(*(as_text(cell) for cell in cells))


def as_text(cell: str | Text) -> Text:
    """Text of which every character can be seen, in its own style."""
    if isinstance(cell, str):
        return Text(printable_lines(cell))
    return Text(printable_lines(cell.plain), style=cell.style)


def format_ratio(ratio: Estimate) -> str:
    """``2.91x [2.85, 2.97]``; one of modelled values, which do not vary, has no interval."""
    if isclose(ratio.low, ratio.high):
        return f"{ratio.value:.2f}x"
    return f"{ratio.value:.2f}x [{ratio.low:.2f}, {ratio.high:.2f}]"


def format_value(found: Measurement) -> str:
    """``51.2 µs [50.9, 51.6]``, with the method if it is not measured; also ``120 /s``."""
    shown = format_seconds if found.unit == "s" else _per_second
    text = shown(found.value)
    if found.low is not None and found.high is not None:
        low, high = shown(found.low), shown(found.high)
        text += f" [{low.split()[0] if low[-2:] == text[-2:] else low}, {high}]"
    return text + method_note(found)


def value_cell(found: Measurement | None) -> str:
    """A value with its interval, and how it was found if it was not measured."""
    return MISSING if found is None else format_value(found)


def _per_second(value: float) -> str:
    return f"{value:,.0f} /s" if value >= 100 else f"{value:.3g} /s"


def is_visible(worst: Worst | None) -> bool:
    """Whether it is not 1.0000 for people."""
    return worst is not None and worst.value < 0.99995


def share_cell(value: float | None) -> str:
    """A share of one, as accuracies are."""
    return MISSING if value is None else f"{value:.4f}"


def prediction_cell(found: Prediction | None) -> str:
    """``51.2 ms [48.9, 55.6 ms]``; what is exact has no interval."""
    if found is None:
        return MISSING
    shown = _PREDICTED_UNITS[found.unit]
    if found.low == found.high:
        return shown(found.value)
    value, low, high = (shown(each) for each in (found.value, found.low, found.high))
    number, unit = low.split()
    return f"{value} [{number if unit == high.split()[-1] else low}, {high}]"


def accuracy_cell(accuracy: Measurement | None) -> str:
    """Accuracy, as a share of one."""
    return MISSING if accuracy is None else f"{accuracy.value:.4f}"


def bytes_cell(memory: Measurement | None) -> str:
    """Bytes in their unit, and how they were found if not measured."""
    return MISSING if memory is None else format_bytes(memory.value) + method_note(memory)


def seconds_cell(seconds: Measurement | None) -> str:
    """Seconds in their unit, and how they were found if not measured."""
    return MISSING if seconds is None else format_seconds(seconds.value) + method_note(seconds)


def energy_cell(energy: Measurement | None) -> str:
    """Joules in their unit, and always how they were found."""
    return MISSING if energy is None else f"{format_joules(energy.value)} ({energy.method})"


def method_note(measurement: Measurement) -> str:
    """`` (emulated)``; nothing for what was measured."""
    return "" if measurement.method is Method.MEASURED else f" ({measurement.method})"


_SCALED: Mapping[str, Callable[[float], str]] = {
    "s": format_seconds,
    "J": format_joules,
    "B": format_bytes,
    "1/s": _per_second,
    "1": "{:.4f}".format,
    "W": "{:.3g} W".format,
}


def quantity(value: float, unit: str) -> str:
    """A value with its unit, scaled where that is usual: ``51.2 µs``, ``28,096 packets``."""
    shown = _SCALED.get(unit)
    return counted(round(value), unit) if shown is None else shown(value)


def of_metric(value: float | None, metric: str) -> str:
    """A value of a metric with its unit."""
    return MISSING if value is None else quantity(value, UNITS[Metric(metric)])


def any_cell(found: Measurement | None) -> str:
    """A value of any metric, and how it was found if it was not measured."""
    return MISSING if found is None else quantity(found.value, found.unit) + method_note(found)


def counted_cell(window: Measurement | None, idle: Measurement | None) -> str:
    """How a counter told an energy: ``over 1.01 s, 12.3 W idle subtracted``."""
    if window is None or idle is None:
        return MISSING
    return f"over {any_cell(window)}, {any_cell(idle)} idle subtracted"


def ratio_cell(value: float | None, low: float | None, high: float | None) -> str:
    """``2.91x [2.85, 2.97]``, where a bound is not known without one."""
    if value is None:
        return MISSING
    if low is None or high is None:
        return f"{value:.2f}x"
    return format_ratio(Estimate(value, low, high))


def change_cell(ratio: float | None) -> str:
    """``+3.1%`` of a ratio of 1.031; worse is more."""
    return MISSING if ratio is None else f"{ratio - 1:+.1%}"


def time_cell(when: datetime) -> str:
    """A moment in UTC, by the minute."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M}"
