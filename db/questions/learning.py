"""What cost models learn from: what whole models took on a device of a machine."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select

from db.reader import StoreReader
from db.schema import (
    BlockRow,
    BlockSampleRow,
    CandidateRow,
    MeasurementRow,
    ModelRow,
    RunRow,
    TrialRow,
)
from farm.measurement import Method, Metric, Outcome

MOST_TRIALS = 100_000
"""That are read, the newest: what older software took says less."""
_PORTION = 500  # rows of the database that are held at a time


@dataclass(frozen=True, slots=True)
class WholeTrial:
    """What a candidate of a model took, or that it failed.

    candidate: its id. blocks: in which it ran and that were kept. seconds, cpu_seconds: the mean
    of these; without blocks what the trial itself measured. sentinel: the mean of the same blocks'
    sentinel, which tells how busy the machine was with other things; None without blocks.
    peak_bytes: of its process; None where nothing was measured. arena_bytes: planned, of packages.
    joules: by a counter.
    """

    trial: str
    model_sha256: str
    candidate: str
    outcome: Outcome
    blocks: int
    seconds: float | None
    sentinel: float | None
    cpu_seconds: float | None
    peak_bytes: float | None
    arena_bytes: float | None
    joules: float | None


def whole_trials(
    store: StoreReader,
    device: str,
    machine_id: str,
    *,
    model_sha256: str | None = None,
    until: datetime | None = None,
    limit: int = MOST_TRIALS,
) -> tuple[WholeTrial, ...]:
    """Trials that ended on a device of a machine, the newest first.

    model_sha256: of this model alone. until: that were begun before. limit: how many at most.
    """
    query = _trials(device, machine_id, model_sha256).limit(limit)
    if until is not None:
        query = query.where(TrialRow.created_at < until)
    with store.reading() as session:
        rows = session.execute(query.execution_options(yield_per=_PORTION))
        return tuple(WholeTrial(*row) for row in rows)


def candidate_texts(store: StoreReader, ids: Collection[str]) -> dict[str, str]:
    """The JSON texts of candidates by their ids."""
    found: dict[str, str] = {}
    names = sorted(set(ids))
    with store.reading() as session:
        for at in range(0, len(names), _PORTION):
            some = CandidateRow.id.in_(names[at : at + _PORTION])
            found |= dict(
                session.execute(select(CandidateRow.id, CandidateRow.json).where(some)).all()
            )
    return found


def model_texts(store: StoreReader, sha256s: Collection[str]) -> dict[str, tuple[str, int, str]]:
    """Name, multiply-accumulates and details of models by their SHA-256."""
    row = ModelRow
    query = select(row.sha256, row.name, row.macs, row.details).where(row.sha256.in_(set(sha256s)))
    with store.reading() as session:
        return {sha: (name, macs, details) for sha, name, macs, details in session.execute(query)}


def _trials(device: str, machine_id: str, model_sha256: str | None) -> Select[Any]:
    told = TrialRow.outcome.is_not(None) & (TrialRow.outcome != Outcome.INFRASTRUCTURE_ERROR)
    query = (
        select(TrialRow.id, RunRow.model_sha256, TrialRow.candidate_id, TrialRow.outcome)
        .join(RunRow, RunRow.name == TrialRow.run)
        .where(TrialRow.device == device, TrialRow.machine_id == machine_id, told)
        .order_by(TrialRow.created_at.desc(), TrialRow.id)
    )
    if model_sha256 is not None:
        query = query.where(RunRow.model_sha256 == model_sha256)
    sample, measured = BlockSampleRow, Method.MEASURED
    return query.add_columns(
        _of_blocks(func.count()),
        func.coalesce(_of_blocks(func.avg(sample.seconds)), _measured(Metric.LATENCY)),
        _of_blocks(func.avg(BlockRow.sentinel_seconds)),
        func.coalesce(_of_blocks(func.avg(sample.cpu_seconds)), _measured(Metric.CPU_SECONDS)),
        _measured(Metric.PEAK_MEMORY, measured),
        _measured(Metric.ARENA),
        _measured(Metric.ENERGY, measured),
    )


def _of_blocks(value: Any) -> Any:  # noqa: ANN401  (parts of a query)
    """An aggregate over the samples of a trial in blocks that were kept."""
    return (
        select(value)
        .select_from(BlockSampleRow)
        .join(BlockRow, BlockRow.id == BlockSampleRow.block_id)
        .where(BlockSampleRow.trial_id == TrialRow.id, BlockRow.kept)
        .correlate(TrialRow)
        .scalar_subquery()
    )


def _measured(metric: Metric, method: Method | None = None) -> Any:  # noqa: ANN401
    """The value of one of a trial's metrics."""
    row = MeasurementRow
    query = select(row.value).where(row.trial_id == TrialRow.id, row.metric == metric)
    if method is not None:
        query = query.where(row.method == method)
    return query.order_by(row.method).limit(1).correlate(TrialRow).scalar_subquery()
