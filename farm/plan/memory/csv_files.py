"""Reads memory problems from CSV files and writes their solutions.

Columns: ``id``, ``lower``, ``upper``, ``size``; a buffer is alive in the steps
``lower <= t < upper``. A solution has one more, ``offset``. Other columns are left out.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from farm.errors import PlanError
from farm.plan.memory.problem import UNALIGNED, Buffer, Problem
from farm.units import Bytes

_COLUMNS = ("id", "lower", "upper", "size")
_INTEGER = re.compile(r"[+-]?([0-9]+)")
_MOST_DIGITS = 40


def read_problem(
    path: Path, capacity: Bytes | None = None, alignment: Bytes = UNALIGNED
) -> Problem:
    """The problem in a CSV file.

    Raises PlanError, which names the row: a column or value that is missing, is not an integer or
    makes no sense, more cells than columns, an id that is empty or there twice, a buffer that is
    larger than the capacity.
    """
    rows: dict[str, int] = {}
    buffers = []
    for row, values in _rows(path):
        buffer = _buffer(f"{path}, row {row}", values)
        if buffer.id in rows:
            raise PlanError(
                f"{path}, row {row}: the id '{buffer.id}' is already that of row "
                f"{rows[buffer.id]}; give each buffer its own."
            )
        if capacity is not None and buffer.size > capacity:
            raise PlanError(
                f"{path}, row {row}: buffer '{buffer.id}' alone has {buffer.size} bytes, "
                f"{buffer.size - capacity} more than the capacity of {capacity}."
            )
        rows[buffer.id] = row
        buffers.append(buffer)
    if not buffers:
        raise PlanError(f"{path} holds no buffers; expected a row for each below the header.")
    return Problem(tuple(buffers), alignment=alignment, capacity=capacity)


def solution_csv(problem: Problem, offsets: Mapping[str, Bytes]) -> str:
    """A problem with an ``offset`` column as CSV. offsets: of every buffer."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_COLUMNS, "offset"])
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    for b in problem.buffers:
        # Not every Python quotes a carriage return, which ends a line for its reader.
        chosen = quoted if "\r" in b.id else writer
        chosen.writerow([b.id, b.start, b.end, b.size, offsets[b.id]])
    return text.getvalue()


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Rows below the header with the number of their line, the header's being 1."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True, skipinitialspace=True)
            columns = list(reader.fieldnames or ())
            if missing := [name for name in _COLUMNS if name not in columns]:
                raise PlanError(
                    f"{path} has no column '{missing[0]}' in its first line; expected "
                    f"{', '.join(_COLUMNS)}."
                )
            if twice := [name for name in _COLUMNS if columns.count(name) > 1]:
                raise PlanError(
                    f"{path} has the column '{twice[0]}' twice in its first line; keep one."
                )
            for values in reader:
                if None in values:
                    raise PlanError(
                        f"{path}, row {reader.line_num}: there are more cells than the first "
                        f"line has columns, which are {len(columns)}."
                    )
                yield reader.line_num, values
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PlanError(f"{path} is not a CSV file: {error}.") from error


def _buffer(place: str, values: Mapping[str, str]) -> Buffer:
    numbers = {}
    for name in _COLUMNS[1:]:
        match = _INTEGER.fullmatch(values[name].strip())
        if match is None:
            raise PlanError(f"{place}: {name} is '{values[name]}'; expected an integer.")
        if len(match[1]) > _MOST_DIGITS:
            raise PlanError(
                f"{place}: {name} has {len(match[1])} digits; {_MOST_DIGITS} are the most."
            )
        numbers[name] = int(values[name])
    if not values["id"].strip() or "\0" in values["id"]:
        raise PlanError(f"{place}: the id is {values['id']!r}; expected a name.")
    try:
        return Buffer(values["id"], numbers["lower"], numbers["upper"], Bytes(numbers["size"]))
    except PlanError as error:
        raise PlanError(f"{place}: {error}") from error
