"""Versions of what was learnt of kernels: fitted to all that a store has, and kept there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from db.costs.versions import CostModelRecord, newest_cost_model
from db.questions.operators.costs import all_calibrations, profiled_trials
from db.reader import StoreReader
from db.records import CalibrationRecord, content_id, utc_now
from db.store import Store
from farm.costs.calibration import Calibration, calibration_of
from farm.costs.roofline import cache_limits
from farm.devices.profile import DeviceProfile
from tuner.learning.kernels.costs import FORMAT, LearnedKernels, learn_kernels
from tuner.learning.kernels.rows import rows_of, rows_of_trials

_KEPT = 2  # versions of a device


def newest_kernels(store: StoreReader, device: str, machine_id: str) -> LearnedKernels | None:
    """What was last learnt of a device's kernels on a machine; None where nothing was.

    Raises StoreError.
    """
    found = newest_cost_model(store, device, machine_id, FORMAT)
    return None if found is None else LearnedKernels.of_content(found.content)


def learn_from_store(
    store: Store, profile: DeviceProfile, machine_id: str, software_id: str
) -> LearnedKernels | None:
    """Fit the cost models of a device's kernels to all profiles of a store.

    They are kept there, unless the newest version is the same. None where there are too few.
    Raises StoreError.
    """
    trials = profiled_trials(store, [profile.name], machine_id)
    calibrations = all_calibrations(store, profile.name, machine_id)
    machine = store.machine(machine_id)
    known = by_threads(profile.name, calibrations)
    rows = [*rows_of_trials(trials, [profile], machine.cores, calls_in(known.values()))]
    for record in calibrations:
        rows += rows_of(profile.name, record.details)
    caches = cache_limits(json.loads(machine.details).get("caches", ""))
    learned = learn_kernels(profile.name, rows, caches, known)
    if not learned.models:
        return None
    now = utc_now()
    version = CostModelRecord(
        content_id(profile.name, machine_id, FORMAT, now.isoformat()),
        profile.name,
        machine_id,
        software_id,
        now,
        FORMAT,
        len(trials),
        len(rows),
        content_id(*sorted((*(t.trial for t in trials), *(c.id for c in calibrations)))),
        report_of(learned),
        learned.content(),
    )
    last = newest_cost_model(store, profile.name, machine_id, FORMAT)
    if last is None or last.content != version.content:
        store.add_cost_model(version, _KEPT)
    return learned


def calls_in(calibrations: Iterable[Calibration]) -> dict[str, float]:
    """Seconds of a call of each engine that calibrations have, the least of several."""
    found: dict[str, float] = {}
    for ends in (each for calibration in calibrations for each in calibration.ends):
        found[ends.engine] = min(found.get(ends.engine, ends.launch), ends.launch)
    return found


def report_of(learned: LearnedKernels) -> str:
    """How good each model is on kernels of models that it did not see, as JSON text."""
    return json.dumps(
        [
            {
                "kernels_of": alike,
                "precision": precision,
                **asdict(model.quality),
                "is_used": model.quality.is_better,
            }
            for (alike, precision), model in learned.models.items()
        ]
    )


def by_threads(device: str, records: Sequence[CalibrationRecord]) -> dict[int, Calibration]:
    """The newest calibration of a device for each number of threads. records: oldest first."""
    return {
        json.loads(record.details).get("threads", 0): calibration_of(
            device, record.constants, record.borders
        )
        for record in records
    }
