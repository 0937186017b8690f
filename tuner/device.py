"""One device of a run: prepare, search, confirm and deliver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock

from db import records
from db.store import Store
from farm.candidate import Candidate, PackageEngine, Pipeline
from farm.devices.profile import DeviceProfile
from farm.errors import InfrastructureError
from farm.measurement import Metric
from farm.model.formats import came_quantised, given_format
from farm.model.shapes import fixed_sentence
from farm.units import Seconds, rounded_up
from tuner.delivery.unconfirmed import UnderWay, best_so_far, interrupted, measured
from tuner.delivery.winners import Provenance, deliver_entry
from tuner.events import (
    BestChanged,
    DeviceEnded,
    DeviceStarted,
    Event,
    Listener,
    StageStarted,
    TimeForeseen,
)
from tuner.learning.effort import effort_on
from tuner.learning.expecting import expectations
from tuner.learning.versions import refit
from tuner.racing.objective import Scorer
from tuner.racing.track import RaceTrack
from tuner.results import AccuracyComparison, DeviceResult, Status, Verdict
from tuner.runs.clock import Budget
from tuner.runs.life import Life
from tuner.runs.memory import DeviceMemory, Memory
from tuner.runs.record.details import metric_of
from tuner.runs.record.journal import Journal
from tuner.runs.start import open_journal
from tuner.search.confirm import Confirmation, Confirmed
from tuner.search.enough import enough_budget
from tuner.search.profiles import (
    kept_for_profiles,
    take_damage,
    take_profiles,
    worth_profiling,
)
from tuner.search.search import Alone, Found, count_outcomes
from tuner.search.space import space_of
from tuner.searching import DeviceSearch
from workers.executor import Executor
from workers.jobs import DeviceFacts

_ALONE = {
    Alone.BUDGET: "the budget was used up by the baseline and its confirmation; nothing else was "
    "tried: by what these took, --budget {enough} is enough for another candidate",
    Alone.TRIALS: "nothing else was tried, because the baseline alone was asked for: give more "
    "--trials",
    Alone.EXHAUSTED: "nothing else was tried, because there is no other choice for this model on "
    "this device",
}


class Notebook:
    """What a run remembers of its devices, some of which may be tuned at the same time."""

    def __init__(self, store: Store, run: str) -> None:
        self._store = store
        self._run = run
        self._lock = Lock()

    def read(self) -> Memory:
        """What it remembers now."""
        return Memory.of(self._store.run(self._run))

    def write(self, change: Callable[[Memory], Memory]) -> None:
        """Change it, as nobody else does meanwhile."""
        with self._lock:
            memory = change(self.read())
            spent = sum(memory.seconds.values())
            self._store.update_run(self._run, active_seconds=spent, summary=memory.to_json())


class DeviceTuning:
    """One device in one invocation of a run."""

    def __init__(
        self,
        profile: DeviceProfile,
        store: Store,
        life: Life,
        notebook: Notebook,
        listen: Listener,
    ) -> None:
        self._profile = profile
        self._store = store
        self._opened = life.opened
        self._sealed = life.sealed
        self._request = life.opened.request
        self._subject = life.opened.subject
        self._notebook = notebook
        self._listen = listen
        self._searching: DeviceSearch | None = None
        self._confirmed: DeviceResult | None = None

    @property
    def name(self) -> str:
        """The device's name."""
        return self._profile.name

    def without_worker(self) -> DeviceResult | None:
        """What is known if no worker is needed; None where one is."""
        found = self._opened.checked.found[self.name]
        if not found.available:
            result = DeviceResult(self.name, Status.UNAVAILABLE, found.reason, found.remedy)
            if not self._sealed:
                self._notebook.write(lambda memory: memory.with_result(result, ""))
            return result
        memory = self._notebook.read()
        if self._sealed and self.name not in memory.confirmed:
            return self._left_out(memory.devices.get(self.name))
        return None

    def run(self, executor: Executor) -> DeviceResult:
        """Search, confirm and deliver. A KeyboardInterrupt leaves what ``interrupted`` gives."""
        try:
            result = self._run(executor)
            result = replace(result, notes=(*result.notes, *self._learned(result)))
        finally:
            self._listen(DeviceEnded(self.name))
        if not self._sealed or result.status is Status.TUNED:
            output = _absolute(result.output)
            self._notebook.write(lambda memory: memory.with_result(result, output))
        return result

    def interrupted(self, executor: Executor) -> DeviceResult:
        """The result after an interruption of ``run``: the best so far, which is delivered."""
        if self._confirmed:
            return self._confirmed
        begun = self._searching
        if begun and begun.search:
            under_way = UnderWay(begun.journal, begun.search, begun.scorer, begun.track)
            result = best_so_far(self._store, self._opened, executor, under_way)
            if output := _absolute(result.output):
                self._notebook.write(lambda memory: memory.with_unconfirmed(self.name, output))
            return result
        return self.not_reached()

    def not_reached(self) -> DeviceResult:
        """The result where an interrupted invocation did not come to this device."""
        if self.name not in self._notebook.read().confirmed:
            return interrupted(self.name)
        reason = "interrupted before its winner, which is confirmed, was gone through again"
        return replace(interrupted(self.name), reason=reason)

    def _left_out(self, known: DeviceMemory | None) -> DeviceResult:
        """The run finished without this device, and a finished run measures nothing more."""
        why = f": {known.reason}" if known and known.reason else ""
        return DeviceResult(
            self.name,
            Status.FAILED,
            f"the run finished without it{why}",
            f"give it time: farm tune --resume {self._opened.name} --budget +TIME",
        )

    def _run(self, executor: Executor) -> DeviceResult:
        profile, memory = self._profile, self._notebook.read()
        ended = was_ended = profile.name in memory.confirmed
        opening = memory.opening(profile.name, self._request.budget_seconds)
        # Without any time left, what was measured is gone through again, and nothing more is.
        spent = opening.until if ended else memory.seconds.get(profile.name, 0.0)
        kept = kept_for_profiles(opening.total)
        whole = Budget(opening.total, spent - opening.since)
        budget = Budget(opening.total - kept, spent - opening.since)
        searching: DeviceSearch | None = None

        def listen(event: Event) -> None:
            # Now and then, so that a run that is killed has used its time, too.
            if isinstance(event, StageStarted | BestChanged) and not ended:
                self._note(opening.since + budget.used)
            self._listen(event)

        listen(DeviceStarted(profile.name, whole.left))
        try:
            executor.prepare(profile.name, self._subject.workload)
            facts = executor.describe(profile.name)
            journal = self._journal(executor, facts, complete=ended)
            self._foresee(journal, facts, whole)
            scorer = self._scorer(journal)
            track = RaceTrack(journal, scorer, budget, self._request.seed)
            searching = DeviceSearch(
                self._store, executor, self._opened, profile, journal, scorer, track
            )
            self._searching = searching
            found = searching.run(facts, budget, listen)
            scorer, notes = searching.scorer, searching.notes
            confirmation = Confirmation(journal, executor, scorer, track, budget, listen)
            confirmed = confirmation.run(found, memory.champion(profile.name))
            if not ended:
                self._note(opening.since + budget.used, confirmed=True)
                ended = True
            doubts = journal.doubts((confirmed.baseline, confirmed.winner))
            result = self._result(profile, found, confirmed, track, (*notes, *doubts))
            self._confirmed = result
            result = self._delivered(result, executor, journal, confirmed)
            self._confirmed = result
            failed = _profiled(journal, found, confirmed, Budget(kept), listen)
            if was_ended:
                failed = memory.unprofiled.get(profile.name, ())
            else:
                failed += take_damage(journal, confirmed.winner)
                self._note(opening.since + budget.used)
                self._notebook.write(lambda memory: memory.with_unprofiled(self.name, failed))
            result = replace(result, notes=(*result.notes, *failed))
            remarks = executor.take_remarks(profile.name)
            return replace(result, notes=(*result.notes, *remarks))
        except InfrastructureError as error:
            tried = searching.search if searching else None
            trials = count_outcomes(tried.entries) if tried else {}
            return DeviceResult(profile.name, Status.FAILED, str(error), trials=trials)
        finally:
            if not ended:
                self._note(opening.since + budget.used)

    def _journal(self, executor: Executor, facts: DeviceFacts, *, complete: bool) -> Journal:
        """The journal, which keeps what the cost models expect of each trial."""
        return open_journal(
            self._store,
            executor,
            self._opened,
            self._profile,
            facts,
            complete=complete,
            expects=expectations(self._store, self._profile, facts, self._opened),
        )

    def _learned(self, result: DeviceResult) -> tuple[str, ...]:
        """Fit the device's cost models to what was measured, too; sentences where that failed."""
        if self._sealed or result.status is not Status.TUNED or self._searching is None:
            return ()
        self._listen(StageStarted(self.name, "learning"))
        return refit(self._store, self._profile, self._searching.journal.scope.machine_id)

    def _scorer(self, journal: Journal) -> Scorer:
        asked, window = self._request, journal.scope.energy_window
        figures = (self._subject.work, self._profile.power, window)
        return Scorer(asked.objective, asked.constraints, *figures)

    def _foresee(self, journal: Journal, facts: DeviceFacts, budget: Budget) -> None:
        """Say what a trial will take, before any is begun; nothing where nothing is known."""
        effort = effort_on(self._store, self.name, journal.scope.machine_id)
        if effort is None or not facts.engines:
            return
        given = given_format(self._subject.model.proto)
        baseline = space_of(facts, given, self._request.threads).baseline()
        said = journal.expects.of([baseline]).get(baseline, {}).get(Metric.LATENCY)
        if said is not None:
            trial = effort.of(baseline, Seconds(said.value))
            enough = int(budget.left / trial.value)
            self._listen(TimeForeseen(self.name, trial, enough))

    def _note(self, used: float, *, confirmed: bool = False) -> None:
        def change(memory: Memory) -> Memory:
            memory = memory.spent(self.name, used)
            return memory.with_confirmed(self.name) if confirmed else memory

        self._notebook.write(change)

    def _fixed(self) -> Iterator[str]:
        if fixed := fixed_sentence(self._subject.model.shapes):
            yield fixed

    def _kept_integers(self, found: Found) -> Iterator[str]:
        """Why packages have one precision only, where there were packages."""
        packaged = any(
            isinstance(entry.candidate.engine, PackageEngine) and entry.ok
            for entry in found.entries
        )
        if packaged and came_quantised(self._subject.graph):
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
            reason=self._reason(found, confirmed),
            verdict=confirmed.verdict,
            baseline=measured(confirmed.baseline),
            winner=None if nothing else measured(confirmed.winner),
            ratio=confirmed.ratio,
            gain=confirmed.gain,
            accuracy=self._accuracy(confirmed),
            trials=count_outcomes(found.entries),
            disturbed=track.disturbed,
            tolerated=track.tolerated,
            places=_devices(profile, confirmed.winner.candidate),
            notes=(
                *self._opened.checked.caveats(profile, confirmed.winner.candidate),
                *found.notes,
                *_does_not_fit(found),
                *self._kept_integers(found),
                *self._fixed(),
                *confirmed.notes(),
                *notes,
            ),
        )

    def _delivered(
        self, result: DeviceResult, executor: Executor, journal: Journal, confirmed: Confirmed
    ) -> DeviceResult:
        """The result with the folder of the winner, which is written here."""
        winner, baseline = confirmed.winner, confirmed.baseline.candidate
        if result.winner is None:
            return result
        provenance = Provenance(self._store, self._opened, result, winner.candidate, baseline)
        job = journal.job(winner.candidate, records.Phase.CONFIRM)
        folder = deliver_entry(provenance, executor, job, winner)
        return replace(result, output=str(folder or ""))

    def _reason(self, found: Found, confirmed: Confirmed) -> str:
        """Why there was nothing to deliver, or nothing to compare; "" where there was."""
        match confirmed.verdict:
            case Verdict.NOTHING_TRIED if found.alone:
                return self._why_alone(found.alone, found, confirmed)
            case Verdict.NOTHING_ELSE_OK:
                became = count_outcomes(found.others).items()
                others = ", ".join(f"{n} {outcome}" for outcome, n in became)
                return f"nothing else could run within the limits ({others})"
            case Verdict.NONE_WITHIN_LIMITS if found.alone:
                why = self._why_alone(found.alone, found, confirmed)
                return f"the baseline is not within the limits, and {why}"
            case Verdict.NONE_WITHIN_LIMITS:
                return str(confirmed.verdict)
            case _:
                return ""

    def _why_alone(self, alone: Alone, found: Found, confirmed: Confirmed) -> str:
        enough = enough_budget(self._store, (found.baseline, confirmed.baseline))
        return _ALONE[alone].format(enough=rounded_up(enough))

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


def _devices(profile: DeviceProfile, winner: Candidate) -> tuple[str, ...]:
    """The devices that run a candidate, its own first."""
    parts = winner.engine.devices if isinstance(winner.engine, Pipeline) else ()
    return tuple(dict.fromkeys((profile.name, *parts)))


def _absolute(output: str) -> str:
    return str(Path(output).absolute()) if output else ""


def _does_not_fit(found: Found) -> Iterator[str]:
    """Why the baseline is not the model as it was given."""
    if found.original is not found.baseline:
        label, message = found.original.candidate.label(), found.original.message
        reached = found.original.value(Metric.ACCURACY)
        accuracy = "" if reached is None else f" Its accuracy would be {reached:.4f}."
        yield f"{label}, the model as it was given, does not fit: {message}{accuracy}"


def _profiled(
    journal: Journal, found: Found, confirmed: Confirmed, budget: Budget, listen: Listener
) -> tuple[str, ...]:
    """Time the kernels of what is worth it; sentences on what failed."""
    ends = (confirmed.baseline, confirmed.winner)
    return take_profiles(journal, worth_profiling(ends, found.entries), budget, listen)
