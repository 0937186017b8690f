"""Takes raw samples of old runs out of a store: what they say stays, as values with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update

from db.reader import StoreReader
from db.records import RunLease
from db.removal import old_runs
from db.schema import BlockRow, BlockSampleRow, MeasurementRow, TrialRow
from db.store import Store

_ROW_BYTES = 96  # of a sample of a block with its indexes, about


@dataclass(frozen=True, slots=True)
class Prunable:
    """Raw samples that can go. runs: names of those that have any. size: in bytes, about."""

    runs: tuple[str, ...]
    size: int


IsGone = Callable[[RunLease, datetime], bool]


def prunable(store: StoreReader, before: datetime, is_gone: IsGone) -> Prunable:
    """What runs that ended before a moment have of raw samples."""
    sizes = {}
    for run in old_runs(store, before, is_gone):
        with store.reading() as session:
            rounds = session.scalar(
                select(func.count())
                .select_from(BlockSampleRow)
                .join(BlockRow, BlockRow.id == BlockSampleRow.block_id)
                .where(BlockRow.run == run.name)
            )
            raw = session.scalar(
                select(func.sum(func.length(MeasurementRow.samples)))
                .join(TrialRow, TrialRow.id == MeasurementRow.trial_id)
                .where(TrialRow.run == run.name)
            )
        if size := _ROW_BYTES * (rounds or 0) + (raw or 0):
            sizes[run.name] = int(size)
    return Prunable(tuple(sizes), sum(sizes.values()))


def prune(store: Store, found: Prunable, before: datetime, is_gone: IsGone) -> None:
    """Delete these samples, run by run, each in a transaction, and give the room back.

    A run that somebody works on by now stays as it is.
    """
    still = {run.name for run in old_runs(store, before, is_gone)}
    for name in (name for name in found.runs if name in still):
        trials = select(TrialRow.id).where(TrialRow.run == name)
        blocks = select(BlockRow.id).where(BlockRow.run == name)
        own = MeasurementRow.trial_id.in_(trials)
        with store.writing() as session:
            session.execute(delete(BlockSampleRow).where(BlockSampleRow.block_id.in_(blocks)))
            session.execute(delete(BlockRow).where(BlockRow.run == name))
            session.execute(update(MeasurementRow).where(own).values(samples=()))
    store.compact()
