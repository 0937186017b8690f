"""Runs in the store: checking what is asked for, starting a run or going on with one."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from db.reader import StoreReader
from db.records import Phase, Run, RunKind, RunStatus, utc_now
from db.store import Store
from farm.candidate import UNTIMED, Candidate, CPackageEmulated
from farm.devices.caveats import caveats
from farm.devices.profile import Availability, DeviceProfile, select_profiles
from farm.errors import NotInStore, OptionError
from farm.measurement import Method, Metric, Outcome
from tuner.goals import Objective, asks_energy
from tuner.request import TuneRequest
from tuner.runs.expected import NOTHING, Expects
from tuner.runs.lease import held_error, is_gone
from tuner.runs.memory import Memory
from tuner.runs.record.journal import Journal, Scope
from tuner.runs.record.machines import add_machine
from tuner.runs.record.operators import model_record
from tuner.runs.subject import Subject, load_subject
from workers.discovery import device_availability
from workers.executor import Executor
from workers.fingerprint import fingerprint, software_versions
from workers.jobs import DeviceFacts, Limits

Find = Callable[[DeviceProfile], Availability]
_LEAST_DEADLINE = 30.0
_COUNTED = {Metric.ENERGY, Metric.ENERGY_WINDOW}  # by a counter where they are measured
_MEMORY_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Checked:
    """A request in which nothing is wrong, with its model and data loaded; nothing is written.

    found: whether each device is there, by name. known: profiles by name, those of devices that
    only parts of a candidate are at included.
    """

    request: TuneRequest
    subject: Subject
    profiles: tuple[DeviceProfile, ...]
    found: Mapping[str, Availability]
    known: Mapping[str, DeviceProfile]

    def caveats(self, profile: DeviceProfile, candidate: Candidate) -> tuple[str, ...]:
        """What is to be said beside what was measured of a candidate.

        Of the device that was searched, and of those that only parts of the candidate are at.
        """
        return caveats(profile, candidate, self.known)


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is in the store, with what it is about.

    more_seconds: to be added to its budget per device, which opens a finished run again.
    """

    run: Run
    checked: Checked
    more_seconds: float = 0.0

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @property
    def request(self) -> TuneRequest:
        """What was asked for."""
        return self.checked.request

    @property
    def subject(self) -> Subject:
        """The model with its data."""
        return self.checked.subject

    @property
    def profiles(self) -> tuple[DeviceProfile, ...]:
        """The devices, those that are not there included."""
        return self.checked.profiles

    def profiles_of(self, devices: Collection[str]) -> tuple[DeviceProfile, ...]:
        """Those of these names, whether the request names them or only a part is there."""
        return tuple(each for name, each in self.checked.known.items() if name in devices)


def check_request(
    request: TuneRequest,
    profiles: Mapping[str, DeviceProfile],
    *,
    require_all: bool = False,
    availability: Find = device_availability,
) -> Checked:
    """Find everything that can be wrong with a request, before anything is written.

    require_all: a device that is not there is an error. availability: how to find that out.

    Raises InputError.
    """
    request.check()
    chosen = select_profiles(request.devices, dict(profiles))
    found = {profile.name: availability(profile) for profile in chosen}
    _check_threads(request, found)
    if require_all:
        _require_all(found)
    _require_energy(request, [p for p in chosen if found[p.name].available], found)
    _require_clock(request, [p for p in chosen if found[p.name].available])
    return Checked(request, load_subject(request), chosen, found, profiles)


def start_run(store: Store, checked: Checked, kind: RunKind = RunKind.TUNE) -> OpenRun:
    """Enter a new run into the store, with what it is about; no process works on it yet.

    Raises StoreError.
    """
    subject = checked.subject
    here = DeviceFacts(fingerprint(), software_versions(), ())
    machine_id, software_id = add_machine(store, here)
    store.add_model(model_record(subject.model, subject.graph))
    run = Run(
        _free_name(store, new_run_name(subject.model.name)),
        kind,
        subject.model.sha256,
        machine_id,
        software_id,
        checked.request.seed,
        checked.request.to_json(),
        RunStatus.INTERRUPTED,
        summary=Memory(subject.dataset.sha256).to_json(),
    )
    store.create_run(run)
    return OpenRun(run, checked)


def resume_run(
    store: StoreReader,
    name: str,
    profiles: Mapping[str, DeviceProfile],
    *,
    output: str = "",
    require_all: bool = False,
    more_seconds: float = 0.0,
    availability: Find = device_availability,
) -> OpenRun:
    """The run of this name, with its model and data loaded anew; nothing is written.

    name: whole, or a beginning that no other run of ``farm tune`` has.
    output: a folder for the winners in place of the run's own.
    more_seconds: to be added to its budget per device, once it is taken up.

    Raises NotInStore, and InputError when it cannot go on: what it is about has changed, or
    another process works on it.
    """
    if not (math.isfinite(more_seconds) and more_seconds >= 0):
        raise OptionError(f"more_seconds must be 0 or more and finite, got {more_seconds:g}.")
    run = store.run_called(name, RunKind.TUNE)
    name = run.name
    if run.kind is not RunKind.TUNE:
        raise OptionError(f"Run {name} is of `farm {run.kind}`; only `farm tune` can be resumed.")
    lease = store.leases().get(name)
    if lease is not None and not is_gone(lease, store.time()):
        raise held_error(lease)
    request = TuneRequest.from_json(run.request)
    if output:
        request = replace(request, output=output)
    checked = check_request(request, profiles, require_all=require_all, availability=availability)
    check_model(checked, run.model_sha256, f"Run {name} cannot be resumed")
    if Memory.of(run).data_sha256 not in ("", checked.subject.dataset.sha256):
        raise OptionError(
            f"Run {name} cannot be resumed: {request.data or 'the made-up data'} is not the data "
            "it was started with. Restore the file, or start a new run."
        )
    return OpenRun(run, checked, more_seconds)


def check_model(checked: Checked, sha256: str, what: str) -> None:
    """Raise OptionError, which begins with ``what``, when the model is another one by now."""
    found = checked.subject.model.sha256
    if found != sha256:
        raise OptionError(
            f"{what}: {checked.request.model} is not the model it was started with (SHA-256 "
            f"{found[:12]}, was {sha256[:12]}). Restore the file, or start a new run."
        )


def new_run_name(model: str) -> str:
    """``kws-20261121-065312``: the model's name, fit for a folder, and the time (UTC)."""
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", model).strip("-.") or "model"
    return f"{stem}-{utc_now():%Y%m%d-%H%M%S}"


def open_journal(
    store: Store,
    executor: Executor,
    opened: OpenRun,
    profile: DeviceProfile,
    facts: DeviceFacts,
    *,
    complete: bool = False,
    expects: Expects = NOTHING,
) -> Journal:
    """The journal of one device in a run. A trial may use half the budget for any one step.

    complete: all is measured there, and nothing is tried again. expects: see ``Journal``.
    """
    machine_id, software_id = add_machine(store, facts)
    seconds = max(_LEAST_DEADLINE, opened.request.budget_seconds / 2)
    memory = profile.memory_bytes or int(_MEMORY_SHARE * facts.machine.memory_bytes)
    scope = Scope(
        opened.name,
        profile.name,
        opened.subject.model.sha256,
        opened.subject.workload.key,
        machine_id,
        software_id,
        Limits(seconds, seconds, seconds, memory),
        facts.software,
        facts.environments,
        _energy_window(store, opened, profile.name, facts),
    )
    return Journal(store, executor, scope, complete=complete, expects=expects)


def _free_name(store: Store, name: str) -> str:
    """The name, with a number behind it where a run of the same second has it."""
    free, number = name, 1
    while _has_run(store, free):
        number += 1
        free = f"{name}-{number}"
    return free


def _has_run(store: Store, name: str) -> bool:
    try:
        store.run(name)
    except NotInStore:
        return False
    return True


def _check_threads(request: TuneRequest, found: Mapping[str, Availability]) -> None:
    """Raise OptionError for more threads than the machine of a device has cores."""
    for name, device in found.items():
        cores = device.cores or fingerprint().cores
        machine = f"the machine of device {name}" if device.cores else "this machine"
        if request.threads > cores:
            raise OptionError(
                f"--threads must not be above the {cores} core{'s' if cores > 1 else ''} of "
                f"{machine}, got {request.threads}."
            )


def _require_all(found: Mapping[str, Availability]) -> None:
    """Raise OptionError when a device is not there (``--require-all``)."""
    missing = [
        f"{name}: {a.reason} (remedy: {a.remedy})" for name, a in found.items() if not a.available
    ]
    if missing:
        listed = "; ".join(missing)
        raise OptionError(f"--require-all was given, but not all devices are there: {listed}.")


def _require_energy(
    request: TuneRequest, profiles: Sequence[DeviceProfile], found: Mapping[str, Availability]
) -> None:
    """Raise OptionError when energy decides and a device's is neither counted nor computed."""
    unknown = [p.name for p in profiles if p.power is None and not found[p.name].counts_energy]
    if asks_energy(request.objective, request.constraints) and unknown:
        raise OptionError(
            f"The energy of {', '.join(unknown)} is unknown: it has no counter that can be read, "
            "and its device profile has no [power] figures. Add them, or leave out --objective "
            "energy and --max-energy."
        )


def _energy_window(
    store: StoreReader, opened: OpenRun, device: str, facts: DeviceFacts
) -> float | None:
    """Seconds that the energy of a run's trials is counted for; None where it is not.

    What was begun by modelled energy, where nothing could be counted, goes on by it: methods are
    not mixed in one ranking. Raises OptionError: it was counted, and cannot be now.
    """
    request = opened.request
    if not asks_energy(request.objective, request.constraints):
        return None
    searched = store.trials(run=opened.name, device=device, phase=Phase.SEARCH)
    first = next((trial for trial in searched if trial.outcome is Outcome.OK), None)
    known = store.measurements(first.id) if first else ()
    counted = any(m.metric in _COUNTED and m.method is Method.MEASURED for m in known)
    if counted and facts.energy_window is None:
        raise OptionError(
            f"The run {opened.name} began by the energy that a counter of {device} told, and no "
            "counter can be read now; make it readable, or begin another run."
        )
    return facts.energy_window if first is None or counted else None


def _require_clock(request: TuneRequest, profiles: Sequence[DeviceProfile]) -> None:
    """Raise OptionError when loading decides on a device that an emulator stands for."""
    asked = request.objective is Objective.LOAD or request.constraints.max_load is not None
    clockless = {CPackageEmulated().kind, *UNTIMED}
    emulated = [p.name for p in profiles if p.engines and clockless.issuperset(p.engines)]
    if asked and emulated:
        raise OptionError(
            f"How long loading takes on {', '.join(emulated)} cannot be measured: its code runs "
            "in an emulator. Leave out the device, or --objective load and --max-load."
        )
