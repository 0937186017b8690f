"""Runs as they truly stand: what was asked for, what came of it, and how to go on.

It needs the store alone, no model and no engine, so that asking is quick.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from db.costs.predictions import predictions
from db.reader import StoreReader
from db.records import Model, Phase, Run, RunKind, RunLease, RunStatus, Trial
from farm.errors import OptionError
from farm.measurement import Measurement, Metric, Outcome
from farm.prediction import Prediction
from tuner.request import TuneRequest
from tuner.results import Status
from tuner.runs.lease import is_gone
from tuner.runs.memory import DeviceMemory, Memory


@dataclass(frozen=True, slots=True)
class Standing:
    """A run with its true status.

    status: interrupted where the store says running and no process works on it; ``gone`` says so.
    lease: of the process that works on it, None where none does.
    devices: names, in the order they were asked for.
    """

    run: Run
    model: Model
    status: RunStatus
    lease: RunLease | None
    devices: tuple[str, ...]
    gone: str = ""


@dataclass(frozen=True, slots=True)
class DeviceStanding:
    """One device of a run.

    status: tuned, failed or unavailable; before that, unfinished or not begun. Where nothing is
    searched, by ``farm bench`` and on a night, measured, failed or that. reason: of the failure
    there. known: what became of a search on it, None before that. used, left: seconds of its
    budget; None where the run has none. trials: of the search, by outcome, ``pending`` for those
    without. unconfirmed: folder with the best so far of an interruption, "" where there is none.
    predicted, measured: latency of the winner, before and in its confirmation; None without.
    """

    device: str
    status: str
    known: DeviceMemory | None
    used: float | None
    left: float | None
    trials: Mapping[str, int]
    unconfirmed: str = ""
    predicted: Prediction | None = None
    measured: Measurement | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """A run with all that is told of it.

    request: what was asked for; None where this version of the farm cannot read it, and then
    ``unreadable`` says why. output: folder of the winners, empty where nothing is delivered.
    command: what goes on with it or, once it is finished, gives it more time; "" where neither
    can be.
    """

    standing: Standing
    request: TuneRequest | None
    unreadable: str
    devices: tuple[DeviceStanding, ...]
    output: str
    command: str

    @property
    def is_resumable(self) -> bool:
        """Whether ``--resume`` alone goes on with it."""
        return bool(self.command) and self.standing.status is not RunStatus.FINISHED


def list_runs(store: StoreReader, limit: int | None = None) -> tuple[Standing, ...]:
    """Runs as they stand, newest first. Raises StoreError."""
    leases, now = store.leases(), store.time()
    return tuple(
        _standing(run, store.model(run.model_sha256), leases.get(run.name), now)
        for run in store.runs(limit=limit)
    )


def overview(store: StoreReader, name: str) -> Overview:
    """All of one run. name: of the run, or the beginning of it.

    Raises NotInStore. Raises OptionError: several names begin so.
    """
    run = store.run_called(name)
    model, lease = store.model(run.model_sha256), store.leases().get(run.name)
    standing = _standing(run, model, lease, store.time())
    request, unreadable = _request(run)
    is_tune = run.kind is RunKind.TUNE
    budget = request.budget_seconds if request and is_tune else None
    output = (request.output if request else "") or (f"runs/{run.name}" if is_tune else "")
    memory, trials = Memory.of(run), _trials(store, run.name)
    return Overview(
        standing,
        request,
        unreadable,
        tuple(
            DeviceStanding(
                device,
                _device_status(run, memory, device, begun=device in trials),
                memory.devices.get(device),
                None if budget is None else memory.seconds.get(device, 0.0),
                None if budget is None else _left(memory, device, budget),
                _counts(trials.get(device, ())),
                memory.unconfirmed.get(device, ""),
                *_latency(store, memory.devices.get(device)),
                _failure(run, trials.get(device, ())),
            )
            for device in standing.devices
        ),
        output,
        _command(standing) if request else "",
    )


def _latency(
    store: StoreReader, known: DeviceMemory | None
) -> tuple[Prediction | None, Measurement | None]:
    """Of a device's winner, as it was expected and as it was measured."""
    if known is None or not known.trial:
        return None, None
    found = {m.metric: m for m in store.measurements(known.trial)}
    return predictions(store, known.trial).get(Metric.LATENCY), found.get(Metric.LATENCY)


def _standing(run: Run, model: Model, lease: RunLease | None, now: datetime) -> Standing:
    devices = _asked(run)
    if lease is not None and not is_gone(lease, now):
        return Standing(run, model, run.status, lease, devices)
    if run.status is not RunStatus.RUNNING:
        return Standing(run, model, run.status, None, devices)
    gone = "no process works on it"
    if lease is not None:
        gone = f"process {lease.pid} on host {lease.host} is gone"
    return Standing(run, model, RunStatus.INTERRUPTED, None, devices, gone)


def _left(memory: Memory, device: str, budget: float) -> float:
    return max(0.0, memory.opening(device, budget).until - memory.seconds.get(device, 0.0))


def _asked(run: Run) -> tuple[str, ...]:
    """The devices in a request of any version of the farm; none where it cannot be read."""
    try:
        devices = json.loads(run.request)["devices"]
    except (ValueError, TypeError, KeyError):
        return ()
    return tuple(map(str, devices)) if isinstance(devices, list) else ()


def _request(run: Run) -> tuple[TuneRequest | None, str]:
    try:
        return TuneRequest.from_json(run.request), ""
    except OptionError as error:
        return None, str(error)


def _device_status(run: Run, memory: Memory, device: str, *, begun: bool) -> str:
    if device in memory.devices:
        return str(memory.devices[device].status)
    if device in memory.confirmed:
        return str(Status.TUNED)
    if run.kind is not RunKind.TUNE and run.status is RunStatus.FINISHED:
        return "measured"
    if run.kind is not RunKind.TUNE and run.status is RunStatus.FAILED and begun:
        return str(Status.FAILED)
    return "unfinished" if begun else "not begun"


def _trials(store: StoreReader, run: str) -> dict[str, list[Trial]]:
    """Trials but those of confirmations, by device, the oldest first."""
    found: dict[str, list[Trial]] = {}
    for trial in store.trials(run=run):
        if trial.phase is not Phase.CONFIRM:
            found.setdefault(trial.device, []).append(trial)
    return found


def _counts(trials: Sequence[Trial]) -> dict[str, int]:
    """By outcome."""
    return dict(sorted(Counter(str(trial.outcome or "pending") for trial in trials).items()))


def _failure(run: Run, trials: Sequence[Trial]) -> str:
    """Of a run without a search, which one failure ends; a search says it of each device."""
    if run.kind is RunKind.TUNE or run.status is not RunStatus.FAILED:
        return ""
    failed = (t for t in trials if t.outcome not in (None, Outcome.OK))
    return next((f"{t.outcome}: {t.message}".rstrip(": ") for t in failed), "")


def _command(standing: Standing) -> str:
    if standing.run.kind is not RunKind.TUNE or standing.lease is not None:
        return ""
    finished = standing.status is RunStatus.FINISHED
    return f"farm tune --resume {standing.run.name}{' --budget +TIME' if finished else ''}"
