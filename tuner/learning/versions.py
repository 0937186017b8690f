"""Versions of a device's cost models: which is used, and when they are fitted anew."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from db.costs.versions import CostModelRecord, newest_cost_model
from db.questions.learning import whole_trials
from db.questions.operators.costs import all_calibrations, newest_calibrations
from db.reader import StoreReader
from db.records import CalibrationRecord, Software
from db.store import Store
from farm.costs.calibration import Calibration, calibration_of
from farm.costs.model import not_calibrated
from farm.devices.profile import DeviceProfile
from farm.errors import FarmError
from farm.units import counted
from tuner.learning.candidates.models import CandidateModels
from tuner.learning.candidates.rows import devices_beside
from tuner.learning.candidates.stored import (
    FORMAT,
    estimator_of,
    learn_candidates,
    readable,
)
from tuner.learning.from_calibration import FromCalibration
from tuner.learning.kernels.costs import FORMAT as KERNELS_FORMAT
from tuner.learning.kernels.costs import LearnedKernels
from tuner.learning.kernels.stored import by_threads, learn_from_store
from tuner.learning.predictor import LearnedPredictor, known_in
from tuner.learning.report import Report
from tuner.learning.values import Predictor
from tuner.runs.record.machines import machine_of
from workers.fingerprint import fingerprint, software_versions
from workers.jobs import DeviceFacts

_MORE = 1.05  # times the trials of the last version, before it is fitted anew
_FEW = 3  # trials more, at least


@dataclass(frozen=True, slots=True)
class Known:
    """How the costs of a device on a machine are predicted.

    version: of the cost models; "" where the calibration is all there is.
    """

    predictor: Predictor
    version: str = ""


def known_costs(
    store: StoreReader,
    profile: DeviceProfile,
    machine_id: str,
    cores: int,
    until: datetime | None = None,
) -> Known:
    """What a store knows of a device of a machine.

    Other devices of it, which parts of pipelines are at, are known by what they were calibrated
    with, if they were.
    cores: that the device has. until: what was learnt or tried later does not count, so that a run
    expects the same whenever it is resumed, and nothing that it measured itself.

    Raises DeviceError: the device was never calibrated there. Raises StoreError.
    """
    name = profile.name
    records = all_calibrations(store, name, machine_id)
    then = [each for each in records if until is None or each.created_at <= until]
    calibrations = by_threads(name, then)
    if 0 not in calibrations:
        raise not_calibrated(name)
    version = newest_cost_model(store, name, machine_id, FORMAT, until)
    found = newest_cost_model(store, name, machine_id, KERNELS_FORMAT, until)
    kernels = LearnedKernels.of_content(found.content) if found else None
    others = _calibrations_of(_others(store, name, machine_id, until))
    if version is None:
        learned = {name: kernels.at(calibrations[0])} if kernels else {}
        of = {**others, name: calibrations[0]}
        return Known(FromCalibration(profile, cores, of, learned))
    return Known(
        LearnedPredictor(
            profile,
            estimator_of(name, calibrations, kernels, cores, others),
            CandidateModels.of_state(version.content),
            known_in(store, name, machine_id, until),
        ),
        version.id,
    )


def refit(store: Store, profile: DeviceProfile, machine_id: str) -> tuple[str, ...]:
    """Fit the cost models of a device anew, where there is enough that is new, and keep them.

    What fails is a note, as is what cannot be learnt from: whoever measured has lost nothing.
    Raises StoreError: the store fails.
    """
    name = profile.name
    calibrations = all_calibrations(store, name, machine_id)
    others = _others(store, name, machine_id)
    if not calibrations or not _is_worth_it(store, calibrations[-1], others):
        return ()  # without a calibration it waits for one, and all that is stored counts then
    software = Software.identify(json.dumps(software_versions(), sort_keys=True))
    store.add_software(software)
    try:
        kernels = learn_from_store(store, profile, machine_id, software.id)
        known, cores = by_threads(name, calibrations), store.machine(machine_id).cores
        if 0 not in known:
            return ()
        estimator = estimator_of(name, known, kernels, cores, _calibrations_of(others))
        ids = {each.device: each.id for each in others}
        learned = learn_candidates(store, name, machine_id, software.id, estimator, ids)
    except (FarmError, ArithmeticError, MemoryError, ValueError) as error:
        return (f"The cost models of {name} were not fitted anew: {error}",)
    return tuple(_left_out(name, learned)) if learned else ()


def standing(
    store: StoreReader, device: str
) -> tuple[CalibrationRecord | None, CostModelRecord | None, Report]:
    """The newest calibration and cost models of a device of this machine, and what these say.

    Raises StoreError.
    """
    machine = machine_of(DeviceFacts(fingerprint(), {}, ())).id
    calibration = newest_calibrations(store, [device], machine).get(device)
    version = newest_cost_model(store, device, machine, FORMAT)
    report = Report() if version is None else Report.of_json(version.report)
    return calibration, version, report


def _others(
    store: StoreReader, device: str, machine_id: str, until: datetime | None = None
) -> tuple[CalibrationRecord, ...]:
    """The newest calibration of each other device of a machine, with all of its threads."""
    found = newest_calibrations(store, None, machine_id, until=until)
    return tuple(record for name, record in found.items() if name != device)


def _calibrations_of(records: Iterable[CalibrationRecord]) -> dict[str, Calibration]:
    return {r.device: calibration_of(r.device, r.constants, r.borders) for r in records}


def _left_out(device: str, learned: CandidateModels) -> Iterator[str]:
    """What the models could not learn from."""
    for reason, count in learned.left_out.items():
        yield f"The cost models of {device} leave out {counted(count, 'candidate')}: {reason}"


def _is_worth_it(
    store: StoreReader, calibration: CalibrationRecord, others: Iterable[CalibrationRecord]
) -> bool:
    """Whether there is a newer calibration, a new model, or several more trials.

    Or the last version cannot be read. others: calibrations of devices that parts may be at.
    """
    device, machine_id = calibration.device, calibration.machine_id
    last = newest_cost_model(store, device, machine_id, FORMAT)
    if last is None or last.created_at < calibration.created_at:
        return True
    trials = whole_trials(store, device, machine_id)
    tried = {(trial.model_sha256, trial.candidate) for trial in trials}
    if readable(last) is None:
        return True
    newer = {each.device for each in others if each.created_at > last.created_at}
    if newer and newer & devices_beside(store, device, trials):
        return True
    known = Report.of_json(last.report).models
    has_new_model = len({sha256 for sha256, _ in tried}) > known
    return has_new_model or len(tried) >= max(_MORE * last.trials, last.trials + _FEW)
