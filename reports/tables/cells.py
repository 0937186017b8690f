"""Cells of tables: text as it is, and values with their units."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from farm.accuracy.result import Worst
from farm.measurement import Estimate, Measurement, Method
from farm.text import printable_lines
from farm.units import format_bytes, format_joules, format_seconds

MISSING = "-"
"""Where nothing was measured."""


def add(table: Table, *cells: str | Text) -> None:
    """Add a row whose cells are taken as they are: brackets are no markup."""
    table.add_row(*(as_text(cell) for cell in cells))


def as_text(cell: str | Text) -> Text:
    """Text of which every character can be seen, in its own style."""
    if isinstance(cell, str):
        return Text(printable_lines(cell))
    return Text(printable_lines(cell.plain), style=cell.style)


def format_ratio(ratio: Estimate) -> str:
    """``2.91x [2.85, 2.97]``."""
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
