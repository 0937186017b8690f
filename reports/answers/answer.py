"""What a question's answer is, whatever it is written as."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from reports.tables.layout import Rows

Cells = Iterable[Sequence[object]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The same for people and for programs.

    table, lines: for people, with units. columns, rows: for programs, in seconds, bytes and
    joules; rows are made when they are asked for, and once.
    """

    table: Rows
    lines: Sequence[str]
    columns: Sequence[str]
    rows: Cells


def answer(
    table: Rows, records: Sequence[Any], record: type[Any], lines: Sequence[str], nothing: str
) -> Answer:
    """The answer whose rows are records.

    lines: below the table. nothing: what is said where there are no records.
    """
    columns = [field.name for field in fields(record)]
    return Answer(table, lines if records else [nothing], columns, map(astuple, records))
