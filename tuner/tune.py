"""The whole of ``farm tune``: load, prepare, search and confirm on every device, deliver."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path

from db import records
from db.records import RunStatus
from db.store import Store
from farm.candidate import Candidate
from farm.delivery import write_delivery
from farm.device import DeviceProfile
from farm.engines import session_spec
from farm.errors import InfrastructureError
from farm.measurement import Metric
from tuner.bench import metric_name
from tuner.clock import Budget
from tuner.confirm import Confirmation, Confirmed
from tuner.events import DeviceStarted, Listener
from tuner.history import Entry
from tuner.journal import Journal
from tuner.objective import Scorer
from tuner.propose import Proposer
from tuner.racing import RaceTrack
from tuner.results import (
    AccuracyComparison,
    DeviceResult,
    Measured,
    Status,
    TuneResult,
)
from tuner.runs import OpenRun, open_journal
from tuner.search import Search, count_outcomes
from tuner.space import Space
from workers.discovery import device_availability
from workers.executor import Executor
from workers.jobs import DeviceFacts
from workers.process import ChildError

ExecutorFactory = Callable[[Sequence[DeviceProfile]], AbstractContextManager[Executor]]


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
    return Tuning(store, opened, folder, listen).run(executors)


class Tuning:
    """One invocation of tune or of its resumption.

    output: folder for the winners, one subfolder per device.
    """

    def __init__(self, store: Store, opened: OpenRun, output: Path, listen: Listener) -> None:
        self._store = store
        self._opened = opened
        self._run = opened.run
        self._request = opened.request
        self._subject = opened.subject
        self._output = output
        self._listen = listen

    def run(self, executors: ExecutorFactory) -> TuneResult:
        """Tune every device that is there, one after the other; report on the others.

        One after the other, because two devices of one machine would disturb each other.
        A KeyboardInterrupt ends the run as interrupted, with everything kept.
        """
        results = {p.name: _unavailable(p) for p in self._opened.profiles}
        present = [p for p in self._opened.profiles if results[p.name] is None]
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
        self._store.update_run(self._run.name, status=status)
        return result

    def _device(self, profile: DeviceProfile, executor: Executor) -> DeviceResult:
        budget = Budget(self._request.budget_seconds, self._device_seconds(profile.name))
        self._listen(DeviceStarted(profile.name, budget.left))
        search: Search | None = None
        try:
            executor.prepare(profile.name, self._subject.workload)
            facts = executor.describe(profile.name)
            journal = open_journal(self._store, executor, self._opened, profile, facts)
            scorer = Scorer(
                self._request.objective,
                self._request.constraints,
                self._subject.work,
                profile.power,
            )
            track = RaceTrack(journal, scorer, budget, self._request.seed)
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
        spent = sum(summary["seconds"].values())
        self._store.update_run(self._run.name, active_seconds=spent, summary=json.dumps(summary))

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
        metric = metric_name(self._store, confirmed.baseline.trial_id)
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


def _unavailable(profile: DeviceProfile) -> DeviceResult | None:
    found = device_availability(profile)
    if found.available:
        return None
    return DeviceResult(profile.name, Status.UNAVAILABLE, found.reason, found.remedy)


def _sensitivity(
    profile: DeviceProfile, executor: Executor, journal: Journal
) -> Callable[[Candidate], tuple[str, ...]]:
    known: dict[Candidate, tuple[str, ...]] = {}

    def ask(candidate: Candidate) -> tuple[str, ...]:
        if candidate not in known:
            job = journal.job(candidate, records.Phase.SEARCH)
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
