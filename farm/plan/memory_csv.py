"""Reads memory problems from CSV files and writes their solutions.

Columns: ``id``, ``lower``, ``upper``, ``size``; a buffer is alive in the steps
``lower <= t < upper``. A solution has one more, ``offset``. Other columns are left out.
"""

from __future__ import annotations

import csv
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from farm.errors import PlanError
from farm.plan.memory_problem import UNALIGNED, Buffer, Problem
from farm.units import Bytes

_COLUMNS = ("id", "lower", "upper", "size")


def read_problem(
    path: Path, capacity: Bytes | None = None, alignment: Bytes = UNALIGNED
) -> Problem:
    """The problem in a CSV file.

    Raises PlanError, which names the row: a column or value that is missing, is not an integer or
    makes no sense, an id that is there twice, a buffer that is larger than the capacity.
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


def write_solution(path: Path, problem: Problem, offsets: Mapping[str, Bytes]) -> None:
    """Write a problem with an ``offset`` column: the whole file is there or none.

    offsets: of every buffer. Raises OSError: the place cannot be written.
    """
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*_COLUMNS, "offset"])
            for b in problem.buffers:
                writer.writerow([b.id, b.start, b.end, b.size, offsets[b.id]])
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Rows below the header with the number of their line, the header's being 1."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True, skipinitialspace=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise PlanError(
                    f"{path} has no column '{missing[0]}' in its first line; expected "
                    f"{', '.join(_COLUMNS)}."
                )
            for values in reader:
                yield reader.line_num, values
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PlanError(f"{path} is not a CSV file: {error}.") from error


def _buffer(place: str, values: Mapping[str, str]) -> Buffer:
    numbers = {}
    for name in _COLUMNS[1:]:
        try:
            numbers[name] = int(values[name])
        except ValueError:
            raise PlanError(f"{place}: {name} is '{values[name]}'; expected an integer.") from None
    try:
        return Buffer(values["id"], numbers["lower"], numbers["upper"], Bytes(numbers["size"]))
    except PlanError as error:
        raise PlanError(f"{place}: {error}") from error
