"""What ``farm clean`` found: a table for people, an object for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from farm.text import printable
from farm.units import Bytes, counted, format_bytes
from reports.machines.environments import environments_json
from reports.rows import Json, dump
from tuner.clean import Area, Clearable
from workers.environments.installed import State


def total(found: Sequence[Clearable]) -> Bytes:
    """Bytes of everything that can go."""
    return Bytes(sum(each.size for each in found))


def clean_table(found: Sequence[Clearable]) -> Table:
    """One row per kind of thing, with its size."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("what", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("where", overflow="fold")
    for each in found:
        about = "about " if each.area is Area.RUNS and each.count else ""
        in_use = f"  ({each.kept} in use)" if each.kept else ""
        table.add_row(
            f"{each.what}{in_use}",
            str(each.count),
            f"{about}{format_bytes(each.size)}",
            Text(printable(each.place)),
        )
    return table


def clean_line(found: Sequence[Clearable], *, removed: bool) -> str:
    """What was, or would be, removed; and what never is."""
    runs = sum(each.count for each in found if each.area is Area.RUNS)
    what = f"{format_bytes(total(found))}" + (f" and {counted(runs, 'run')}" if runs else "")
    if not any(each.count for each in found):
        return "There is nothing to remove."
    return f"{what} removed." if removed else f"{what} can be removed."


def clean_json(found: Sequence[Clearable], environments: Sequence[State], *, removed: bool) -> str:
    """The object that ``farm clean --json`` prints. Bytes throughout.

    environments: that are installed; they stay.
    """
    items: list[Json] = [
        {
            "area": str(each.area),
            "what": each.what,
            "place": each.place,
            "count": each.count,
            "bytes": each.size,
            "kept": each.kept,
        }
        for each in found
    ]
    return dump(
        {
            "items": items,
            "bytes": total(found),
            "removed": removed,
            "environments": environments_json(environments),
        }
    )
