"""What was computed beforehand, beside what was measured of the same candidate."""

from __future__ import annotations

from dataclasses import dataclass

from db.questions.views import EVERYTHING, Subject, asked, found, view_of
from db.reader import StoreReader


@dataclass(frozen=True, slots=True)
class Predicted:
    """A row of the view ``predicted``: a value by model or plan, and a measured or counted one.

    predicted, measured: in ``unit``. measured_metric: another one than ``metric`` for a planned
    arena, beside which stands the peak of the process that ran it. The trials are the newest
    of the candidate that have the values, which may be one.
    """

    model: str
    model_sha256: str
    device: str
    candidate: str
    candidate_id: str
    metric: str
    predicted_by: str
    predicted: float
    measured_metric: str
    measured_by: str
    measured: float
    unit: str
    predicted_trial: str
    measured_trial: str

    @property
    def ratio(self) -> float | None:
        """Measured over predicted; None where nothing was predicted."""
        return self.measured / self.predicted if self.predicted else None


def predicted(
    store: StoreReader, subject: Subject = EVERYTHING, limit: int | None = None
) -> tuple[Predicted, ...]:
    """One row per candidate, metric and pair of methods, by model and device."""
    view = view_of("predicted", Predicted)
    order = [view.c[name] for name in ("model", "device", "metric", "measured_metric")]
    order += [view.c[name] for name in ("candidate", "candidate_id", "measured_by")]
    with store.reading() as session:
        return found(session, Predicted, asked(view, subject, order), limit)
