"""Tables of recorded runs: every candidate with its outcome, its accuracy and all its seconds.

One JSON file per model, gzipped where its name ends in ``.gz``. A table of ``cuts`` also keeps
what predictions rest on: the calibration of the device and the kernels of the whole model at each
place. So what is said about predictions can be computed again without the machine.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farm.candidate import Candidate
from farm.candidate.candidate import canonical, from_json
from farm.errors import CandidateError, InputError
from farm.measurement import Outcome

Matrix = NDArray[np.float64]

KINDS = ("cuts", "configurations")
_FORMAT = 1
_DIGITS = 5  # of recorded seconds


class TableError(InputError):
    """A file is no table of recorded runs."""


@dataclass(frozen=True, slots=True)
class Row:
    """One candidate.

    accuracy: as the table says, None where nothing was computed. seconds: of one run, one value
    for each block, in the order of the blocks; none where the outcome is not ok. message: why it
    is not.
    """

    candidate: Candidate
    outcome: Outcome
    accuracy: float | None
    seconds: tuple[float, ...]
    message: str = ""


@dataclass(frozen=True, slots=True)
class KernelRow:
    """Operators that an engine runs as one kernel, in the model's order, and its seconds."""

    operators: tuple[str, ...]
    seconds: float


Kernels = Mapping[str, tuple[KernelRow, ...]]


@dataclass(frozen=True, slots=True)
class Basis:
    """What predictions for a table rest on.

    device: that was calibrated. constants, borders: its calibration, see
    ``farm.costs.calibration``. kernels: of the whole model, by the place's name. prepared: those
    of the graph that plans with a package are cut from, see ``farm.artifact.parts``.
    """

    device: str
    constants: str
    borders: str
    kernels: Kernels
    prepared: Kernels


@dataclass(frozen=True, slots=True)
class Table:
    """What was recorded of one model.

    kind: ``cuts`` or ``configurations``. accuracy: what that of a row is. possible: candidates
    that there would have been, where time did not suffice for all. basis: of predictions, where
    something is predicted.
    """

    kind: str
    model: str
    sha256: str
    machine: Mapping[str, Any]
    software: Mapping[str, str]
    accuracy: str
    possible: int
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    basis: Basis | None = None

    @property
    def ok(self) -> tuple[Row, ...]:
        """The rows that have seconds."""
        return tuple(row for row in self.rows if row.outcome is Outcome.OK)

    def seconds(self) -> Matrix:
        """Of the rows that are ok, [rows, blocks].

        Raises TableError: they have not as many blocks as each other, or there are none.
        """
        lengths = {len(row.seconds) for row in self.ok}
        if len(lengths) != 1:
            found = ", ".join(map(str, sorted(lengths))) or "none"
            raise TableError(
                f"The rows of the table of {self.model} do not have the same blocks (numbers of "
                f"blocks: {found}); record it again."
            )
        return np.array([row.seconds for row in self.ok])


def steady(seconds: Matrix) -> Matrix:
    """Seconds without the drift of the machine, [rows, blocks].

    What slows a block down slows all of its rows: each is divided by the block's own factor, the
    median over the rows of their seconds over their medians.
    """
    medians = np.median(seconds, axis=1, keepdims=True)
    factors: Matrix = np.median(seconds / medians, axis=0, keepdims=True)
    return seconds / factors


def write_table(table: Table, path: Path) -> None:
    """Write a table. Raises OSError."""
    text = json.dumps(_plain(table), separators=(",", ":"), sort_keys=True) + "\n"
    content = text.encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    path.write_bytes(content)


def read_table(path: Path, kind: str = "") -> Table:
    """Read a table. kind: that it must be of, if any.

    Raises TableError: the file cannot be read, or is no table of this kind.
    """
    plain = _content(path)
    if plain.get("format") != _FORMAT or plain.get("kind") not in KINDS:
        raise TableError(
            f"{path} is no table of recorded runs of format {_FORMAT}: its format is "
            f"{plain.get('format')!r} and its kind {plain.get('kind')!r}."
        )
    if kind and plain["kind"] != kind:
        raise TableError(f"{path} is a table of {plain['kind']}, and one of {kind} is needed.")
    try:
        return _parsed(plain)
    except CandidateError as error:
        raise TableError(f"{path} has a row that cannot be used: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        what = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise TableError(f"{path} is a damaged table: {what}. Record it again.") from None


def _content(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        plain = json.loads(content)
    except OSError as error:
        raise TableError(f"Cannot read table {path}: {error.strerror or error}.") from None
    except (ValueError, EOFError, zlib.error) as error:
        raise TableError(f"{path} is no table of recorded runs: {error}.") from None
    if not isinstance(plain, dict):
        raise TableError(f"{path} is no table of recorded runs: it is no JSON object.")
    return plain


def _plain(table: Table) -> dict[str, Any]:
    basis = table.basis
    return {
        "format": _FORMAT,
        "kind": table.kind,
        "model": table.model,
        "sha256": table.sha256,
        "machine": dict(table.machine),
        "software": dict(table.software),
        "accuracy": table.accuracy,
        "possible": table.possible,
        "notes": list(table.notes),
        "basis": basis and _basis_plain(basis),
        "rows": [_row_plain(row) for row in table.rows],
    }


def _basis_plain(basis: Basis) -> dict[str, Any]:
    return {
        "device": basis.device,
        "constants": basis.constants,
        "borders": basis.borders,
        "kernels": _kernels_plain(basis.kernels),
        "prepared": _kernels_plain(basis.prepared),
    }


def _kernels_plain(kernels: Kernels) -> dict[str, Any]:
    return {
        place: [[list(row.operators), _short(row.seconds)] for row in rows]
        for place, rows in kernels.items()
    }


def _row_plain(row: Row) -> dict[str, Any]:
    plain: dict[str, Any] = {"candidate": canonical(row.candidate), "outcome": str(row.outcome)}
    plain["accuracy"] = row.accuracy if row.accuracy is None else _short(row.accuracy)
    plain["seconds"] = [_short(each) for each in row.seconds]
    return plain | ({"message": row.message} if row.message else {})


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def _parsed(plain: Mapping[str, Any]) -> Table:
    basis = plain["basis"]
    return Table(
        plain["kind"],
        plain["model"],
        plain["sha256"],
        plain["machine"],
        plain["software"],
        plain["accuracy"],
        plain["possible"],
        tuple(_parsed_row(number, row) for number, row in enumerate(plain["rows"], 1)),
        tuple(plain["notes"]),
        None if basis is None else _parsed_basis(basis),
    )


def _parsed_basis(plain: Mapping[str, Any]) -> Basis:
    kernels, prepared = (_parsed_kernels(plain[name]) for name in ("kernels", "prepared"))
    return Basis(plain["device"], plain["constants"], plain["borders"], kernels, prepared)


def _parsed_kernels(plain: Mapping[str, Any]) -> Kernels:
    return {
        place: tuple(KernelRow(tuple(names), float(seconds)) for names, seconds in rows)
        for place, rows in plain.items()
    }


def _parsed_row(number: int, plain: Mapping[str, Any]) -> Row:
    """Raises CandidateError, KeyError, TypeError, ValueError."""
    candidate = from_json(json.dumps(plain["candidate"]), f"the candidate of row {number}")
    seconds = tuple(map(float, plain["seconds"]))
    outcome, accuracy = Outcome(plain["outcome"]), plain["accuracy"]
    if (outcome is Outcome.OK) is not bool(seconds) or not all(each > 0.0 for each in seconds):
        raise ValueError(
            f"row {number} is {outcome} and has {len(seconds)} seconds, which must be positive"
        )
    accuracy = None if accuracy is None else float(accuracy)
    return Row(candidate, outcome, accuracy, seconds, plain.get("message", ""))
