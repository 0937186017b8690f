"""Removing runs from a store, with everything that hangs on them and on nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Table, delete, func, or_, select
from sqlalchemy.orm import Session

from db.leases import lease_of
from db.reader import StoreReader, store_time
from db.records import RunLease
from db.schema import (
    Base,
    BlockRow,
    BlockSampleRow,
    MeasurementRow,
    OperatorProfileRow,
    RunLeaseRow,
    RunRow,
    TrialRow,
)

_ROW_BYTES = 128  # of names, numbers and indexes, about


@dataclass(frozen=True, slots=True)
class OldRun:
    """A run that may be removed. size: bytes of what hangs on it, about."""

    name: str
    trials: int
    size: int


def old_runs(
    store: StoreReader, before: datetime, is_gone: Callable[[RunLease, datetime], bool]
) -> tuple[OldRun, ...]:
    """Runs that were begun, and have ended, before a moment; the oldest first.

    One that a process works on is not among them, whatever its status. One whose process was
    killed has ended with that process's last sign of life.

    is_gone: whether the holder of a lease is gone, by the store's time.
    """
    ended = func.coalesce(RunRow.finished_at, RunLeaseRow.renewed_at, RunRow.created_at)
    query = (
        select(RunRow.name)
        .outerjoin(RunLeaseRow, RunLeaseRow.run == RunRow.name)
        .where(ended < before)
        .order_by(RunRow.created_at, RunRow.name)
    )
    with store.reading() as session:
        names = session.scalars(query).all()
        return tuple(
            _old_run(session, name)
            for name in names
            if living_lease(session, name, is_gone) is None
        )


def living_lease(
    session: Session, run: str, is_gone: Callable[[RunLease, datetime], bool]
) -> RunLease | None:
    """The lease of the process that works on a run; None where none does."""
    lease = lease_of(session, run)
    return None if lease is None or is_gone(lease, store_time(session)) else lease


def remove_run(session: Session, name: str) -> None:
    """Delete a run, its trials, blocks and whatever else has a key of theirs.

    Models, machines, software, candidates and artifacts stay: other runs may have them, too.
    """
    for table in reversed(Base.metadata.sorted_tables):
        if conditions := list(hanging_on(table, name)):
            session.execute(delete(table).where(or_(*conditions)))
    session.execute(delete(RunRow).where(RunRow.name == name))


def hanging_on(table: Table, name: str) -> Iterator[ColumnElement[bool]]:
    """What holds for rows that point to a run, or to rows that do."""
    for key in table.foreign_keys:
        target = key.column.table
        if target is RunRow.__table__:
            yield key.parent == name
        elif isinstance(target, Table):
            for condition in hanging_on(target, name):
                yield key.parent.in_(select(key.column).where(condition))


def _old_run(session: Session, name: str) -> OldRun:
    trials = select(TrialRow.id).where(TrialRow.run == name)
    blocks = select(BlockRow.id).where(BlockRow.run == name)
    count, text = session.execute(
        select(func.count(), func.sum(func.length(TrialRow.details))).where(TrialRow.run == name)
    ).one()
    values, samples = session.execute(
        select(func.count(), func.sum(func.length(MeasurementRow.samples))).where(
            MeasurementRow.trial_id.in_(trials)
        )
    ).one()
    kernels = session.scalar(
        select(func.count())
        .where(OperatorProfileRow.trial_id.in_(trials))
        .select_from(OperatorProfileRow)
    )
    rounds = session.scalar(
        select(func.count()).where(BlockSampleRow.block_id.in_(blocks)).select_from(BlockSampleRow)
    )
    rows = 1 + count + values + (kernels or 0) + (rounds or 0)
    return OldRun(name, count, int(_ROW_BYTES * rows + (text or 0) + (samples or 0)))
