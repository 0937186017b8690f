"""How long trials took, beside how long one run of their candidates took."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from db.reader import StoreReader
from db.schema import CandidateRow, MeasurementRow, TrialRow
from farm.measurement import Metric, Outcome


@dataclass(frozen=True, slots=True)
class StoredEffort:
    """A trial that was ok. candidate: its label. latency: seconds. details: JSON text."""

    candidate: str
    latency: float
    details: str


def stored_efforts(
    store: StoreReader, device: str, machine_id: str, limit: int = 500
) -> tuple[StoredEffort, ...]:
    """Trials on a device of a machine, the newest first."""
    query = (
        select(CandidateRow.label, MeasurementRow.value, TrialRow.details)
        .join(CandidateRow, CandidateRow.id == TrialRow.candidate_id)
        .join(MeasurementRow, MeasurementRow.trial_id == TrialRow.id)
        .where(
            TrialRow.device == device,
            TrialRow.machine_id == machine_id,
            TrialRow.outcome == Outcome.OK,
            MeasurementRow.metric == Metric.LATENCY,
        )
        .order_by(TrialRow.created_at.desc(), TrialRow.id)
        .limit(limit)
    )
    with store.reading() as session:
        return tuple(StoredEffort(*row) for row in session.execute(query))
