"""The whole of ``farm tune``: load, prepare, search and confirm on every device, deliver."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from db import records
from db.records import Run, RunKind, RunStatus, Software, utc_now
from db.store import Store
from farm.accuracy import load_metric
from farm.candidate import Candidate
from farm.dataset import (
    MIN_SAMPLES,
    Dataset,
    Splits,
    load_dataset,
    split,
    synthetic_dataset,
)
from farm.dataset import Part as DataPart
from farm.delivery import write_delivery
from farm.device import DeviceProfile, select_profiles
from farm.energy import Work
from farm.engines import session_spec
from farm.errors import InfrastructureError, OptionError
from farm.graph import Graph, build_graph
from farm.measurement import Metric
from farm.model import Model, load_model
from farm.units import Bytes
from tuner.clock import Budget
from tuner.confirm import Confirmation, Confirmed
from tuner.events import DeviceStarted, Listener
from tuner.history import Entry
from tuner.journal import Journal, Scope
from tuner.objective import Scorer
from tuner.propose import Proposer
from tuner.racing import RaceTrack
from tuner.request import TuneRequest
from tuner.results import (
    AccuracyComparison,
    DeviceResult,
    Measured,
    Status,
    TuneResult,
)
from tuner.search import Search, count_outcomes
from tuner.space import Space
from workers.discovery import device_availability
from workers.executor import Executor
from workers.fingerprint import fingerprint, software_versions
from workers.jobs import DeviceFacts, Limits, Part, TrialJob, Workload
from workers.process import ChildError

SYNTHETIC_SAMPLES = 4 * MIN_SAMPLES

ExecutorFactory = Callable[[Sequence[DeviceProfile]], AbstractContextManager[Executor]]


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tuned: the model and its data, loaded and checked."""

    model: Model
    graph: Graph
    dataset: Dataset
    splits: Splits
    workload: Workload

    @property
    def work(self) -> Work:
        """What one run does, for the energy model."""
        live = [op for op in self.graph.operators if not op.folded]
        return Work(
            self.graph.macs,
            Bytes(sum(op.weight_bytes for op in live)),
            Bytes(sum(op.activation_bytes for op in live)),
        )


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


def load_subject(request: TuneRequest) -> Subject:
    """Load and check everything that a request names. Raises InputError."""
    if request.metric:
        load_metric(request.metric)
    model = load_model(Path(request.model), request.shapes)
    if request.data:
        dataset = load_dataset(Path(request.data), model)
    else:
        dataset = synthetic_dataset(model, SYNTHETIC_SAMPLES, request.seed)
    splits = split(dataset, request.seed)
    return Subject(model, build_graph(model), dataset, splits, _workload(request, model, splits))


def open_run(
    store: Store,
    request: TuneRequest | None,
    resume: str | None,
    profiles: Mapping[str, DeviceProfile],
    *,
    require_all: bool = False,
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
        run = start_run(request, subject, store)
    elif run.model_sha256 != subject.model.sha256:
        raise OptionError(
            f"Run {resume} cannot be resumed: {request.model} is not the model it was started "
            f"with (SHA-256 {subject.model.sha256[:12]}, was {run.model_sha256[:12]})."
        )
    return OpenRun(run, request, subject, chosen)


def tune_run(
    store: Store,
    opened: OpenRun,
    output: Path | None,
    executors: ExecutorFactory,
    listen: Listener,
) -> TuneResult:
    """Tune an opened run. output: folder for the winners; None for ``runs/RUN``.

    Raises InfrastructureError, StoreError, OSError when the winner cannot be written.
    """
    folder = output or Path("runs") / opened.name
    tuning = Tuning(opened.request, opened.subject, opened.run, store, folder, listen)
    return tuning.run(opened.profiles, executors)


def start_run(request: TuneRequest, subject: Subject, store: Store) -> Run:
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
        RunKind.TUNE,
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


class Tuning:
    """One invocation of tune or of its resumption.

    output: folder for the winners, one subfolder per device.
    """

    def __init__(
        self,
        request: TuneRequest,
        subject: Subject,
        run: Run,
        store: Store,
        output: Path,
        listen: Listener,
    ) -> None:
        self._request = request
        self._subject = subject
        self._run = run
        self._store = store
        self._output = output
        self._listen = listen
        self._used = run.active_seconds

    def run(self, profiles: Sequence[DeviceProfile], executors: ExecutorFactory) -> TuneResult:
        """Tune every device that is there, one after the other; report on the others.

        One after the other, because two devices of one machine would disturb each other.
        A KeyboardInterrupt ends the run as interrupted, with everything kept.
        """
        results = {p.name: _unavailable(p) for p in profiles}
        present = [p for p in profiles if results[p.name] is None]
        interrupted = False
        self._store.update_run(self._run.name, status=RunStatus.RUNNING)
        try:
            if present:
                with executors(present) as executor:
                    for profile in present:
                        results[profile.name] = self._device(profile, executor)
        except KeyboardInterrupt:
            interrupted = True
        done = tuple(r for r in results.values() if r is not None)
        result = TuneResult(
            self._run.name,
            str(self._subject.model.path),
            self._subject.model.sha256,
            done,
            str(self._output),
            interrupted,
        )
        status = RunStatus.INTERRUPTED if interrupted else RunStatus.FINISHED
        self._store.update_run(self._run.name, status=status, active_seconds=self._used)
        return result

    def _device(self, profile: DeviceProfile, executor: Executor) -> DeviceResult:
        budget = Budget(self._request.budget_seconds, self._device_seconds(profile.name))
        self._listen(DeviceStarted(profile.name, budget.left))
        search: Search | None = None
        try:
            executor.prepare(profile.name, self._subject.workload)
            facts = executor.describe(profile.name)
            journal = self._journal(profile, executor, facts)
            scorer = Scorer(
                self._request.objective,
                self._request.constraints,
                self._subject.work,
                profile.power,
            )
            track = RaceTrack(journal, scorer, self._request.seed)
            space = self._space(profile, executor, facts, journal)
            proposer = Proposer(
                space, _sensitivity(profile, executor, journal), self._request.seed
            )
            search = Search(journal, executor, proposer, scorer, budget, track, self._listen)
            found = search.run(space.baseline(), self._request.max_trials)
            confirmation = Confirmation(journal, executor, scorer, track, budget, self._listen)
            confirmed = confirmation.run(found.baseline, found.finalists)
            return self._result(profile, executor, search, confirmed, track)
        except InfrastructureError as error:
            trials = count_outcomes(search.entries) if search else {}
            return DeviceResult(profile.name, Status.FAILED, str(error), trials=trials)
        finally:
            self._note_seconds(profile.name, budget.used)

    def _device_seconds(self, device: str) -> float:
        """Seconds that earlier invocations of this run spent on a device."""
        summary = json.loads(self._store.run(self._run.name).summary or "{}")
        return float(summary.get("seconds", {}).get(device, 0.0))

    def _note_seconds(self, device: str, used: float) -> None:
        summary = json.loads(self._store.run(self._run.name).summary or "{}")
        summary.setdefault("seconds", {})[device] = used
        self._used = sum(summary["seconds"].values())
        self._store.update_run(
            self._run.name, active_seconds=self._used, summary=json.dumps(summary)
        )

    def _journal(self, profile: DeviceProfile, executor: Executor, facts: DeviceFacts) -> Journal:
        machine_id, software_id = _add_machine(self._store, facts)
        memory = profile.memory_bytes or int(0.8 * facts.machine.memory_bytes)
        budget = self._request.budget_seconds
        limits = Limits(
            load_seconds=max(30.0, budget / 2),
            compile_seconds=max(30.0, budget / 2),
            evaluate_seconds=max(30.0, budget / 2),
            memory_bytes=memory,
        )
        scope = Scope(
            self._run.name,
            profile.name,
            self._subject.model.sha256,
            self._subject.workload.key,
            machine_id,
            software_id,
            limits,
        )
        return Journal(self._store, executor, scope)

    def _space(
        self, profile: DeviceProfile, executor: Executor, facts: DeviceFacts, journal: Journal
    ) -> Space:
        if not facts.engines:
            raise InfrastructureError(f"none of the engines of {profile.name} can run here.")
        space = Space(facts.engines, facts.machine.cores, facts.openvino_float_types)
        try:
            job = journal.job(space.baseline(), records.Phase.SEARCH)
            names = executor.quantizable(profile.name, job)
        except ChildError:
            names = {}  # the model cannot be prepared: quantised candidates will say why
        return replace(space, quantizable=names)

    def _result(
        self,
        profile: DeviceProfile,
        executor: Executor,
        search: Search,
        confirmed: Confirmed,
        track: RaceTrack,
    ) -> DeviceResult:
        folder = self._output / profile.name
        result = DeviceResult(
            profile.name,
            Status.TUNED,
            verdict=confirmed.verdict,
            baseline=_measured(confirmed.baseline),
            winner=_measured(confirmed.winner),
            ratio=confirmed.ratio,
            accuracy=self._accuracy(confirmed),
            trials=count_outcomes(search.entries),
            disturbed=track.disturbed,
            tolerated=track.tolerated,
        )
        if profile.is_fake:
            return result
        files = executor.artifact_files(profile.name, confirmed.winner.artifact_key)
        self._deliver(folder, files, confirmed.winner.candidate, result)
        return replace(result, output=str(folder))

    def _accuracy(self, confirmed: Confirmed) -> AccuracyComparison | None:
        ours = confirmed.winner.value(Metric.ACCURACY)
        theirs = confirmed.baseline.value(Metric.ACCURACY)
        if ours is None or theirs is None:
            return None
        part = self._subject.splits.confirmation
        details = json.loads(self._store.trial(confirmed.baseline.trial_id).details)
        metric = next(
            (n.split(": ", 1)[1] for n in details["notes"] if n.startswith("accuracy metric: ")),
            "",
        )
        real = not self._subject.dataset.synthetic
        return AccuracyComparison(metric, theirs, ours, len(part), real)

    def _deliver(
        self,
        folder: Path,
        files: Mapping[str, bytes],
        winner: Candidate,
        result: DeviceResult,
    ) -> None:
        assert result.winner is not None
        trial = self._store.trial(result.winner.trial_id)
        provenance = {
            "run": self._run.name,
            "trial": trial.id,
            "seed": self._run.seed,
            "request": json.loads(self._run.request),
            "model_sha256": self._subject.model.sha256,
            "device": result.device,
            "candidate": json.loads(self._store.candidate(winner.id).json),
            "verdict": str(result.verdict),
            "ratio": asdict(result.ratio) if result.ratio else None,
            "trial_details": json.loads(trial.details),
            "machine": asdict(self._store.machine(trial.machine_id)),
            "software": json.loads(self._store.software(trial.software_id).versions),
        }
        write_delivery(
            folder,
            files["model.onnx"],
            session_spec(winner),
            self._subject.model.inputs,
            json.dumps(provenance, indent=2, sort_keys=True) + "\n",
        )


def _workload(request: TuneRequest, model: Model, splits: Splits) -> Workload:
    parts = {
        Part.CALIBRATION: splits.calibration,
        Part.SEARCH: splits.search,
        Part.CONFIRMATION: splits.confirmation,
    }
    arrays = {part: _npz(data) for part, data in parts.items()}
    labels = {p: _npy(d.labels) for p, d in parts.items() if d.labels is not None}
    content = model.proto.SerializeToString(deterministic=True)
    digest = hashlib.sha256(content)
    for piece in (*arrays.values(), *labels.values(), request.metric.encode()):
        digest.update(piece)
    return Workload(digest.hexdigest()[:32], content, model.sha256, arrays, labels, request.metric)


def _npz(part: DataPart) -> bytes:
    buffer = io.BytesIO()
    inputs = part.dataset.inputs
    np.savez(buffer, **{name: array[part.indices] for name, array in inputs.items()})  # type: ignore[arg-type]
    return buffer.getvalue()


def _npy(labels: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, labels, allow_pickle=False)
    return buffer.getvalue()


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


def _unavailable(profile: DeviceProfile) -> DeviceResult | None:
    found = device_availability(profile)
    if found.available:
        return None
    return DeviceResult(profile.name, Status.UNAVAILABLE, found.reason, found.remedy)


def _require_all(profiles: Sequence[DeviceProfile]) -> None:
    """Raise OptionError when a device is not there (``--require-all``)."""
    missing = [r for r in map(_unavailable, profiles) if r is not None]
    if missing:
        listed = "; ".join(f"{r.device}: {r.reason} (remedy: {r.remedy})" for r in missing)
        raise OptionError(f"--require-all was given, but not all devices are there: {listed}.")


def _sensitivity(
    profile: DeviceProfile, executor: Executor, journal: Journal
) -> Callable[[Candidate], tuple[str, ...]]:
    known: dict[Candidate, tuple[str, ...]] = {}

    def ask(candidate: Candidate) -> tuple[str, ...]:
        if candidate not in known:
            job: TrialJob = journal.job(candidate, records.Phase.SEARCH)
            try:
                known[candidate] = executor.rank_sensitivity(profile.name, job)
            except ChildError:
                known[candidate] = ()  # nothing can be repaired; the trial said why
        return known[candidate]

    return ask


def _measured(entry: Entry) -> Measured:
    return Measured(
        entry.trial_id,
        entry.candidate.id,
        entry.candidate.label(),
        entry.artifact_key,
        entry.measurements,
    )
