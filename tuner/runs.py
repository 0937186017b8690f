"""Runs in the store: opening a new one or an old one, and a journal for each of its devices."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from db import records
from db.records import Run, RunKind, Software, utc_now
from db.store import Store
from farm.device import Availability, DeviceProfile, select_profiles
from farm.errors import OptionError
from tuner.journal import Journal, Scope
from tuner.request import TuneRequest
from tuner.subject import Subject, load_subject
from workers.discovery import device_availability
from workers.executor import Executor
from workers.fingerprint import fingerprint, software_versions
from workers.jobs import DeviceFacts, Limits

_LEAST_DEADLINE = 30.0
_MEMORY_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that is in the store, with what it is about."""

    run: Run
    request: TuneRequest
    subject: Subject
    profiles: tuple[DeviceProfile, ...]

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name


def open_run(
    store: Store,
    request: TuneRequest | None,
    resume: str | None,
    profiles: Mapping[str, DeviceProfile],
    *,
    require_all: bool = False,
    kind: RunKind = RunKind.TUNE,
) -> OpenRun:
    """A new run for a request, or the run to be resumed, with its model and data loaded.

    Everything that can be wrong with them is found before anything is written.

    Raises InputError, StoreError.
    """
    if resume is not None:
        run = store.run(resume)
        request = TuneRequest.from_json(run.request)
    assert request is not None
    request.check()
    chosen = select_profiles(request.devices, dict(profiles))
    if require_all:
        _require_all(chosen)
    subject = load_subject(request)
    if resume is None:
        run = start_run(request, subject, store, kind)
    elif run.model_sha256 != subject.model.sha256:
        raise OptionError(
            f"Run {resume} cannot be resumed: {request.model} is not the model it was started "
            f"with (SHA-256 {subject.model.sha256[:12]}, was {run.model_sha256[:12]})."
        )
    return OpenRun(run, request, subject, chosen)


def start_run(
    request: TuneRequest, subject: Subject, store: Store, kind: RunKind = RunKind.TUNE
) -> Run:
    """Enter a new run into the store, with what it is about. Raises StoreError."""
    here = DeviceFacts(fingerprint(), software_versions(), ())
    machine_id, software_id = _add_machine(store, here)
    model = subject.model
    shapes = {spec.name: list(spec.shape) for spec in model.inputs}
    store.add_model(
        records.Model(
            model.sha256,
            model.name,
            model.opset,
            len(subject.graph.operators),
            subject.graph.weight_bytes // 4,
            subject.graph.macs,
            json.dumps({"shapes": shapes}),
        )
    )
    run = Run(
        new_run_name(model.name),
        kind,
        model.sha256,
        machine_id,
        software_id,
        request.seed,
        request.to_json(),
    )
    store.create_run(run)
    return run


def new_run_name(model: str) -> str:
    """``kws-20261121-065312``: the model's name, fit for a folder, and the time (UTC)."""
    stem = re.sub(r"[^A-Za-z0-9_.]+", "-", model).strip("-.") or "model"
    return f"{stem}-{utc_now():%Y%m%d-%H%M%S}"


def open_journal(
    store: Store, executor: Executor, opened: OpenRun, profile: DeviceProfile, facts: DeviceFacts
) -> Journal:
    """The journal of one device in a run. A trial may use half the budget for any one step."""
    machine_id, software_id = _add_machine(store, facts)
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
    )
    return Journal(store, executor, scope)


def _add_machine(store: Store, facts: DeviceFacts) -> tuple[str, str]:
    """Enter a worker's machine and software; their ids."""
    print_ = facts.machine
    details = {
        "isa": print_.isa,
        "caches": print_.caches,
        "system": print_.system,
        "governor": print_.governor,
    }
    machine = records.Machine.identify(
        print_.hostname,
        print_.cpu,
        print_.cores,
        print_.memory_bytes,
        json.dumps(details, sort_keys=True),
    )
    software = Software.identify(json.dumps(facts.software, sort_keys=True))
    store.add_machine(machine)
    store.add_software(software)
    return machine.id, software.id


def _require_all(profiles: Sequence[DeviceProfile]) -> None:
    """Raise OptionError when a device is not there (``--require-all``)."""
    found: dict[str, Availability] = {p.name: device_availability(p) for p in profiles}
    missing = [
        f"{name}: {a.reason} (remedy: {a.remedy})" for name, a in found.items() if not a.available
    ]
    if missing:
        listed = "; ".join(missing)
        raise OptionError(f"--require-all was given, but not all devices are there: {listed}.")
