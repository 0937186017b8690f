"""Versions of what was learnt of whole candidates: fitted to all that a store has, kept there."""

from __future__ import annotations

from db.costs.versions import CostModelRecord, newest_cost_model
from db.questions.operators.costs import all_calibrations
from db.reader import StoreReader
from db.records import content_id, utc_now
from db.store import Store
from farm.costs.model import not_calibrated
from farm.errors import StoreError
from tuner.learning.candidates.estimate import Estimator
from tuner.learning.candidates.models import CandidateModels
from tuner.learning.candidates.rows import tried_in
from tuner.learning.kernels.costs import FORMAT as KERNELS_FORMAT
from tuner.learning.kernels.costs import LearnedKernels
from tuner.learning.kernels.stored import by_threads
from tuner.learning.report import QuantityReport, Report

FORMAT = "candidates-3"
"""Of what ``CandidateModels.state`` returns; a farm reads no other."""
_KEPT = 2  # versions of a device


def estimator_in(
    store: StoreReader, device: str, machine_id: str, kernels: LearnedKernels | None
) -> Estimator:
    """What the models of whole candidates of a device rest on: its calibrations, and its kernels.

    kernels: what was learnt of them. Raises DeviceError: it was never calibrated.
    """
    records = all_calibrations(store, device, machine_id)
    known = by_threads(device, records)
    if 0 not in known:
        raise not_calibrated(device)
    cores = store.machine(machine_id).cores
    return Estimator(device, {device: known.pop(0)}, known, kernels, cores)


def learn_candidates(
    store: Store, device: str, machine_id: str, software_id: str, estimator: Estimator
) -> CandidateModels | None:
    """Fit the cost models of a device's whole candidates to all trials of a store, and keep them.

    estimator: with the newest version of what was learnt of kernels. None where the newest version
    was fitted to the same trials and kernels already, or there are no trials.

    Raises StoreError. Raises DeviceError: an engine was never calibrated.
    """
    tried = tried_in(store, device, machine_id)
    kernels = newest_cost_model(store, device, machine_id, KERNELS_FORMAT)
    fitted_to = content_id(
        kernels.fitted_to if kernels else "", *sorted(each.trial.trial for each in tried)
    )
    last = newest_cost_model(store, device, machine_id, FORMAT)
    if not tried or (last is not None and last.fitted_to == fitted_to):
        return None
    models = CandidateModels.fit(tried, estimator, _before(last))
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


def _before(last: CostModelRecord | None) -> CandidateModels | None:
    """The last version; None where there is none that can be read."""
    try:
        return CandidateModels.of_state(last.content) if last is not None else None
    except StoreError:  # it is about to be replaced
        return None


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
