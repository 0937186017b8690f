"""Rankings: which value is the best of its kind, known without looking at all the others.

A value takes part in the ranking of its model, device, machine, metric and method for as long as
its trial is ok. An index has each ranking in order, so that its best is one step away. Nothing is
computed beforehand: what is written here says where a value belongs, never how it compares.
"""

from __future__ import annotations

from sqlalchemy import and_, select, update
from sqlalchemy.orm import Session

from db.connection.engine import insert_into
from db.records import Phase
from db.schema import MeasurementRow, RankingRow, RunRow, TrialRow
from farm.measurement import Outcome

_UNSEEN = TrialRow.phase != Phase.SEARCH


def rank_values(session: Session, trial_id: str) -> None:
    """Put the values of a trial into their rankings; those of one that is not ok into none."""
    _add_rankings(session, trial_id)
    ranking, value = RankingRow, MeasurementRow
    own = (
        select(ranking.id)
        .join(
            TrialRow,
            and_(
                TrialRow.device == ranking.device,
                TrialRow.machine_id == ranking.machine_id,
                ranking.unseen == _UNSEEN,
            ),
        )
        .join(
            RunRow,
            and_(RunRow.name == TrialRow.run, RunRow.model_sha256 == ranking.model_sha256),
        )
        .where(
            TrialRow.id == trial_id,
            TrialRow.outcome == Outcome.OK,
            ranking.metric == value.metric,
            ranking.method == value.method,
        )
        .correlate(value)
        .scalar_subquery()
    )
    session.execute(
        update(value).where(value.trial_id == trial_id).values(ranking_id=own),
        execution_options={"synchronize_session": False},
    )


def _add_rankings(session: Session, trial_id: str) -> None:
    """Add the rankings that a trial's values are the first of."""
    value = MeasurementRow
    needed = (
        select(
            RunRow.model_sha256,
            TrialRow.device,
            TrialRow.machine_id,
            _UNSEEN,
            value.metric,
            value.method,
        )
        .select_from(value)
        .join(TrialRow, TrialRow.id == value.trial_id)
        .join(RunRow, RunRow.name == TrialRow.run)
        .where(value.trial_id == trial_id, TrialRow.outcome == Outcome.OK)
    )
    names = ["model_sha256", "device", "machine_id", "unseen", "metric", "method"]
    added = insert_into(session, RankingRow).from_select(names, needed)
    session.execute(added.on_conflict_do_nothing())
