"""What a run expects of its candidates, by the cost models that are there when it begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from db.reader import StoreReader
from farm.candidate import Candidate, CPackage
from farm.devices.profile import DeviceProfile
from farm.errors import FarmError
from farm.measurement import Metric
from tuner.learning.subjects import subject_of
from tuner.learning.values import CandidatePrediction, Predictor, Subject
from tuner.learning.versions import known_costs
from tuner.runs.expected import NOTHING, Expects, Predictions
from tuner.runs.record.machines import machine_of

if TYPE_CHECKING:
    from tuner.runs.start import OpenRun
    from workers.jobs import DeviceFacts


def expectations(
    store: StoreReader, profile: DeviceProfile, facts: DeviceFacts, opened: OpenRun
) -> Expects:
    """What a store says of candidates of a run's model on a device; nothing if it knows nothing.

    By the cost models that were there when the run began, also where it is resumed. facts: what
    the device's worker says: where it counts energy, power figures say nothing of what it will.
    """
    of, until = opened.subject, opened.run.created_at
    try:
        subject = subject_of(of.model, of.graph)
        machine, cores = machine_of(facts).id, facts.cores
        counted = facts.energy_window is not None
        asked = replace(profile, power=None) if counted else profile
        known = known_costs(store, asked, machine, cores, until)
    except FarmError:
        return (
            NOTHING  # never calibrated here, or shapes stay dynamic: it is measured all the same
        )
    return Expects(lambda candidates: _asked(known.predictor, subject, candidates), known.version)


def by_metric(found: CandidatePrediction) -> Predictions:
    """Predictions of a candidate by what is measured of it.

    Of a package that is run here the process is measured, and its own memory is predicted.
    """
    is_process = not isinstance(found.candidate.engine, CPackage)
    told = {
        Metric.LATENCY: found.latency,
        Metric.CPU_SECONDS: found.cpu_seconds,
        Metric.PEAK_MEMORY: found.peak_memory if is_process else None,
        Metric.ENERGY: found.energy,
    }
    return {metric: said for metric, said in told.items() if said is not None}


def _asked(
    predictor: Predictor, subject: Subject, candidates: Sequence[Candidate]
) -> Mapping[Candidate, Predictions]:
    """All at once; one by one where nothing is known of an engine, so that it hides no other."""
    try:
        said = predictor.predict(subject, candidates)
    except FarmError:
        if len(candidates) == 1:
            return {}
        found = [_asked(predictor, subject, [each]) for each in candidates]
        return {candidate: told for each in found for candidate, told in each.items()}
    return {each.candidate: by_metric(each) for each in said}
