"""Versions of what was learnt of whole candidates: fitted to all that a store has, kept there."""

from __future__ import annotations

from collections.abc import Mapping

from db.costs.versions import CostModelRecord, newest_cost_model
from db.records import content_id, utc_now
from db.store import Store
from farm.costs.calibration import Calibration
from farm.costs.model import MeasuredThenRoofline
from tuner.learning.candidates.estimate import Estimator
from tuner.learning.candidates.models import CandidateModels
from tuner.learning.candidates.rows import tried_in
from tuner.learning.report import QuantityReport, Report

FORMAT = "candidates-2"
"""Of what ``CandidateModels.state`` returns; a farm reads no other."""
_KEPT = 2  # versions of a device


def estimator_of(device: str, calibrations: Mapping[str, Calibration]) -> Estimator:
    """What the models of whole candidates rest on: the rooflines of calibrations, by device.

    They know nothing of the models that are learnt from, so that they are off as much on those as
    on ones that are to come; profiles of the very operators are not.
    """
    return Estimator(device, MeasuredThenRoofline(calibrations), calibrations)


def learn_candidates(
    store: Store,
    device: str,
    machine_id: str,
    software_id: str,
    calibrations: Mapping[str, Calibration],
) -> CandidateModels | None:
    """Fit the cost models of a device's whole candidates to all trials of a store, and keep them.

    calibrations: by device, of this one at least. None where the newest version was fitted to the
    same trials already, or there are none.

    Raises StoreError. Raises DeviceError: an engine was never calibrated.
    """
    tried = tried_in(store, device, machine_id)
    fitted_to = content_id(*sorted(each.trial.trial for each in tried))
    last = newest_cost_model(store, device, machine_id, FORMAT)
    if not tried or (last is not None and last.fitted_to == fitted_to):
        return None
    models = CandidateModels.fit(tried, estimator_of(device, calibrations))
    now = utc_now()
    version = CostModelRecord(
        content_id(device, machine_id, FORMAT, now.isoformat()),
        device,
        machine_id,
        software_id,
        now,
        FORMAT,
        len(tried),
        0,
        fitted_to,
        report_of(models).to_json(),
        models.state(),
    )
    store.add_cost_model(version, _KEPT)
    return models


def report_of(models: CandidateModels) -> Report:
    """How good the models are on models that they did not see."""
    told = []
    for name, quantity in models.quantities.items():
        if (found := quantity.quality) is not None:
            of = found.coverage
            told.append(
                QuantityReport(
                    name, found.error, found.simple, of.share, of.half_width,
                    quantity.rows, quantity.models, quantity.is_learned,
                )
            )  # fmt: skip
    return Report(tuple(told), models.held_out)
