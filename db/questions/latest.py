"""The newest result of each model on each device: its winner against the baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from db.costs.predictions import predictions_of
from db.questions.results import preferred
from db.questions.views import EVERYTHING, Subject, asked, found, view_of
from db.reader import StoreReader
from db.schema import MeasurementRow, TrialRow
from farm.measurement import Measurement, Metric
from farm.prediction import Prediction

_OF_ENERGY = (Metric.ENERGY_WINDOW, Metric.IDLE_POWER)


@dataclass(frozen=True, slots=True)
class Newest:
    """A row of the view ``latest``, but for latencies: a device's winner in its newest run.

    ratio: latency of the baseline over that of the winner, with its 95 % interval, as it was
    confirmed in blocks side by side; None where the baseline is the winner.
    """

    model: str
    model_sha256: str
    device: str
    machine: str
    run: str
    created_at: datetime
    verdict: str | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    winner: str
    winner_trial: str
    baseline_trial: str | None


@dataclass(frozen=True, slots=True)
class Latest:
    """A winner beside its baseline.

    value, baseline: both of one metric, where measured. energy_window, idle_power: of the winner's
    energy, where that is the metric and a counter told it. predicted: of the winner's value,
    before it was measured.
    """

    newest: Newest
    metric: Metric
    value: Measurement | None
    baseline: Measurement | None
    energy_window: Measurement | None = None
    idle_power: Measurement | None = None
    predicted: Prediction | None = None


def latest(
    store: StoreReader,
    subject: Subject = EVERYTHING,
    metric: Metric = Metric.LATENCY,
    limit: int | None = None,
) -> tuple[Latest, ...]:
    """One row per model, device and machine that has a winner, newest first."""
    view = view_of("latest", Newest)
    order = (view.c.created_at.desc(), view.c.run, view.c.device)
    with store.reading() as session:
        rows = found(session, Newest, asked(view, subject, order), limit)
        trials = [each for row in rows for each in (row.winner_trial, row.baseline_trial) if each]
        metrics = {metric, *(_OF_ENERGY if metric is Metric.ENERGY else ())}
        wanted = (MeasurementRow.metric.in_(metrics), MeasurementRow.trial_id.in_(trials))
        values = preferred(session, wanted)
        said = predictions_of(session, [TrialRow.id.in_([row.winner_trial for row in rows])])
    return tuple(_latest(row, metric, values, said.get(row.winner_trial, {})) for row in rows)


def _latest(
    row: Newest,
    metric: Metric,
    values: Mapping[str, Mapping[Metric, Measurement]],
    said: Mapping[Metric, Prediction],
) -> Latest:
    own, baseline = (values.get(t or "", {}) for t in (row.winner_trial, row.baseline_trial))
    window, idle = (own.get(each) if metric is Metric.ENERGY else None for each in _OF_ENERGY)
    both = own.get(metric), baseline.get(metric)
    return Latest(row, metric, *both, window, idle, said.get(metric))
