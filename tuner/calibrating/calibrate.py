"""``farm devices calibrate``: measure, fit, and store the result as a whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from farm.costs.in_place import FEW, corrected
from farm.costs.probes.borders import Border, border_models
from farm.costs.probes.kernels import ProbeModel, probe_models
from farm.costs.probes.networks import networks
from farm.costs.roofline import cache_limits
from farm.devices.profile import DeviceKind, DeviceProfile
from farm.errors import DeviceError
from farm.measurement import Method
from tuner.calibrating.crossings import borders_in_place
from tuner.calibrating.measure import Bench
from tuner.calibrating.places import MeasuredPlace, places_of
from tuner.calibrating.points import Found, points_of
from tuner.calibrating.workloads import Probed, probed
from tuner.events import DeviceEnded, DeviceStarted, Listener
from tuner.learning.kernels.rows import KernelRow, Setting, plain_rows, rows_of_profile
from tuner.learning.versions import refit
from tuner.runs.clock import Budget
from tuner.runs.record.machines import add_machine
from workers.executor import Executor
from workers.jobs import DeviceFacts

_LEAST_POINTS = 4
_MARGIN = 0.85
_BORDER_SECONDS = 0.1  # that a model of one kernel is run for a profile
_NETWORK_SECONDS = 0.2  # that a network is run for a profile
_ALONE = 0.55  # of the seconds, for single kernels at most; the rest is for networks
_IN_PLACE = 0.1, 0.17  # of the seconds, until the last row is begun, and begun again
_NOTHING = 1.0  # seconds beyond the time that nobody minds
_CLOCK, _PACKETS = 1e-6, 0.0  # seconds; profilers tell whole microseconds


@dataclass(frozen=True, slots=True)
class Probes:
    """What a device is calibrated with: single kernels, and as many networks as there is time."""

    kernels: Callable[[], Iterable[ProbeModel]] = probe_models
    networks: Callable[[], Iterable[ProbeModel]] = networks


ALL = Probes()


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
    probes: Probes = ALL,
    threads: int = 0,
) -> Calibrated:
    """Calibrate a device within about so many seconds, and store what was found out.

    threads: see ``places_of``; plans for engines with as many rest on this calibration.

    Raises DeviceError: it has no place whose kernels can be timed. Raises InfrastructureError,
    StoreError. Nothing is stored then, nor on an interruption.
    """
    budget = Budget(_MARGIN * seconds)  # a step that began in time may end later
    listen(DeviceStarted(profile.name, seconds))
    try:
        facts = executor.describe(profile.name)
        places = places_of(profile.name, facts, threads)
        bench = Bench(executor, profile, budget, listen)
        runs = _borders(bench, places)
        once, again = (budget.used + share * seconds for share in _IN_PLACE)
        in_place = borders_in_place(bench, [p for p in places if p.place in runs], once, again)
        until = _ALONE * budget.total
        found = bench.kernels(places, _probes(probes.kernels()), until)
        rows = _networks(bench, places, probes.networks(), found)
    finally:
        listen(DeviceEnded(profile.name))
    constants = tuple(_constants(places, found, _caches(profile, facts)))
    if not constants:
        raise DeviceError(
            f"Device {profile.name} could not be calibrated in {budget.used:.0f} s: "
            f"{' '.join(dict.fromkeys(bench.notes)) or 'no kernel was measured.'}"
        )
    ends = tuple(_ends(profile, places, constants, runs))
    calibration = corrected(Calibration(profile.name, constants, ends), in_place, FEW)
    caveat = (profile.caveat,) if profile.caveat else ()
    said = (*caveat, *bench.notes, *_longer(budget.used, seconds), *_missing(places, calibration))
    notes = tuple(dict.fromkeys(said))
    details = json.dumps({"notes": notes, "threads": threads, "kernels": plain_rows(rows)})
    record = _stored(store, facts, calibration, budget.used, details)
    more = refit(store, profile, record.machine_id)
    return Calibrated(record, calibration, (*notes, *more))


def _stored(
    store: Store,
    facts: DeviceFacts,
    calibration: Calibration,
    seconds: float,
    details: str,
) -> CalibrationRecord:
    machine_id, software_id = add_machine(store, facts)
    now = utc_now()
    record = CalibrationRecord(
        content_id(calibration.device, machine_id, now.isoformat()),
        calibration.device,
        machine_id,
        software_id,
        now,
        seconds,
        constants_json(calibration),
        ends_json(calibration),
        details,
    )
    store.add_calibration(record)
    return record


def _borders(
    bench: Bench, places: Sequence[MeasuredPlace]
) -> Mapping[CostPlace, Mapping[Border, Run]]:
    """Runs of border models at the places that are called here, each engine once."""
    called = [place for place in places if _is_called(place)]
    made = border_models().items()
    probes = {border: probed(str(border), m, seconds=_BORDER_SECONDS) for border, m in made}
    return bench.borders(called, probes) if called else {}


def _networks(
    bench: Bench,
    places: Sequence[MeasuredPlace],
    models: Iterable[ProbeModel],
    found: Mapping[CostPlace, list[Found]],
) -> tuple[KernelRow, ...]:
    """The kernels of networks, to learn from; they are added to what was found, too."""
    rows: list[KernelRow] = []
    for each, probe, kernels in bench.networks(places, _made(models)):
        place = each.place
        found[place].append(points_of(kernels, probe, place.precision))
        setting = Setting.of_engine(place.device, each.candidate.engine, place.precision)
        operators = tuple(probe.operators.values())
        rows += rows_of_profile(probe.name, setting, operators, kernels)
    return tuple(rows)


def _made(models: Iterable[ProbeModel]) -> Iterator[Probed]:
    for each in models:
        yield probed(each.name, each.model, weighs=each.weighs, seconds=_NETWORK_SECONDS)


def _probes(models: Iterable[ProbeModel]) -> list[Probed]:
    return [probed(each.name, each.model, weighs=each.weighs) for each in models]


def _is_called(place: MeasuredPlace) -> bool:
    """Whether what calls it is here, so that its borders can be measured, in float32."""
    return not place.candidate.is_counted and place.place.precision == "float32"


def _caches(profile: DeviceProfile, facts: DeviceFacts) -> tuple[float, ...] | None:
    """Bytes of each cache of what computes; None of a GPU, which has its own and tells nobody."""
    is_gpu = profile.kind is DeviceKind.GPU and not profile.is_software
    return None if is_gpu else cache_limits(facts.machine.caches)


def _constants(
    places: Sequence[MeasuredPlace],
    found: Mapping[CostPlace, Sequence[Found]],
    limits: Sequence[float] | None,
) -> list[PlaceConstants]:
    made = []
    for place in places:
        of = found[place.place]
        points = tuple(point for each in of for point in each.points)
        if sum(point.seconds > 0.0 for point in points) < _LEAST_POINTS:
            continue
        counted = place.candidate.is_counted
        made.append(
            PlaceConstants(
                place.place.engine,
                place.place.precision,
                place.options,
                Method.MODELLED if counted else Method.MEASURED,
                # Packets know no caches, and are counted one by one.
                fit_roofline(points, () if counted else limits, _PACKETS if counted else _CLOCK),
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


def _longer(used: float, asked: float) -> Iterator[str]:
    """That it took longer than was asked for, and why."""
    if used >= asked + _NOTHING:
        yield (
            f"It took {used:.0f} s where {asked:.0f} s were asked for: borders and small kernels "
            "are measured however short the time is, and what began in time goes on to its end."
        )


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
