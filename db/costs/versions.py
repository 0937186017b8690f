"""Versions of cost models: what is kept of one, how many are, and which is the newest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from db.reader import StoreReader, columns
from db.records import RunKind, RunStatus
from db.schema import CostModelRow, RunRow

_MOST_OPEN = 8  # runs that may yet be resumed, the newest: what they began with stays


@dataclass(frozen=True, slots=True)
class CostModelRecord:
    """A version of a device's cost models.

    format: of ``content``; a farm reads no other than its own. trials, kernels: that they were
    fitted to. fitted_to: what these were, as a hash: of the same ones no other version is made.
    report: JSON text; what the version says of itself. content: as the format says, never a
    pickle.
    """

    id: str
    device: str
    machine_id: str
    software_id: str
    created_at: datetime
    format: str
    trials: int
    kernels: int
    fitted_to: str
    report: str
    content: bytes


def newest_cost_model(
    store: StoreReader,
    device: str,
    machine_id: str,
    format_: str,
    until: datetime | None = None,
) -> CostModelRecord | None:
    """The newest version of a device's cost models on a machine, in a format; None without any.

    until: only what was there then counts.
    """
    row = CostModelRow
    query = (
        columns(row, CostModelRecord)
        .where(row.device == device, row.machine_id == machine_id, row.format == format_)
        .order_by(row.created_at.desc(), row.id)
    )
    if until is not None:
        query = query.where(row.created_at <= until)
    with store.reading() as session:
        found = session.execute(query.limit(1)).first()
    return None if found is None else CostModelRecord(*found)


def keep_newest(session: Session, like: CostModelRecord, keep: int) -> None:
    """Delete all versions of a device, machine and format but so many, the newest.

    What the newest runs that did not finish began with stays, too: they may be resumed.
    """
    row = CostModelRow
    own = (
        row.device == like.device,
        row.machine_id == like.machine_id,
        row.format == like.format,
    )
    newest = select(row.id).where(*own).order_by(row.created_at.desc(), row.id).limit(keep)
    kept = {*session.scalars(newest), *_begun_with(session, own)}
    session.execute(delete(row).where(*own, row.id.not_in(kept)))


def _begun_with(session: Session, own: tuple[ColumnElement[bool], ...]) -> Iterator[str]:
    """The versions that open runs use, each the newest of these when the run began."""
    row = CostModelRow
    is_open = (RunRow.kind == RunKind.TUNE, RunRow.status != RunStatus.FINISHED)
    begun = select(RunRow.created_at).where(*is_open).order_by(RunRow.created_at.desc())
    for moment in session.scalars(begun.limit(_MOST_OPEN)).all():
        of_then = select(row.id).where(*own, row.created_at <= moment)
        found = session.scalar(of_then.order_by(row.created_at.desc(), row.id).limit(1))
        if found is not None:
            yield found
