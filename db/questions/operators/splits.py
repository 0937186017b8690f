"""What planning reads of pipelines that ran: each part's share of a run is in their trials."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from db.reader import StoreReader
from db.schema import CandidateRow, ModelRow, RunRow, TrialRow
from farm.measurement import Outcome

_MOST_TRIALS = 200  # of a machine, the newest
_HAS_SPLIT = '%"split": {%'  # as ``tuner.runs.record.details`` writes it


@dataclass(frozen=True, slots=True)
class SplitTrial:
    """A trial of a pipeline. candidate, details: JSON texts, as the store has them."""

    model_sha256: str
    model_details: str
    candidate: str
    details: str


def split_trials(store: StoreReader, machine_id: str) -> tuple[SplitTrial, ...]:
    """Pipelines that ran on a machine and told what their parts take, the newest first."""
    query = (
        select(ModelRow.sha256, ModelRow.details, CandidateRow.json, TrialRow.details)
        .select_from(TrialRow)
        .join(RunRow, RunRow.name == TrialRow.run)
        .join(ModelRow, ModelRow.sha256 == RunRow.model_sha256)
        .join(CandidateRow, CandidateRow.id == TrialRow.candidate_id)
        .where(
            TrialRow.machine_id == machine_id,
            TrialRow.outcome == Outcome.OK,
            TrialRow.details.like(_HAS_SPLIT),
        )
        .order_by(TrialRow.created_at.desc(), TrialRow.id)
        .limit(_MOST_TRIALS)
    )
    with store.reading() as session:
        return tuple(SplitTrial(*row) for row in session.execute(query).all())
