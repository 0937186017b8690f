"""How rows can be written. A new format is a member here, and a module ``reports.export.as_NAME``.

Such a module has a function ``export`` that is an ``Exporter``; it is imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TypeAlias, cast

from farm.errors import OptionError

Exporter: TypeAlias = (
    "Callable[[Sequence[str], Iterable[Sequence[object]]], Iterator[str] | Iterator[bytes]]"
)
"""Column names and rows -> a text or a file in parts, as the rows come."""


class Format(StrEnum):
    """How rows are written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JUNIT = "junit"
    MARKDOWN = "markdown"
    PARQUET = "parquet"

    @property
    def ending(self) -> str:
        """What names of files in this format most often end with."""
        return _ENDINGS.get(self, f".{self}")

    @property
    def is_text(self) -> bool:
        """Whether a terminal can show it."""
        return self is not Format.PARQUET


_ENDINGS = {Format.MARKDOWN: ".md", Format.TABLE: ".txt", Format.JUNIT: ".xml"}


def format_of(file: Path) -> Format:
    """What the ending of a file's name says. Raises OptionError: it says nothing."""
    for each in Format:
        if each.ending == file.suffix.lower():
            return each
    raise OptionError(
        f"The name of {file} does not say how rows are written. Let it end with "
        f"{', '.join(each.ending for each in Format)}, or give --format."
    )


def exporter(chosen: Format) -> Exporter:
    """What writes a format other than a table.

    Raises OptionError: the format needs a package that is not installed.
    """
    return cast("Exporter", import_module(f"reports.export.as_{chosen}").export)
