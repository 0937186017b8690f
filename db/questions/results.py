"""The rows of ``farm results``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from db.costs.predictions import predictions_of
from db.reader import StoreReader, trial_conditions
from db.records import Result
from db.schema import CandidateRow, MeasurementRow, ModelRow, RunRow, TrialRow
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.prediction import Prediction

# Where a trial has one metric by several methods, a table shows the first of these.
_PREFERENCE = (Method.MEASURED, Method.EMULATED, Method.MODELLED, Method.PLANNED)
_SHOWN = (
    Metric.LATENCY,
    Metric.PEAK_MEMORY,
    Metric.ENERGY,
    Metric.ACCURACY,
    Metric.CPU_SECONDS,
    Metric.THROUGHPUT,
    Metric.FIRST_RESULT,
    Metric.ENERGY_WINDOW,
    Metric.IDLE_POWER,
)


def results(
    store: StoreReader,
    *,
    model: str | None = None,
    devices: Sequence[str] = (),
    run: str | None = None,
    outcome: Outcome | None = None,
    limit: int | None = None,
) -> tuple[Result, ...]:
    """One row per trial, newest first.

    model: its name, its SHA-256, or the beginning of that. devices: any of these; none for all.
    """
    conditions = trial_conditions(run=run, device=None, model=model, outcome=outcome)
    if devices:
        conditions.append(TrialRow.device.in_(devices))
    trials = (
        select(TrialRow, ModelRow.name, CandidateRow.label)
        .join(RunRow, RunRow.name == TrialRow.run)
        .join(ModelRow, ModelRow.sha256 == RunRow.model_sha256)
        .join(CandidateRow, CandidateRow.id == TrialRow.candidate_id)
        .where(*conditions)
        .order_by(TrialRow.created_at.desc(), TrialRow.id)
        .limit(limit)
    )
    with store.reading() as session:
        found = session.execute(trials).all()
        if limit is not None:  # else what is asked of trials says the same in fewer words
            conditions = [TrialRow.id.in_([trial.id for trial, *_ in found])]
        shown = preferred(session, (MeasurementRow.metric.in_(_SHOWN), *conditions))
        predicted = predictions_of(session, conditions)
        return tuple(
            _result(trial, name, label, shown.get(trial.id, {}), predicted.get(trial.id, {}))
            for trial, name, label in found
        )


def ran_with(details: str) -> str:
    """What else a trial ran with than the software and the compiler of its day; "" for nothing.

    It follows the candidate's label: in a night the last good state runs beside today's, and they
    may be one candidate.
    """
    if '"pinned"' not in details:  # of nearly all trials; some details are long
        return ""
    pinned = json.loads(details).get("pinned", {})
    environment = pinned.get("environment", "")
    text = f", environment {environment}" if environment else ""
    return text + (", as compiled before" if pinned.get("artifact") else "")


def preferred(
    session: Session, conditions: Sequence[ColumnElement[bool]]
) -> dict[str, dict[Metric, Measurement]]:
    """Measurements by trial and metric, without samples; where there are several, by one method.

    conditions: on measurements and their trials.
    """
    row = MeasurementRow
    measured = (
        select(row.trial_id, row.metric, row.value, row.method, row.low, row.high)
        .join(TrialRow, TrialRow.id == row.trial_id)
        .where(*conditions)
    )
    found: dict[str, dict[Metric, Measurement]] = {}
    for trial_id, metric, value, method, low, high in session.execute(measured):
        new = Measurement(metric, value, method, low, high)
        old = found.setdefault(trial_id, {}).setdefault(new.metric, new)
        if _PREFERENCE.index(new.method) < _PREFERENCE.index(old.method):
            found[trial_id][new.metric] = new
    return found


def _result(
    trial: TrialRow,
    model: str,
    label: str,
    measured: Mapping[Metric, Measurement],
    predicted: Mapping[Metric, Prediction],
) -> Result:
    return Result(
        trial=trial.id,
        run=trial.run,
        created_at=trial.created_at,
        model=model,
        device=trial.device,
        candidate=label + ran_with(trial.details),
        candidate_id=trial.candidate_id,
        phase=trial.phase,
        outcome=trial.outcome,
        message=trial.message,
        latency=measured.get(Metric.LATENCY),
        memory=measured.get(Metric.PEAK_MEMORY),
        energy=measured.get(Metric.ENERGY),
        accuracy=measured.get(Metric.ACCURACY),
        cpu=measured.get(Metric.CPU_SECONDS),
        throughput=measured.get(Metric.THROUGHPUT),
        load=measured.get(Metric.FIRST_RESULT),
        energy_window=measured.get(Metric.ENERGY_WINDOW),
        idle_power=measured.get(Metric.IDLE_POWER),
        predicted=predicted,
    )
