"""Environments: a table, lines, objects for programs, and the progress of an install."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from farm.text import printable
from farm.units import Bytes, format_bytes
from reports.rows import Json, dump
from reports.tables.layout import Column, Rows
from workers.environments.installed import Installed, State

_STYLES = {"installed": "green", "broken": "yellow"}


def environments_table(rows: Sequence[State]) -> Rows:
    """What each gives, whether it is installed, and what it takes on disk."""
    table = Rows(
        [
            Column("environment"),
            Column("description", wraps=24),
            Column("status"),
            Column("engines", wraps=20, below=1),
            Column("size"),
        ]
    )
    for each in rows:
        status = Text(each.status, style=_STYLES.get(each.status, ""))
        size = format_bytes(each.size) if each.installed else ""
        engines = _engines(each)
        table.add(each.environment.name, each.environment.description, status, engines, size)
    return table


def environments_json(rows: Sequence[State]) -> list[Json]:
    """One object per environment. Bytes."""
    return [_object(each) for each in rows]


def installed_json(found: Installed) -> str:
    """The object that ``farm devices install --json`` prints."""
    return dump(_object(State(found.environment, found, found.size)))


def removed_json(found: Installed) -> str:
    """The object that ``farm devices remove --json`` prints: what it is from now on."""
    return dump(_object(State(found.environment, None, Bytes(0))))


def installed_line(found: Installed) -> str:
    """What was installed, and for what."""
    engines = ", ".join(found.environment.engines)
    by_name = found.environment.by_name_only
    return (
        f"Environment {found.environment.name} is installed, {format_bytes(found.size)}: "
        f"{engines} now runs in it{' where it is named' if by_name else ''}."
    )


def removed_line(found: Installed) -> str:
    """What was removed."""
    return f"Environment {found.environment.name} is removed."


def staying_lines(rows: Sequence[State], kept: int = 0) -> list[str]:
    """What ``farm clean`` never removes, and how it goes. kept: artifacts of nights."""
    lines = [
        f"Environment {each.environment.name} stays, {format_bytes(each.size)}: "
        f"`farm devices remove {each.environment.name}` removes it."
        for each in rows
        if each.installed
    ]
    if kept:
        lines.append(f"Artifacts that nights run again stay, {format_bytes(kept)}.")
    return lines


class InstallProgress:
    """Shows what an install does: one line that changes on a terminal, all lines elsewhere.

    console: on standard error.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._draws = console.is_terminal and not console.is_dumb_terminal
        self._status = console.status("")

    def __enter__(self) -> Self:
        """Start drawing."""
        if self._draws:
            self._status.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        if self._draws:
            self._status.stop()

    def __call__(self, line: str) -> None:
        """Show one line."""
        text = escape(printable(line.strip()))
        if self._draws:
            self._status.update(text[: max(1, self._console.width - 4)])
        elif text:
            self._console.print(text, highlight=False, soft_wrap=True)


def _engines(each: State) -> str:
    """Its engines, marked where they run in it only by its name."""
    named = " (by name)" if each.environment.by_name_only else ""
    return ", ".join(each.environment.engines) + named


def _object(each: State) -> Json:
    installed, environment = each.installed, each.environment
    return {
        "environment": environment.name,
        "description": environment.description,
        "status": each.status,
        "engines": list(environment.engines),
        "by_name_only": environment.by_name_only,
        "reason": installed.broken if installed else environment.unsuited,
        "place": str(installed.place) if installed else None,
        "bytes": int(each.size) if installed else None,
        "versions": dict(installed.versions) if installed else None,
    }
