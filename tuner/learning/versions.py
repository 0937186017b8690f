"""What is known of a device's costs: the newest version of its cost models, or its calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from db.costs.versions import CostModelRecord, newest_cost_model
from db.questions.operators.costs import newest_calibrations
from db.reader import StoreReader
from db.records import CalibrationRecord
from farm.costs.calibration import calibration_of
from farm.costs.model import not_calibrated
from farm.devices.profile import DeviceProfile
from tuner.learning.candidates.models import CandidateModels
from tuner.learning.candidates.stored import FORMAT, estimator_of
from tuner.learning.from_calibration import FromCalibration
from tuner.learning.predictor import LearnedPredictor, known_in
from tuner.learning.report import Report
from tuner.learning.values import Predictor
from tuner.runs.machines import machine_of
from workers.fingerprint import fingerprint
from workers.jobs import DeviceFacts


@dataclass(frozen=True, slots=True)
class Known:
    """How the costs of a device on a machine are predicted.

    version: of the cost models, "" where the calibration's roofline is all there is.
    """

    predictor: Predictor
    version: str = ""

    @property
    def is_roofline_only(self) -> bool:
        """Whether nothing was learnt."""
        return not self.version


def known_costs(
    store: StoreReader,
    profile: DeviceProfile,
    machine_id: str,
    cores: int,
    beside: Sequence[DeviceProfile] = (),
) -> Known:
    """What a store knows of a device of a machine.

    cores: that the device has. beside: other devices of the machine, that splits may be at.

    Raises DeviceError: the device was never calibrated there. Raises StoreError.
    """
    names = [profile.name, *(each.name for each in beside)]
    records = newest_calibrations(store, names, machine_id)
    if profile.name not in records:
        raise not_calibrated(profile.name)
    calibrations = {
        name: calibration_of(name, record.constants, record.borders)
        for name, record in records.items()
    }
    version = newest_cost_model(store, profile.name, machine_id, FORMAT)
    if version is None:
        return Known(FromCalibration(profile, cores, calibrations))
    return Known(
        LearnedPredictor(
            profile,
            estimator_of(profile.name, calibrations),
            CandidateModels.of_state(version.content),
            known_in(store, profile.name, machine_id),
        ),
        version.id,
    )


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
