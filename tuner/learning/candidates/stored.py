"""Versions of what was learnt of whole candidates: fitted to all that a store has, kept there."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from db.costs.versions import CostModelRecord, newest_cost_model
from db.records import content_id, utc_now
from db.store import Store
from farm.costs.calibration import Calibration
from farm.costs.model import not_calibrated
from farm.errors import StoreError
from tuner.learning.candidates.estimate import Estimator
from tuner.learning.candidates.models import CandidateModels
from tuner.learning.candidates.rows import parts_beside, tried_in
from tuner.learning.kernels.costs import FORMAT as KERNELS_FORMAT
from tuner.learning.kernels.costs import LearnedKernels
from tuner.learning.report import QuantityReport, Report

FORMAT = "candidates-3"
"""Of what ``CandidateModels.state`` returns; a farm reads no other."""
_KEPT = 2  # versions of a device


def estimator_of(
    device: str,
    calibrations: Mapping[int, Calibration],
    kernels: LearnedKernels | None,
    cores: int,
    others: Mapping[str, Calibration] = MappingProxyType({}),
) -> Estimator:
    """What the models of whole candidates of a device rest on: its calibrations, and its kernels.

    calibrations: by the threads of each. kernels: what was learnt of them. others: calibrations of
    devices that parts of pipelines are at. Raises DeviceError: it was never calibrated with all
    of its threads.
    """
    if 0 not in calibrations:
        raise not_calibrated(device)
    by_threads = {threads: each for threads, each in calibrations.items() if threads}
    return Estimator(device, {**others, device: calibrations[0]}, by_threads, kernels, cores)


def learn_candidates(
    store: Store,
    device: str,
    machine_id: str,
    software_id: str,
    estimator: Estimator,
    others: Mapping[str, str] = MappingProxyType({}),
) -> CandidateModels | None:
    """Fit the cost models of a device's whole candidates to all trials of a store, and keep them.

    estimator: with the newest version of what was learnt of kernels. others: ids of the
    calibrations that it has of other devices. None where the newest version was fitted to the same
    trials, kernels and calibrations already, or there are no trials.

    Raises StoreError. Raises DeviceError: nothing is known of what any of the trials ran on.
    """
    tried = tried_in(store, device, machine_id)
    kernels = newest_cost_model(store, device, machine_id, KERNELS_FORMAT)
    beside = parts_beside(device, (each.candidate for each in tried))
    fitted_to = content_id(
        kernels.fitted_to if kernels else "",
        *sorted(each.trial.trial for each in tried),
        *sorted(others[name] for name in beside & others.keys()),
    )
    last = newest_cost_model(store, device, machine_id, FORMAT)
    before = readable(last)
    if not tried or (last is not None and before is not None and last.fitted_to == fitted_to):
        return None
    models = CandidateModels.fit(tried, estimator, before)
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


def readable(version: CostModelRecord | None) -> CandidateModels | None:
    """The models of a version; None where there is none, or one that cannot be read."""
    if version is None:
        return None
    try:
        Report.of_json(version.report)
        return CandidateModels.of_state(version.content)
    except StoreError:
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
