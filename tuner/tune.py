"""The whole of ``farm tune``: prepare, search, confirm and deliver on every device of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from db import records
from db.records import RunStatus
from db.store import Store
from farm.artifact import MODEL_FILE
from farm.candidate import Candidate, PackageEngine
from farm.device import DeviceProfile
from farm.errors import InfrastructureError
from farm.measurement import Metric
from farm.model.formats import given_format
from farm.model.shapes import fixed_sentence
from tuner.delivery.unconfirmed import UnderWay, best_so_far, interrupted, measured
from tuner.delivery.winners import (
    Provenance,
    artifact_files,
    deliver,
    deliver_package,
    output_folder,
)
from tuner.events import BestChanged, DeviceStarted, Event, Listener, StageStarted
from tuner.racing.objective import Scorer
from tuner.racing.track import RaceTrack
from tuner.results import (
    AccuracyComparison,
    DeviceResult,
    Status,
    TuneResult,
    Verdict,
)
from tuner.runs.clock import Budget
from tuner.runs.details import metric_of
from tuner.runs.journal import Journal
from tuner.runs.life import Life, living
from tuner.runs.memory import DeviceMemory, Memory
from tuner.runs.start import Checked, OpenRun, open_journal
from tuner.search.confirm import Confirmation, Confirmed
from tuner.search.propose import Proposer
from tuner.search.search import Alone, Found, Search, count_outcomes
from tuner.search.space import Space, fitted, space_of, threads_sentence
from workers.executor import Executor
from workers.jobs import DeviceFacts
from workers.trials.process import ChildError

_ALONE = {
    Alone.BUDGET: "the budget was used up by the baseline and its confirmation; nothing else was "
    "tried: give a longer --budget",
    Alone.TRIALS: "nothing else was tried, because the baseline alone was asked for: give more "
    "--trials",
    Alone.EXHAUSTED: "nothing else was tried, because there is no other choice for this model on "
    "this device",
}
ExecutorFactory = Callable[[Sequence[DeviceProfile]], AbstractContextManager[Executor]]


def tune_run(
    store: Store, opened: OpenRun, executors: ExecutorFactory, listen: Listener
) -> TuneResult:
    """Tune every device of a run that is there, one after the other; report on the others.

    One after the other, because two devices of one machine would disturb each other.
    A KeyboardInterrupt ends the run as interrupted, with everything kept and the best so far
    delivered; a second one ends that, too.
    Of a run that is finished nothing more is measured: what it found is delivered again.

    Raises StoreError. Raises InputError: the data or the metric do not suit the model's outputs,
    the winner cannot be written, or another process works on the run.
    """
    with living(store, opened) as life:
        result = _tune(_Tuning(store, life, listen), life.opened, executors)
        life.status = _status(result)
    return result


def _tune(tuning: _Tuning, opened: OpenRun, executors: ExecutorFactory) -> TuneResult:
    results = {p.name: tuning.without_worker(p) for p in opened.profiles}
    present = [p for p in opened.profiles if results[p.name] is None]
    ended_early = False
    try:
        if present:
            with executors(present) as executor:
                ended_early = tuning.devices(present, executor, results)
    except KeyboardInterrupt:
        ended_early = True
    return TuneResult(
        opened.name,
        str(opened.subject.model.path),
        opened.subject.model.sha256,
        tuple(r or tuning.not_reached(name) for name, r in results.items()),
        str(output_folder(opened)),
        ended_early,
        opened.request.objective,
        opened.request.threads,
    )


def _status(result: TuneResult) -> RunStatus:
    if result.interrupted:
        return RunStatus.INTERRUPTED
    return RunStatus.FINISHED if result.any_tuned else RunStatus.FAILED


class _Tuning:
    """One invocation of a run."""

    def __init__(self, store: Store, life: Life, listen: Listener) -> None:
        self._store = store
        self._opened = life.opened
        self._sealed = life.sealed
        self._request = life.opened.request
        self._subject = life.opened.subject
        self._listen = listen
        self._under_way: UnderWay | None = None
        self._confirmed: DeviceResult | None = None

    def devices(
        self,
        present: Sequence[DeviceProfile],
        executor: Executor,
        results: dict[str, DeviceResult | None],
    ) -> bool:
        """Tune one device after the other, and enter the results; whether it was interrupted."""
        for profile in present:
            self._forget()
            try:
                results[profile.name] = self.device(profile, executor)
            except KeyboardInterrupt:
                if self._confirmed:
                    results[profile.name] = self._confirmed
                elif self._under_way:
                    found = best_so_far(self._store, self._opened, executor, self._under_way)
                    results[profile.name] = found
                return True
        return False

    def _forget(self) -> None:
        self._under_way = self._confirmed = None

    def not_reached(self, device: str) -> DeviceResult:
        """The result of a device to which an interrupted invocation did not come."""
        if device not in Memory.of(self._store.run(self._opened.name)).confirmed:
            return interrupted(device)
        reason = "interrupted before its winner, which is confirmed, was gone through again"
        return replace(interrupted(device), reason=reason)

    def without_worker(self, profile: DeviceProfile) -> DeviceResult | None:
        """What is known of a device for which no worker is needed; None where one is."""
        memory, result = self._memory(), _unavailable(profile, self._opened.checked)
        if result is None and self._sealed and profile.name not in memory.confirmed:
            return self._left_out(profile.name, memory.devices.get(profile.name))
        if result is not None and not self._sealed:
            self._remember(memory.with_result(result, ""))
        return result

    def device(self, profile: DeviceProfile, executor: Executor) -> DeviceResult:
        """Search, confirm and deliver on one device."""
        result = self._device(profile, executor)
        if not self._sealed or result.status is Status.TUNED:
            output = str(Path(result.output).absolute()) if result.output else ""
            self._remember(self._memory().with_result(result, output))
        return result

    def _left_out(self, device: str, known: DeviceMemory | None) -> DeviceResult:
        """The run finished without this device, and a finished run measures nothing more."""
        why = f": {known.reason}" if known and known.reason else ""
        return DeviceResult(
            device,
            Status.FAILED,
            f"the run finished without it{why}",
            f"give it time: farm tune --resume {self._opened.name} --budget +TIME",
        )

    def _device(self, profile: DeviceProfile, executor: Executor) -> DeviceResult:
        memory = self._memory()
        ended, total = profile.name in memory.confirmed, self._request.budget_seconds
        # Without any time left, what was measured is gone through again, and nothing more is.
        budget = Budget(total, total if ended else memory.seconds.get(profile.name, 0.0))
        search: Search | None = None

        def listen(event: Event) -> None:
            # Now and then, so that a run that is killed has used its time, too.
            if isinstance(event, StageStarted | BestChanged) and not ended:
                self._note(profile.name, budget.used)
            self._listen(event)

        listen(DeviceStarted(profile.name, budget.left))
        try:
            executor.prepare(profile.name, self._subject.workload)
            facts = executor.describe(profile.name)
            journal = open_journal(
                self._store, executor, self._opened, profile, facts, complete=ended
            )
            request, work = self._request, self._subject.work
            scorer = Scorer(request.objective, request.constraints, work, profile.power)
            track = RaceTrack(journal, scorer, budget, request.seed)
            space, notes = self._space(profile, executor, facts, journal)
            proposer = Proposer(space, _sensitivity(profile, executor, journal), request.seed)
            search = Search(journal, executor, proposer, scorer, budget, track, listen)
            self._under_way = UnderWay(journal, search, scorer, track)
            found = search.run(space.baselines(), request.max_trials)
            confirmation = Confirmation(journal, executor, scorer, track, budget, listen)
            confirmed = confirmation.run(found, memory.champion(profile.name))
            if not ended:
                self._note(profile.name, budget.used, confirmed=True)
                ended = True
            result = self._result(profile, found, confirmed, track, notes)
            self._confirmed = result
            result = self._delivered(result, executor, journal, confirmed)
            remarks = executor.take_remarks(profile.name)
            return replace(result, notes=(*result.notes, *remarks))
        except InfrastructureError as error:
            trials = count_outcomes(search.entries) if search else {}
            return DeviceResult(profile.name, Status.FAILED, str(error), trials=trials)
        finally:
            if not ended:
                self._note(profile.name, budget.used)

    def _note(self, device: str, used: float, *, confirmed: bool = False) -> None:
        memory = self._memory().spent(device, used)
        self._remember(memory.with_confirmed(device) if confirmed else memory)

    def _memory(self) -> Memory:
        return Memory.of(self._store.run(self._opened.name))

    def _remember(self, memory: Memory) -> None:
        spent = sum(memory.seconds.values())
        name = self._opened.name
        self._store.update_run(name, active_seconds=spent, summary=memory.to_json())

    def _space(
        self, profile: DeviceProfile, executor: Executor, facts: DeviceFacts, journal: Journal
    ) -> tuple[Space, tuple[str, ...]]:
        """The space of the device and this model, and what is left out of it."""
        if not facts.engines:
            raise InfrastructureError(f"none of the engines of {profile.name} can run here.")
        given = given_format(self._subject.model.proto)
        space = space_of(facts, given, self._request.threads)
        try:
            job = journal.job(space.baseline(), records.Phase.SEARCH)
            names = executor.quantizable(profile.name, job)
        except ChildError:
            names = {}  # the model cannot be prepared: quantised candidates will say why
        rewritable = bool(names.pop("rewritten", ()))
        space = replace(space, quantizable=names, rewritable=rewritable)
        graph = self._subject.graph
        space, notes = fitted(
            space, graph.macs, graph.weight_bytes, quantised=self._came_quantised()
        )
        return space, (*threads_sentence(space), *notes)

    def _fixed(self) -> Iterator[str]:
        if fixed := fixed_sentence(self._subject.model.shapes):
            yield fixed

    def _came_quantised(self) -> bool:
        return any(op.op_type == "QuantizeLinear" for op in self._subject.graph.operators)

    def _kept_integers(self, found: Found) -> Iterator[str]:
        """Why packages have one precision only, where there were packages."""
        packaged = any(
            isinstance(entry.candidate.engine, PackageEngine) and entry.ok
            for entry in found.entries
        )
        if packaged and self._came_quantised():
            yield "The model came quantised, and packages keep its integers."

    def _result(
        self,
        profile: DeviceProfile,
        found: Found,
        confirmed: Confirmed,
        track: RaceTrack,
        notes: tuple[str, ...],
    ) -> DeviceResult:
        nothing = confirmed.verdict is Verdict.NONE_WITHIN_LIMITS
        return DeviceResult(
            profile.name,
            Status.FAILED if nothing else Status.TUNED,
            reason=_reason(confirmed.verdict, found),
            verdict=confirmed.verdict,
            baseline=measured(confirmed.baseline),
            winner=None if nothing else measured(confirmed.winner),
            ratio=confirmed.ratio,
            gain=confirmed.gain,
            accuracy=self._accuracy(confirmed),
            trials=count_outcomes(found.entries),
            disturbed=track.disturbed,
            tolerated=track.tolerated,
            notes=(
                *found.notes,
                *_does_not_fit(found),
                *self._kept_integers(found),
                *self._fixed(),
                *notes,
            ),
        )

    def _delivered(
        self, result: DeviceResult, executor: Executor, journal: Journal, confirmed: Confirmed
    ) -> DeviceResult:
        """The result with the folder of the winner, which is written here."""
        winner, baseline = confirmed.winner, confirmed.baseline.candidate
        if result.winner is None or winner.candidate.engine.kind == "fake":
            return result  # the fake device has no model that could be delivered
        provenance = Provenance(self._store, self._opened, result, winner.candidate, baseline)
        job = journal.job(winner.candidate, records.Phase.CONFIRM)
        if isinstance(winner.candidate.engine, PackageEngine):
            folder = deliver_package(provenance, executor, job, winner)
        else:
            folder = deliver(provenance, artifact_files(provenance, executor, job)[MODEL_FILE])
        return replace(result, output=str(folder))

    def _accuracy(self, confirmed: Confirmed) -> AccuracyComparison | None:
        winner = confirmed.winner.accuracy
        if winner is None:
            return None
        return AccuracyComparison(
            metric_of(self._store.trial(confirmed.winner.trial_id).details),
            confirmed.baseline.value(Metric.ACCURACY),
            confirmed.original.value(Metric.ACCURACY),
            confirmed.winner.value(Metric.ACCURACY),
            len(self._subject.splits.confirmation),
            on_real_data=not self._subject.dataset.synthetic,
            worst=winner.worst,
            notes=winner.notes,
        )


def _unavailable(profile: DeviceProfile, checked: Checked) -> DeviceResult | None:
    found = checked.found[profile.name]
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


def _reason(verdict: Verdict, found: Found) -> str:
    """Why there was nothing to deliver, or nothing to compare; "" where there was."""
    others = ", ".join(f"{n} {outcome}" for outcome, n in count_outcomes(found.others).items())
    match verdict:
        case Verdict.NOTHING_TRIED if found.alone:
            return _ALONE[found.alone]
        case Verdict.NOTHING_ELSE_OK:
            return f"nothing else could run within the limits ({others})"
        case Verdict.NONE_WITHIN_LIMITS if found.alone:
            return f"the baseline is not within the limits, and {_ALONE[found.alone]}"
        case Verdict.NONE_WITHIN_LIMITS:
            return str(verdict)
        case _:
            return ""


def _does_not_fit(found: Found) -> Iterator[str]:
    """Why the baseline is not the model as it was given."""
    if found.original is not found.baseline:
        label, message = found.original.candidate.label(), found.original.message
        reached = found.original.value(Metric.ACCURACY)
        accuracy = "" if reached is None else f" Its accuracy would be {reached:.4f}."
        yield f"{label}, the model as it was given, does not fit: {message}{accuracy}"
