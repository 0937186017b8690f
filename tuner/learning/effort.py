"""How long a trial will take: making, loading and checking a candidate, and its first runs.

Of each kind of engine a constant, and for all of them a number of runs; both by least squares of
relative errors, because trials of seconds and of minutes shall count alike.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from db.costs.efforts import stored_efforts
from db.reader import StoreReader
from farm.candidate import Candidate
from farm.prediction import Basis, Prediction, total
from farm.units import Seconds

LEAST_TRIALS = 8
"""That there must be before anything is said."""
_ROUNDS = 3  # in which trials that are far off count less
_FAR_OFF = 0.5  # of a trial's seconds
_TAIL = 0.05  # of trials, to either side, that take less or more than the interval says


@dataclass(frozen=True, slots=True)
class TrialEffort:
    """One trial that was run. kind: of its engine. latency, seconds: of one run, and of it all."""

    kind: str
    latency: Seconds
    seconds: Seconds


@dataclass(frozen=True, slots=True)
class Effort:
    """What trials take on a device.

    making: seconds by kind of engine. runs: of the candidate. low, high: ends of an interval of
    90 %, as multiples. rows: trials that it rests on.
    """

    making: dict[str, float]
    runs: float
    low: float
    high: float
    rows: int

    @classmethod
    def fit(cls, trials: Sequence[TrialEffort]) -> Effort | None:
        """From trials that were run; None where there are too few."""
        if len(trials) < LEAST_TRIALS:
            return None
        kinds = sorted({each.kind for each in trials})
        seconds = np.array([each.seconds for each in trials])
        columns = [[each.kind == kind for kind in kinds] + [each.latency] for each in trials]
        matrix = np.array(columns, float)
        trust = np.ones(len(trials))
        for _ in range(_ROUNDS):
            weight = np.sqrt(trust) / seconds
            found, *_ = np.linalg.lstsq(matrix * weight[:, None], np.sqrt(trust), rcond=None)
            found = np.maximum(found, 0.0)
            off = np.abs(matrix @ found / seconds - 1.0)
            trust = 1.0 / np.maximum(1.0, off / _FAR_OFF)
        ratios = seconds / np.maximum(matrix @ found, np.finfo(float).tiny)
        # Least squares of shares lean to what takes little: the middle of all is put to rights.
        low, middle, high = (float(q) for q in np.quantile(ratios, (_TAIL, 0.5, 1.0 - _TAIL)))
        *making, runs = (float(each) * middle for each in found)
        each_kind = dict(zip(kinds, making, strict=True))
        return cls(each_kind, runs, low / middle, high / middle, len(trials))

    def of(self, candidate: Candidate, latency: Seconds) -> Prediction:
        """Seconds of a trial of a candidate that takes so long for a run."""
        kinds = list(self.making.values())
        making = self.making.get(candidate.engine.kind, sum(kinds) / len(kinds))
        value = making + self.runs * latency
        return Prediction(
            value, self.low * value, self.high * value, "s", Basis.LEARNED, self.rows
        )


def effort_on(store: StoreReader, device: str, machine_id: str) -> Effort | None:
    """What trials took on a device of a machine; None where too few were run."""
    return Effort.fit(list(_read(store, device, machine_id)))


def together(each: Iterable[Prediction]) -> Prediction | None:
    """Seconds of several trials one after the other; None for none."""
    found = tuple(each)
    return replace(total(found), rows=found[0].rows) if found else None


def _read(store: StoreReader, device: str, machine_id: str) -> Iterator[TrialEffort]:
    for row in stored_efforts(store, device, machine_id):
        seconds = json.loads(row.details).get("worker_seconds")
        if seconds and row.latency > 0.0:
            yield TrialEffort(row.candidate.split()[0], Seconds(row.latency), Seconds(seconds))
