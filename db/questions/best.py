"""The best configuration of each model on each device, by one metric."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from db.costs.predictions import predictions_of
from db.questions.views import EVERYTHING, Subject, asked, view_of
from db.reader import StoreReader
from db.schema import TrialRow
from farm.measurement import Metric
from farm.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Best:
    """A row of the view ``best``: whose value is the best of a model on a machine's device.

    value, low, high: in ``unit``. phase: ``search`` where nothing was measured on unseen data.
    Values of different methods are never compared: each method has its own best.
    energy_window, idle_power: seconds and watts, of an energy that a counter told.
    """

    model: str
    model_sha256: str
    device: str
    machine: str
    metric: str
    method: str
    value: float
    low: float | None
    high: float | None
    unit: str
    candidate: str
    candidate_id: str
    trial: str
    run: str
    phase: str
    created_at: datetime
    energy_window: float | None
    idle_power: float | None


@dataclass(frozen=True, slots=True)
class BestTrial(Best):
    """The same. predicted: of the metric, before it was measured; None where nothing was."""

    predicted: Prediction | None = None


def best(
    store: StoreReader,
    subject: Subject = EVERYTHING,
    metric: Metric = Metric.LATENCY,
    limit: int | None = None,
) -> tuple[BestTrial, ...]:
    """One row per model, device, machine and method, by name."""
    view = view_of("best", Best)
    order = (view.c.model, view.c.model_sha256, view.c.device, view.c.machine, view.c.method)
    query = asked(view, subject, order).where(view.c.metric == str(metric))
    with store.reading() as session:
        rows = session.execute(query.limit(limit)).all()
        said = predictions_of(session, [TrialRow.id.in_([row.trial for row in rows])])
    return tuple(
        BestTrial(**row._asdict(), predicted=said.get(row.trial, {}).get(metric)) for row in rows
    )
