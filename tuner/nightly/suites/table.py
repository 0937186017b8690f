"""A table of a suite file: its values by key, each of the type that is expected there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from farm.errors import OptionError
from farm.text import did_you_mean, printable
from tuner.nightly.suites.lines import Keys, Lines


@dataclass(frozen=True, slots=True)
class Table:
    """One table. file: as it was named. at: its keys from the top. values: by key.

    Whatever is wrong is an OptionError that names file and line.
    """

    file: Path
    lines: Lines
    at: Keys
    values: Mapping[str, Any]

    def error(self, sentence: str, *keys: str | int) -> OptionError:
        """What is wrong with the value of a key, or with the table."""
        return OptionError(f"{self.file}, line {self.lines[(*self.at, *keys)]}: {sentence}")

    @property
    def line(self) -> int:
        """On which it begins, from 1 on."""
        return self.lines[self.at]

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return key in self.values

    def only(self, what: str, known: Collection[str]) -> None:
        """Raise OptionError for a key that is not known. what: the table is."""
        for key in self.values:
            if key not in known:
                raise self.error(
                    f"{what} has no key '{key}'. {did_you_mean(key, known)}"
                    f"Keys: {', '.join(known)}.",
                    key,
                )

    def text(self, key: str, example: str, default: str = "") -> str:
        """A text that is not empty and can be seen. example: one, for the message."""
        if not self.has(key):
            return default
        value = self.values[key]
        if not _is_text(value):
            wanted = f"{key} takes a text, as in {key} = {example}"
            raise self.error(f"{wanted}, got {_said(value)}.", key)
        return str(value)

    def texts(self, key: str, example: str) -> tuple[str, ...]:
        """A list of texts, one at least; empty where the key is not there."""
        if not self.has(key):
            return ()
        value = self.values[key]
        wanted = f"{key} takes a list of texts, as in {key} = {example}"
        if not (isinstance(value, list) and value):
            raise self.error(f"{wanted}, got {_said(value)}.", key)
        for each in value:
            if not _is_text(each):
                raise self.error(f"{wanted}, got {_said(each)} in it.", key)
        return tuple(value)

    def count(self, key: str, least: int) -> int | None:
        """A whole number of at least so much; None where the key is not there."""
        if not self.has(key):
            return None
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.error(
                f"{key} takes a whole number from {least} on, got {_said(value)}.", key
            )
        return value

    def tables(self, key: str) -> Iterator[Table]:
        """The tables of a list, as ``[[key]]`` begins them."""
        value = self.values.get(key, [])
        if not (isinstance(value, list) and all(isinstance(each, dict) for each in value)):
            raise self.error(f"{key} is a list of tables: begin each with [[{key}]].", key)
        for number, each in enumerate(value):
            yield Table(self.file, self.lines, (*self.at, key, number), each)

    def table(self, key: str) -> Table:
        """The table of a key; an empty one where it is not there."""
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.error(f"{key} is a table, got {_said(value)}.", key)
        return Table(self.file, self.lines, (*self.at, key), value)

    def one_of(self, key: str, name: str, known: Sequence[str], what: str) -> str:
        """A name that is known. what: it names, for the message."""
        if name not in known:
            raise self.error(
                f"unknown {what} '{name}'. {did_you_mean(name, known)}Known: {', '.join(known)}.",
                key,
            )
        return name


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.isprintable()


def _said(value: object) -> str:
    """``60``, ``'text'``; of what may be long, its type alone."""
    if isinstance(value, str):
        return f"'{printable(value)}'" if value.strip() else "an empty text"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return "a table" if isinstance(value, dict) else "something else"
