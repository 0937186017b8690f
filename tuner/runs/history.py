"""What the search knows of each candidate that it tried."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from farm.accuracy.result import AccuracyResult
from farm.candidate import Candidate
from farm.measurement import Measurement, Metric, Outcome
from farm.prediction import Prediction
from workers.jobs import TODAY, Pinned


@dataclass(slots=True)
class Entry:
    """One trial of the search.

    ratio: its objective over the baseline's, lower is better; from races where it took part in
    one, else from the first quick samples; None when it never ran.
    accuracy: what the check of its outputs said, None where there was none.
    pinned: what it runs with in place of today's. predicted: before it was measured.
    """

    trial_id: str
    candidate: Candidate
    outcome: Outcome
    message: str = ""
    artifact_key: str = ""
    measurements: Mapping[Metric, Measurement] = field(default_factory=dict)
    ratio: float | None = None
    accuracy: AccuracyResult | None = None
    pinned: Pinned = TODAY
    predicted: Mapping[Metric, Prediction] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it ran and broke no limit."""
        return self.outcome is Outcome.OK

    @property
    def is_unjudged(self) -> bool:
        """Whether its outputs were checked, and nothing can be said of their accuracy."""
        return self.accuracy is not None and self.accuracy.value is None

    def value(self, metric: Metric) -> float | None:
        """A measured value, None where it was not measured."""
        found = self.measurements.get(metric)
        return None if found is None else found.value


def ranked(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that are ok and were compared with the baseline, best first."""
    compared = [(e.ratio, i, e) for i, e in enumerate(entries) if e.ok and e.ratio is not None]
    return [entry for _, _, entry in sorted(compared, key=lambda row: row[:2])]


def of_trials(measurements: Iterable[Measurement]) -> dict[Metric, Measurement]:
    """Measurements by their metric."""
    return {m.metric: m for m in measurements}
