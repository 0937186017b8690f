"""What planning reads of a store, once: the newest calibrations, and the profiles of operators."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, select

from db.reader import StoreReader, columns
from db.records import CalibrationRecord
from db.schema import (
    CalibrationRow,
    CandidateRow,
    MeasurementRow,
    ModelRow,
    OperatorProfileRow,
    RunRow,
    TrialRow,
)
from farm.measurement import Method, Metric, Outcome
from farm.profile.kernels import OperatorProfile

_IS_LATENCY = and_(
    MeasurementRow.trial_id == TrialRow.id,
    MeasurementRow.metric == Metric.LATENCY,
    MeasurementRow.method == Method.MEASURED,
)
_MOST_TRIALS = 1000  # of a machine, the newest: profiles of older software say less


@dataclass(frozen=True, slots=True)
class ProfiledTrial:
    """A trial that was profiled.

    candidate, model_details: JSON texts, as the store has them. latency: seconds of a run without
    the profiler; None where no clock told them.
    """

    trial: str
    device: str
    model_sha256: str
    model_details: str
    candidate: str
    latency: float | None
    kernels: tuple[OperatorProfile, ...]


def newest_calibrations(
    store: StoreReader,
    devices: Collection[str] | None,
    machine_id: str,
    threads: int = 0,
    until: datetime | None = None,
) -> dict[str, CalibrationRecord]:
    """The newest calibration of each device on a machine; of some devices there is none.

    devices: None for all. threads: that the engines were calibrated with; 0 for those that left it
    to themselves. until: those that were made later do not count.
    """
    found = _calibrations(store, devices, machine_id, until)
    return {r.device: r for r in found if json.loads(r.details).get("threads", 0) == threads}


def all_calibrations(
    store: StoreReader, device: str, machine_id: str
) -> tuple[CalibrationRecord, ...]:
    """Every calibration of a device on a machine, the oldest first."""
    return tuple(_calibrations(store, [device], machine_id))


def _calibrations(
    store: StoreReader,
    devices: Collection[str] | None,
    machine_id: str,
    until: datetime | None = None,
) -> list[CalibrationRecord]:
    row = CalibrationRow
    query = (
        columns(row, CalibrationRecord)
        .where(row.machine_id == machine_id)
        .order_by(row.created_at, row.id)
    )
    if devices is not None:
        query = query.where(row.device.in_(devices))
    if until is not None:
        query = query.where(row.created_at <= until)
    with store.reading() as session:
        return [CalibrationRecord(*values) for values in session.execute(query)]


def profiled_trials(
    store: StoreReader, devices: Collection[str], machine_id: str
) -> tuple[ProfiledTrial, ...]:
    """The profiles of candidates that ran on these devices of a machine, the newest first."""
    chosen = (
        select(TrialRow.id)
        .where(
            TrialRow.device.in_(devices),
            TrialRow.machine_id == machine_id,
            TrialRow.outcome == Outcome.OK,
            select(OperatorProfileRow.trial_id)
            .where(OperatorProfileRow.trial_id == TrialRow.id)
            .exists(),
        )
        .order_by(TrialRow.created_at.desc(), TrialRow.id)
        .limit(_MOST_TRIALS)
    )
    with store.reading() as session:
        names = session.scalars(chosen).all()
        trials = session.execute(
            select(
                TrialRow.id,
                TrialRow.device,
                ModelRow.sha256,
                ModelRow.details,
                CandidateRow.json,
                MeasurementRow.value,
            )
            .join(RunRow, RunRow.name == TrialRow.run)
            .join(ModelRow, ModelRow.sha256 == RunRow.model_sha256)
            .join(CandidateRow, CandidateRow.id == TrialRow.candidate_id)
            .outerjoin(MeasurementRow, _IS_LATENCY)
            .where(TrialRow.id.in_(names))
            .order_by(TrialRow.created_at.desc(), TrialRow.id)
        ).all()
        kernels: dict[str, list[OperatorProfile]] = {name: [] for name in names}
        rows = (
            columns(OperatorProfileRow, OperatorProfile)
            .add_columns(OperatorProfileRow.trial_id)
            .where(OperatorProfileRow.trial_id.in_(names))
            .order_by(OperatorProfileRow.trial_id, OperatorProfileRow.position)
        )
        for *values, trial in session.execute(rows):
            kernels[trial].append(OperatorProfile(*values))
    return tuple(ProfiledTrial(*trial, tuple(kernels[trial[0]])) for trial in trials)
