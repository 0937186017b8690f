"""What was done to a store, and whether it is whole, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from db.care.check import Finding
from db.care.merge import Merged
from db.care.prune import Prunable
from farm.units import Bytes, counted, format_bytes


def check_lines(place: str, found: Sequence[Finding]) -> list[str]:
    """Lines of ``farm store check``."""
    damages = [each for each in found if each.damage]
    lines = [f"{each.what} ({each.count:,})" for each in found]
    if damages:
        return [
            f"The store at {place} is damaged:",
            *lines,
            "Put a backup in its place, or save what can be read: farm store export FILE",
        ]
    return [f"The store at {place} is whole.", *lines]


def check_json(place: str, found: Sequence[Finding]) -> str:
    """The object of ``farm store check --json``."""
    rows = [{"what": f.what, "count": f.count, "damage": f.damage} for f in found]
    whole = not any(each.damage for each in found)
    return json.dumps({"store": place, "whole": whole, "findings": rows}, indent=2)


def prune_line(found: Prunable, *, removed: bool) -> str:
    """What goes, or went."""
    if not found.runs:
        return "There are no raw samples of runs that old."
    runs = counted(len(found.runs), "run")
    verb = "Removed" if removed else "There are"
    return f"{verb} raw samples of {runs}, about {format_bytes(Bytes(found.size))}."


def merged_line(merged: Merged, place: str, more: str = "") -> str:
    """What came from one store into another one."""
    left_out = "".join(_left_out(merged))
    if not (merged.runs or merged.nights or merged.changes or left_out):
        return f"{place} has all of it already; nothing was copied."
    parts = [counted(merged.runs, "run")]
    if merged.nights:
        parts.append(counted(merged.nights, "night"))
    line = f"Copied {' and '.join(parts)} to {place}{more}."
    if merged.changes:
        line += (
            f" Of {counted(merged.changes, 'change')} of level it has what became of them since."
        )
    if merged.renamed:
        names = ", ".join(f"{old} is {new} there" for old, new in merged.renamed.items())
        line += f" Of another machine with the same name: {names}."
    return f"{line}{left_out}"


def _left_out(merged: Merged) -> Iterator[str]:
    if merged.unread:
        yield f" The store is damaged: not all could be read of {', '.join(merged.unread)}."
    if merged.left_out:
        rows = counted(merged.left_out, "row")
        yield f" Left out, because what they point to is not there: {rows}."
