"""What a run expects of its candidates, by the cost models that are there when it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from db.reader import StoreReader
from farm.candidate import Candidate
from farm.devices.profile import DeviceProfile
from farm.errors import FarmError
from farm.measurement import Metric
from tuner.learning.subjects import subject_of
from tuner.learning.values import CandidatePrediction, Predictor, Subject
from tuner.learning.versions import Known, known_costs
from tuner.runs.expected import NOTHING, Expects, Predictions
from tuner.runs.machines import machine_of

if TYPE_CHECKING:
    from tuner.runs.subject import Subject as RunSubject
    from workers.jobs import DeviceFacts


def expectations(
    store: StoreReader, profile: DeviceProfile, facts: DeviceFacts, of: RunSubject
) -> Expects:
    """What a store says of candidates of a run's model on a device; nothing if it knows nothing.

    facts: what the device's worker says. Raises StoreError.
    """
    known = _known(store, profile, machine_of(facts).id, facts.cores)
    if known is None:
        return NOTHING
    try:
        subject = subject_of(of.model, of.graph)
    except FarmError:
        return NOTHING  # shapes stay dynamic: it is measured all the same
    return Expects(lambda candidates: _asked(known.predictor, subject, candidates), known.version)


def by_metric(found: CandidatePrediction) -> Predictions:
    """Predictions of a candidate by what is measured of it."""
    told = {
        Metric.LATENCY: found.latency,
        Metric.CPU_SECONDS: found.cpu_seconds,
        Metric.PEAK_MEMORY: found.peak_memory,
        Metric.ENERGY: found.energy,
    }
    return {metric: said for metric, said in told.items() if said is not None}


def _known(
    store: StoreReader, profile: DeviceProfile, machine_id: str, cores: int
) -> Known | None:
    try:
        return known_costs(store, profile, machine_id, cores)
    except FarmError:
        return None  # never calibrated here


def _asked(
    predictor: Predictor, subject: Subject, candidates: Sequence[Candidate]
) -> Mapping[Candidate, Predictions]:
    """One by one, so that an engine of which nothing is known hides no other."""
    found: dict[Candidate, Predictions] = {}
    for candidate in candidates:
        try:
            (said,) = predictor.predict(subject, [candidate])
        except FarmError:
            continue
        found[candidate] = by_metric(said)
    return found
