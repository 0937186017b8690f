"""Predictions of trials: kept before these are measured, apart from what is measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import ColumnElement, delete, insert, select
from sqlalchemy.orm import Session

from db.reader import StoreReader
from db.schema import PredictionRow, TrialRow
from farm.measurement import Metric
from farm.prediction import Prediction


def predictions(store: StoreReader, trial_id: str) -> dict[Metric, Prediction]:
    """What was expected of a trial; empty for an unknown one."""
    with store.reading() as session:
        found = predictions_of(session, [PredictionRow.trial_id == trial_id])
    return found.get(trial_id, {})


def put_predictions(
    session: Session, trial_id: str, predictions: Mapping[Metric, Prediction], version: str
) -> None:
    """Add what is expected of a trial in place of what was.

    version: of the cost models; "" where the calibration is all there is.
    """
    row = PredictionRow
    session.execute(delete(row).where(row.trial_id == trial_id))
    rows = [
        {
            "trial_id": trial_id,
            "metric": metric,
            "value": found.value,
            "low": found.low,
            "high": found.high,
            "unit": found.unit,
            "basis": found.basis,
            "rows": found.rows,
            "version": version,
        }
        for metric, found in predictions.items()
    ]
    if rows:
        session.execute(insert(row), rows)


def predictions_of(
    session: Session, conditions: Iterable[ColumnElement[bool]]
) -> dict[str, dict[Metric, Prediction]]:
    """What was expected of trials, by their ids. conditions: on predictions and their trials."""
    row = PredictionRow
    query = (
        select(
            row.trial_id, row.metric, row.value, row.low, row.high, row.unit, row.basis, row.rows
        )
        .join(TrialRow, TrialRow.id == row.trial_id)
        .where(*conditions)
        .order_by(row.trial_id, row.metric)
    )
    found: dict[str, dict[Metric, Prediction]] = {}
    for trial, metric, value, low, high, unit, basis, rows in session.execute(query):
        found.setdefault(trial, {})[metric] = Prediction(value, low, high, unit, basis, rows)
    return found
