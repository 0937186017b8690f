"""The whole of ``farm tune``: prepare, search, confirm and deliver on every device of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from db import records
from db.records import RunStatus
from db.store import Store
from farm.candidate import Candidate, PackageEngine
from farm.device import DeviceProfile
from farm.errors import InfrastructureError, InputError
from farm.measurement import Metric
from farm.model.formats import given_format
from farm.model.shapes import fixed_sentence
from tuner.delivery.winners import Provenance, deliver, deliver_package, output_folder
from tuner.events import BestChanged, DeviceStarted, Event, Listener, StageStarted
from tuner.racing.objective import Scorer
from tuner.racing.track import RaceTrack
from tuner.results import (
    AccuracyComparison,
    DeviceResult,
    Measured,
    Status,
    TuneResult,
    Verdict,
)
from tuner.runs.clock import Budget
from tuner.runs.details import metric_of
from tuner.runs.history import Entry
from tuner.runs.journal import Journal
from tuner.runs.start import Checked, Memory, OpenRun, open_journal
from tuner.search.confirm import Confirmation, Confirmed
from tuner.search.propose import Proposer
from tuner.search.search import Alone, Found, Search, count_outcomes
from tuner.search.space import Space, fitted, space_of
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
    A KeyboardInterrupt ends the run as interrupted, with everything kept.

    Raises StoreError. Raises InputError: the data or the metric do not suit the model's outputs,
    or the winner cannot be written.
    """
    results = {p.name: _unavailable(p, opened.checked) for p in opened.profiles}
    present = [p for p in opened.profiles if results[p.name] is None]
    tuning = _Tuning(store, opened, listen)
    interrupted = False
    store.update_run(opened.name, status=RunStatus.RUNNING)
    try:
        if present:
            with executors(present) as executor:
                for profile in present:
                    results[profile.name] = tuning.device(profile, executor)
    except KeyboardInterrupt:
        interrupted = True
    except InputError:
        store.update_run(opened.name, status=RunStatus.FAILED)
        raise
    result = TuneResult(
        opened.name,
        str(opened.subject.model.path),
        opened.subject.model.sha256,
        tuple(r for r in results.values() if r is not None),
        str(output_folder(opened)),
        interrupted,
        opened.request.objective,
    )
    store.update_run(opened.name, status=_status(result))
    return result


def _status(result: TuneResult) -> RunStatus:
    if result.interrupted:
        return RunStatus.INTERRUPTED
    return RunStatus.FINISHED if result.any_tuned else RunStatus.FAILED


class _Tuning:
    """One invocation of a run."""

    def __init__(self, store: Store, opened: OpenRun, listen: Listener) -> None:
        self._store = store
        self._opened = opened
        self._request = opened.request
        self._subject = opened.subject
        self._listen = listen

    def device(self, profile: DeviceProfile, executor: Executor) -> DeviceResult:
        """Search, confirm and deliver on one device."""
        memory = Memory.of(self._store.run(self._opened.name))
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
            journal = open_journal(self._store, executor, self._opened, profile, facts)
            request, work = self._request, self._subject.work
            scorer = Scorer(request.objective, request.constraints, work, profile.power)
            track = RaceTrack(journal, scorer, budget, request.seed)
            space, notes = self._space(profile, executor, facts, journal)
            proposer = Proposer(space, _sensitivity(profile, executor, journal), request.seed)
            search = Search(journal, executor, proposer, scorer, budget, track, listen)
            found = search.run(space.baselines(), request.max_trials)
            confirmation = Confirmation(journal, executor, scorer, track, budget, listen)
            confirmed = confirmation.run(found)
            if not ended:
                self._note(profile.name, budget.used, confirmed=True)
                ended = True
            result = self._result(profile, found, confirmed, track, notes)
            return self._delivered(result, executor, journal, confirmed.winner)
        except InfrastructureError as error:
            trials = count_outcomes(search.entries) if search else {}
            return DeviceResult(profile.name, Status.FAILED, str(error), trials=trials)
        finally:
            if not ended:
                self._note(profile.name, budget.used)

    def _note(self, device: str, used: float, *, confirmed: bool = False) -> None:
        name = self._opened.name
        memory = Memory.of(self._store.run(name))
        memory = replace(memory, seconds={**memory.seconds, device: used})
        if confirmed:
            memory = replace(memory, confirmed=(*memory.confirmed, device))
        spent = sum(memory.seconds.values())
        self._store.update_run(name, active_seconds=spent, summary=memory.to_json())

    def _space(
        self, profile: DeviceProfile, executor: Executor, facts: DeviceFacts, journal: Journal
    ) -> tuple[Space, tuple[str, ...]]:
        """The space of the device and this model, and what is left out of it."""
        if not facts.engines:
            raise InfrastructureError(f"none of the engines of {profile.name} can run here.")
        space = space_of(facts, given_format(self._subject.model.proto))
        try:
            job = journal.job(space.baseline(), records.Phase.SEARCH)
            names = executor.quantizable(profile.name, job)
        except ChildError:
            names = {}  # the model cannot be prepared: quantised candidates will say why
        rewritable = bool(names.pop("rewritten", ()))
        space = replace(space, quantizable=names, rewritable=rewritable)
        graph = self._subject.graph
        return fitted(space, graph.macs, graph.weight_bytes, quantised=self._came_quantised())

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
            baseline=_measured(confirmed.baseline),
            winner=None if nothing else _measured(confirmed.winner),
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
        self, result: DeviceResult, executor: Executor, journal: Journal, winner: Entry
    ) -> DeviceResult:
        """The result with the folder of the winner, which is written here."""
        if result.winner is None or winner.candidate.engine.kind == "fake":
            return result  # the fake device has no model that could be delivered
        provenance = Provenance(self._store, self._opened, result, winner.candidate)
        if isinstance(winner.candidate.engine, PackageEngine):
            job = journal.job(winner.candidate, records.Phase.CONFIRM)
            folder = deliver_package(provenance, executor, job, winner)
        else:
            files = executor.artifact_files(result.device, winner.artifact_key)
            folder = deliver(provenance, files["model.onnx"])
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


def _measured(entry: Entry) -> Measured:
    return Measured(
        entry.trial_id,
        entry.candidate.id,
        entry.candidate.label(),
        entry.artifact_key,
        entry.measurements,
    )
