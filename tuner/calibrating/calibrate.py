"""``farm devices calibrate``: measure, fit, and store the result as a whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db.records import CalibrationRecord, content_id, utc_now
from db.store import Store
from farm.costs.borders import Run, measured_ends, modelled_ends
from farm.costs.calibration import (
    Calibration,
    CostPlace,
    Ends,
    PlaceConstants,
    all_patterns,
    constants_json,
    ends_json,
)
from farm.costs.fit import fit_roofline
from farm.costs.probes.borders import Border, border_models
from farm.costs.probes.kernels import ProbeModel, probe_models
from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError
from farm.measurement import Method
from tuner.calibrating.measure import Bench
from tuner.calibrating.places import MeasuredPlace, places_of
from tuner.calibrating.points import Found
from tuner.calibrating.workloads import probed
from tuner.events import DeviceEnded, DeviceStarted, Listener
from tuner.runs.clock import Budget
from tuner.runs.start import add_machine
from workers.executor import Executor

_CACHE = re.compile(r"L(\d)d? (\d+)([KM])\b")
_UNITS = {"K": 1 << 10, "M": 1 << 20}
_USUAL_CACHES = (float(32 << 10), float(1 << 20), float(32 << 20))
_LEAST_POINTS = 4


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A calibration as it was stored. notes: what is missing in it, a sentence each."""

    record: CalibrationRecord
    calibration: Calibration
    notes: tuple[str, ...]


def calibrate(
    store: Store,
    executor: Executor,
    profile: DeviceProfile,
    seconds: float,
    listen: Listener,
    models: Sequence[ProbeModel] | None = None,
) -> Calibrated:
    """Calibrate a device within about so many seconds, and store what was found out.

    models: in place of ``probe_models``.

    Raises DeviceError: it has no place whose kernels can be timed, or the time was too short for
    any. Raises InfrastructureError, StoreError. Nothing is stored then, nor on an interruption.
    """
    budget = Budget(seconds)
    listen(DeviceStarted(profile.name, seconds))
    try:
        facts = executor.describe(profile.name)
        places = places_of(profile.name, facts)
        bench = Bench(executor, profile, budget, listen)
        called = [p for p in places if _is_called(p)]
        borders = {border: probed(str(border), model) for border, model in border_models().items()}
        runs = bench.borders(called, borders) if called else {}
        probes = (
            probed(each.name, each.model, weighs=each.weighs)
            for each in (probe_models() if models is None else models)
        )
        found = bench.kernels(places, probes)
    finally:
        listen(DeviceEnded(profile.name))
    limits = cache_limits(facts.machine.caches)
    constants = tuple(_constants(places, found, limits))
    if not constants:
        raise DeviceError(
            f"Device {profile.name} could not be calibrated in {budget.used:.0f} s: "
            f"{' '.join(bench.notes) or 'no kernel was measured.'}"
        )
    ends = tuple(_ends(profile, places, constants, runs))
    calibration = Calibration(profile.name, constants, ends)
    notes = tuple(dict.fromkeys((*bench.notes, *_missing(places, calibration))))
    machine_id, software_id = add_machine(store, facts)
    now = utc_now()
    record = CalibrationRecord(
        content_id(profile.name, machine_id, now.isoformat()),
        profile.name,
        machine_id,
        software_id,
        now,
        budget.used,
        constants_json(calibration),
        ends_json(calibration),
        json.dumps({"notes": notes}),
    )
    store.add_calibration(record)
    return Calibrated(record, calibration, notes)


def cache_limits(caches: str) -> tuple[float, ...]:
    """Bytes of the data caches in a machine's description, the smallest first.

    ``L1d 32K, L1i 32K, L2 1024K`` gives two. Where nothing is known they are as usual.
    """
    found = {
        level: float(int(size) * _UNITS[unit]) for level, size, unit in _CACHE.findall(caches)
    }
    return tuple(sorted(found.values())) or _USUAL_CACHES


def _is_called(place: MeasuredPlace) -> bool:
    """Whether what calls it is here, so that its borders can be measured, in float32."""
    return not place.candidate.is_counted and place.place.precision == "float32"


def _constants(
    places: Sequence[MeasuredPlace],
    found: Mapping[CostPlace, Sequence[Found]],
    limits: Sequence[float],
) -> list[PlaceConstants]:
    made = []
    for place in places:
        of = found[place.place]
        points = tuple(point for each in of for point in each.points if point.seconds > 0.0)
        if len(points) < _LEAST_POINTS:
            continue
        counted = place.candidate.is_counted
        made.append(
            PlaceConstants(
                place.place.engine,
                place.place.precision,
                place.options,
                Method.MODELLED if counted else Method.MEASURED,
                fit_roofline(points, () if counted else limits),  # packets know no caches
                all_patterns([pattern for each in of for pattern in each.patterns]),
                points,
            )
        )
    return made


def _ends(
    profile: DeviceProfile,
    places: Sequence[MeasuredPlace],
    constants: Sequence[PlaceConstants],
    runs: Mapping[CostPlace, Mapping[Border, Run]],
) -> list[Ends]:
    """Of all places that have constants. Engines are called with float32 in either precision."""
    made = []
    by_engine = {place.engine: of for place, of in runs.items()}
    rooflines = {(c.engine, c.precision): c.roofline for c in constants}
    for each in places:
        place = each.place
        roofline = rooflines.get((place.engine, place.precision))
        if roofline is None:
            continue
        if each.candidate.is_counted:
            ends = modelled_ends(place, profile, roofline)
        else:
            own = by_engine.get(place.engine)
            ends = measured_ends(place, own, roofline) if own else None
        if ends is not None:
            made.append(ends)
    return made


def _missing(places: Sequence[MeasuredPlace], calibration: Calibration) -> list[str]:
    """Places without constants, or whose borders are unknown."""
    notes = []
    for each in places:
        place = each.place
        if calibration.constants(place) is None:
            notes.append(f"{place} has no constants: too few kernels were measured.")
        elif calibration.ends_of(place) is None:
            why = (
                f"the profile of {place.device} has no [links.caller]"
                if each.candidate.is_counted
                else "its calls could not be timed"
            )
            notes.append(f"The borders of {place} are unknown: {why}.")
    return notes
