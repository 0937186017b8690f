"""On which line of a TOML text something stands, which its parser does not tell."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Keys = tuple[str | int, ...]
"""Keys, and positions in lists from 0 on: ``("case", 1, "model")``."""


class Lines:
    """Lines of the keys and tables of a TOML text.

    text: valid TOML. Every statement is one by itself, so that a statement ends with the first
    line with which it can be parsed, however many lines its value has.
    """

    def __init__(self, text: str) -> None:
        self._lines: dict[Keys, int] = {}
        table: Keys = ()
        for number, statement in _statements(text.replace("\r\n", "\n").split("\n")):
            if statement.lstrip().startswith("["):
                table = self._table(statement)
                self._lines.setdefault(table, number)
            else:
                for path in _paths(tomllib.loads(statement)):
                    self._lines.setdefault((*table, *path), number)

    def __getitem__(self, path: Keys) -> int:
        """The line of it, from 1 on; where it has none, that of what it is part of."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _table(self, header: str) -> Keys:
        """The table that a header begins; in a list of tables, the newest one."""
        found: Keys = ()
        inner: Any = tomllib.loads(header)
        while inner:
            if isinstance(inner, list):
                (inner,) = inner
                found = (*found, self._count(found))
                continue
            ((key, inner),) = inner.items()
            found = (*found, key)
            if isinstance(inner, Mapping) and (*found, 0) in self._lines:
                found = (*found, self._count(found) - 1)
        return found

    def _count(self, path: Keys) -> int:
        """How many tables of a list there are so far."""
        count = 0
        while (*path, count) in self._lines:
            count += 1
        return count


def _statements(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Each statement with the number of its first line."""
    begun = 0
    for end in range(1, len(lines) + 1):
        statement = "\n".join(lines[begun:end])
        try:
            said = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        if said:
            yield begun + 1, statement
        begun = end


def _paths(value: object) -> Iterator[Keys]:
    """What is within a value, and all that is within that."""
    if isinstance(value, Mapping):
        items: Iterator[tuple[str | int, object]] = iter(value.items())
    elif isinstance(value, list):
        items = iter(enumerate(value))
    else:
        return
    for key, inner in items:
        yield (key,)
        yield from ((key, *path) for path in _paths(inner))
