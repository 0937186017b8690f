"""A section of a page: a sentence, a drawing, the same as a table, and what repeats its numbers.

A drawing is traces and a layout as Plotly takes them. Its colours are roles (``Role``), which the
page fills in for a light or a dark ground.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from farm.measurement import Estimate, Measurement
from farm.text import printable

LONGEST = 60  # characters of a name in a drawing; tables have all of it
MOST_CHARACTERS = 2000  # of a cell
MOST_ROWS = 500  # of a table
Drawing = dict[str, Any]
"""A trace or a layout of Plotly."""
Link = tuple[str, str]
"""Text and address, on pages that are served."""


class Role(StrEnum):
    """What a colour says; names of the page's own properties."""

    BASELINE = "--baseline"
    WINNER = "--winner"
    OTHER = "--other"
    GOOD = "--good"
    BAD = "--bad"
    SOFT = "--soft"


@dataclass(frozen=True, slots=True)
class Chart:
    """traces, layout: as Plotly takes them. height: in pixels."""

    traces: tuple[Drawing, ...]
    layout: Drawing
    height: int = 360


@dataclass(frozen=True, slots=True)
class Table:
    """Texts as they are shown.

    numbers: positions of columns that are aligned to the right. links: where cells lead to, by
    row and column; reports, which are one file, have none.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    links: Mapping[tuple[int, int], str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Section:
    """One thing that a page shows.

    name: unique on its page. summary: what the drawing shows, for those who do not see it.
    svg: a drawing that is finished. commands: what shows or measures these numbers again.
    has_numbers: the table has every number of the drawing, so that it needs none of its own.
    """

    name: str
    title: str
    summary: str
    chart: Chart | None = None
    table: Table | None = None
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    svg: str = ""
    has_numbers: bool = True


@dataclass(frozen=True, slots=True)
class Page:
    """A report. subtitle: one line below the title.

    series: of nights, see ``sections.history``; the first ones, as many as are ``listed``, are the
    rows of the first section's table.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    series: Drawing | None = None


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str | Link]], numbers: str = ""
) -> Table:
    """A table of texts of which every character can be seen.

    numbers: names of columns that are numbers, with commas. Rows beyond ``MOST_ROWS`` are counted.
    """
    right = frozenset(n for n, name in enumerate(columns) if name in numbers.split(","))
    shown = [
        tuple(cell(each if isinstance(each, str) else each[0]) for each in row)
        for row in rows[:MOST_ROWS]
    ]
    links = {
        (at, column): each[1]
        for at, row in enumerate(rows[:MOST_ROWS])
        for column, each in enumerate(row)
        if not isinstance(each, str)
    }
    if more := len(rows) - len(shown):
        shown.append((f"and {more:,} more", *[""] * (len(columns) - 1)))
    return Table(tuple(columns), tuple(shown), right, links)


def cell(text: str) -> str:
    """A text that can be seen, and is not longer than anybody reads."""
    if len(text) > MOST_CHARACTERS:
        text = f"{text[:MOST_CHARACTERS]}… ({len(text):,} characters)"
    return printable(text)


def label(text: str) -> str:
    """A name in a drawing: short, and no markup, which Plotly would follow."""
    text = printable(text)
    half = LONGEST // 2 - 1  # names that begin alike most often end otherwise
    short = text if len(text) <= LONGEST else f"{text[:half]}…{text[-half:]}"
    return short.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def distinct(names: Sequence[str]) -> list[str]:
    """Names of a category each: those that were shortened to the same text are counted."""
    seen: Counter[str] = Counter()
    found = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def bars(values: Sequence[Measurement | Estimate], scale: float = 1.0) -> Drawing:
    """Error bars from each value to the ends of its interval, of no length without one."""
    above = [scale * ((v.high if v.high is not None else v.value) - v.value) for v in values]
    below = [scale * (v.value - (v.low if v.low is not None else v.value)) for v in values]
    return {
        "type": "data",
        "symmetric": False,
        "array": [_rounded(v) for v in above],
        "arrayminus": [_rounded(v) for v in below],
        "thickness": 1.2,
    }


def rounded(values: Sequence[float], digits: int = 5) -> list[float]:
    """Numbers with so many digits as a drawing can show."""
    return [_rounded(value, digits) for value in values]


def vertical(x: float | str, role: Role = Role.SOFT) -> Drawing:
    """A dashed line from bottom to top of a drawing."""
    line = {"color": role, "width": 1, "dash": "dot"}
    return {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": line}


def _rounded(value: float, digits: int = 5) -> float:
    return float(f"{value:.{digits}g}") if abs(value) < float("inf") else 0.0
