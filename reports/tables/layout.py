"""Tables that suit the width of a terminal: what names something is never cut or left out.

Where there is too little room for all columns, the least important ones move below the row's
text, one after another. Where even that is too wide, each row becomes a list of its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from reports.tables.cells import MISSING, as_text

ALWAYS = -1
"""Of a column that is never one of its own: its values stand below the row's text."""

_BETWEEN, _EDGES = 3, 2  # characters between two columns, and beside all of them


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    name: its heading, and what a value is called where it stands below a row.
    wraps: characters to which it may become narrow by breaking lines; None: never.
    below: it may move below the row's text, those with smaller numbers first; None: it stays,
    ALWAYS: it is there at any width.
    """

    name: str
    right: bool = False
    wraps: int | None = None
    below: int | None = None


class Rows:
    """Rows of text that become a table as wide as there is room when they are printed.

    columns: what moves below a row stands in the first one of them that wraps.
    """

    def __init__(self, columns: Sequence[Column], title: str = "") -> None:
        self._columns = tuple(columns)
        self._title = title
        self._rows: list[tuple[Text, ...]] = []

    def add(self, *cells: str | Text) -> None:
        """Add a row; cells that are left out at its end are empty."""
        given = [*cells, *[""] * (len(self._columns) - len(cells))]
        self._rows.append(tuple(as_text(cell) for cell in given))

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return [column.name for column in self._columns]

    @property
    def texts(self) -> list[list[str]]:
        """The cells of each row, whatever there is room for."""
        return [[cell.plain for cell in row] for row in self._rows]

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """The table, or the lists."""
        least = [self._least(at) for at in range(len(self._columns))]
        shown = list(range(len(self._columns)))
        movable = [(c.below, at) for at, c in enumerate(self._columns) if c.below is not None]
        for below, at in sorted(movable):
            if below != ALWAYS and _together(least, shown) <= options.max_width:
                break
            shown.remove(at)
        if self._title:
            yield as_text(self._title)
        if _together(least, shown) <= options.max_width:
            yield self._table(shown, least, options.max_width)
        else:
            yield from self._lists()

    def _least(self, at: int) -> int:
        """Characters that a column needs at least."""
        column = self._columns[at]
        texts = (column.name, *(line for row in self._rows for line in row[at].plain.split("\n")))
        longest = max(map(cell_len, texts))
        return longest if column.wraps is None else min(longest, column.wraps)

    def _table(self, shown: Sequence[int], least: Sequence[int], width: int) -> Table:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for at in shown:
            column = self._columns[at]
            table.add_column(
                as_text(column.name),
                justify="right" if column.right else "left",
                no_wrap=column.wraps is None,
                min_width=least[at],
                width=least[at] if column.wraps is None else None,
                overflow="fold",
            )
        moved = [at for at in range(len(self._columns)) if at not in shown]
        main = next((at for at in shown if self._columns[at].wraps is not None), shown[0])
        room = width - _together(least, shown) + least[main]
        for row in self._rows:
            lines = _lines([self._called(row, at) for at in moved if _says(row[at])], room)
            below = [Text(line, style="dim") for line in lines]
            texts = {at: row[at] for at in shown}
            texts[main] = Text("\n").join([row[main], *below])
            table.add_row(*texts.values())
        return table

    def _called(self, row: Sequence[Text], at: int) -> str:
        """``latency: 51.2 µs [50.9, 51.6 µs]``."""
        return f"{self._columns[at].name.partition(' [')[0]}: {row[at].plain}"

    def _lists(self) -> RenderResult:
        for row in self._rows:
            yield Text("")
            for column, cell in zip(self._columns, row, strict=True):
                if _says(cell):
                    name = f"{column.name}: " if column.name else ""
                    yield Text(overflow="fold").append(as_text(name)).append(cell)


def _together(least: Sequence[int], shown: Sequence[int]) -> int:
    """Width of a table of these columns, each as narrow as it may be."""
    return sum(least[at] for at in shown) + _BETWEEN * (len(shown) - 1) + _EDGES


def _says(cell: Text) -> bool:
    return cell.plain not in ("", MISSING)


def _lines(parts: Sequence[str], room: int) -> list[str]:
    """Parts in as few lines as they fill one after another, none of them broken."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1]) + 2 + cell_len(part) <= room:
            lines[-1] += f"; {part}"
        else:
            lines.append(part)
    return lines
