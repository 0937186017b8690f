"""Between the executor and the store: nothing is run twice, and nothing that ran is lost.

One journal belongs to one device in one run. It hands jobs to the executor and commits what comes
back, trial by trial and block by block; what the store already has from an earlier invocation of
the run is returned from there instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from types import MappingProxyType

from db.costs.predictions import predictions
from db.records import (
    Artifact,
    Block,
    CandidateRecord,
    Phase,
    Software,
    Trial,
    content_id,
)
from db.store import Store
from farm.accuracy.damage import Damage
from farm.candidate import Candidate, PackageEngine, Pipeline
from farm.errors import NotInStore
from farm.measurement import Measurement, Metric, Outcome
from farm.profile.kernels import OperatorProfile
from tuner.runs.expected import NOTHING, Expects, Predictions
from tuner.runs.history import Entry, of_trials
from tuner.runs.record.blocks import block_of
from tuner.runs.record.details import (
    NOBODY,
    Proposed,
    accuracy_of,
    as_first_measured,
    damage_in,
    details_of,
    doubts_in,
    with_damage,
    with_doubts,
)
from workers.executor import Executor
from workers.jobs import (
    TODAY,
    BlockJob,
    Limits,
    Part,
    Pinned,
    ProfileJob,
    TrialJob,
    TrialReport,
)
from workers.trials.process import ChildError

_BY_NOBODY: Mapping[Candidate, Proposed] = MappingProxyType({})
_PARTS = {
    Phase.SEARCH: Part.SEARCH,
    Phase.CONFIRM: Part.CONFIRMATION,
    Phase.BENCH: Part.CONFIRMATION,
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose trials these are.

    machine_id, software_id: of the worker, in the store already. software, environments: what the
    latter says, and what is in each environment of the worker; see ``DeviceFacts``.
    energy_window: seconds that the energy of each trial is counted for; None where nobody asks for
    it, or no counter tells it.
    """

    run: str
    device: str
    model_sha256: str
    workload_key: str
    machine_id: str
    software_id: str
    limits: Limits
    software: Mapping[str, str] = field(default_factory=dict)
    environments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    energy_window: float | None = None


class Journal:
    """Runs trials and blocks of one device in one run, each at most once.

    complete: all is measured, so that a trial is not tried again after an infrastructure error.
    expects: what is kept with a trial before it is measured.
    """

    def __init__(
        self,
        store: Store,
        executor: Executor,
        scope: Scope,
        *,
        complete: bool = False,
        expects: Expects = NOTHING,
    ) -> None:
        self._store = store
        self._executor = executor
        self.complete = complete
        self.expects = expects
        self.scope = scope
        self._environments = scope.environments

    def job(self, candidate: Candidate, phase: Phase, pinned: Pinned = TODAY) -> TrialJob:
        """The trial of a candidate in a phase; its id is the same whenever the run is resumed.

        What a search only tries is given up where checking it takes longer than the limits say;
        what it found, or what was asked for, is not.

        pinned: what it runs with in place of today's; with something else it is another trial.
        """
        scope = self.scope
        with_what = () if pinned == TODAY else (pinned.environment, pinned.artifact)
        trial_id = content_id(scope.run, scope.device, candidate.id, str(phase), *with_what)
        limits = replace(scope.limits, patient=phase is not Phase.SEARCH)
        counts_energy = scope.energy_window is not None
        return TrialJob(
            *(trial_id, scope.workload_key, candidate, _PARTS[phase], limits, pinned),
            counts_energy=counts_energy,
        )

    def run_trials(
        self,
        candidates: Sequence[Candidate],
        phase: Phase,
        proposed: Mapping[Candidate, Proposed] = _BY_NOBODY,
        *,
        patient: bool = False,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> Iterator[Entry]:
        """What became of each candidate: from the store if it has it, else by running it.

        proposed: why a search tries them, kept with what is run. patient: none is given up for
        being slow to check, in a search neither. goes_on: asked before each is begun.
        """
        jobs = [self.job(candidate, phase) for candidate in candidates]
        if patient:
            jobs = [replace(job, limits=replace(job.limits, patient=True)) for job in jobs]
        yield from self.run_jobs(jobs, phase, proposed, goes_on)

    def run_jobs(
        self,
        jobs: Sequence[TrialJob],
        phase: Phase,
        proposed: Mapping[Candidate, Proposed] = _BY_NOBODY,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> Iterator[Entry]:
        """The same for jobs of the phase, of which several may have one candidate."""
        by_id = {job.trial_id: job for job in jobs}
        known = {trial_id: self._known(job) for trial_id, job in by_id.items()}
        yield from (entry for entry in known.values() if entry is not None)
        open_jobs = [job for trial_id, job in by_id.items() if known[trial_id] is None]
        expected = self.expects.of(tuple(dict.fromkeys(job.candidate for job in open_jobs)))
        begun = takewhile(lambda _: goes_on(), open_jobs)
        leased = self._leased(begun, phase, expected)
        for report in self._executor.run_trials(self.scope.device, leased):
            job = by_id[report.trial_id]
            self._commit(report, job, proposed.get(job.candidate, NOBODY))
            yield Entry(
                report.trial_id,
                job.candidate,
                report.outcome,
                report.message,
                report.artifact_key,
                of_trials(report.measurements),
                accuracy=report.accuracy,
                pinned=job.pinned,
                predicted=expected.get(job.candidate, {}),
            )

    def count_trials(self, phase: Phase) -> int:
        """How many trials of a phase were ever begun."""
        scope = self.scope
        return len(self._store.trials(run=scope.run, device=scope.device, phase=phase))

    def phase_of(self, entry: Entry) -> Phase:
        """The phase that an entry's trial belongs to."""
        return self._store.trial(entry.trial_id).phase

    def job_of(self, entry: Entry) -> TrialJob:
        """The job of an entry's trial."""
        return self.job(entry.candidate, self.phase_of(entry), entry.pinned)

    def failed(self, candidate: Candidate, phase: Phase) -> bool:
        """Whether a trial of a phase says that the candidate does not do, in the store."""
        entry = self._known(self.job(candidate, phase))
        return entry is not None and not entry.ok

    def begun_races(self) -> dict[int, frozenset[str]]:
        """Numbers of the races that were ever begun, with the trials of their first blocks."""
        scope = self.scope
        return {
            block.race: frozenset(sample.trial_id for sample in block.samples)
            for block in self._store.blocks(scope.run, scope.device)
            if block.index == 0
        }

    def recorded_blocks(self, race: int) -> Iterator[Block]:
        """The blocks of a race that an earlier invocation of the run measured, in order."""
        scope = self.scope
        yield from self._store.blocks(scope.run, scope.device, race)

    def run_block(self, race: int, index: int, job: BlockJob, *, tolerant: bool) -> Block:
        """Run one block and commit it, with the failures of its members.

        tolerant: keep the block even if the machine was disturbed, because it always is.
        """
        report = self._executor.run_block(self.scope.device, job)
        where = (self.scope.run, self.scope.device, race, index)
        block = block_of(*where, job, report, tolerant=tolerant)
        # Failures first: a killed run never has a block whose missing members look healthy.
        for trial_id, failure in report.failures.items():
            self._store.amend_trial(trial_id, outcome=failure.outcome, message=failure.message)
        self._store.add_block(block)
        return block

    def refresh(self, entry: Entry) -> None:
        """Take over the outcome that the store has for an entry's trial."""
        trial = self._store.trial(entry.trial_id)
        entry.outcome, entry.message = trial.outcome or Outcome.INFRASTRUCTURE_ERROR, trial.message

    def fail(self, entry: Entry, outcome: Outcome, message: str) -> None:
        """Note that an ok trial failed later, outside a block."""
        self._store.amend_trial(entry.trial_id, outcome=outcome, message=message)
        entry.outcome, entry.message = outcome, message

    def reject(self, entry: Entry, message: str) -> None:
        """Note that an ok trial broke a limit."""
        self.fail(entry, Outcome.REJECTED, message)

    def doubt(self, entry: Entry, doubts: Sequence[str]) -> None:
        """Keep with a trial what could not be measured as it should be."""
        if doubts:
            details = with_doubts(self._store.trial(entry.trial_id).details, doubts)
            self._store.amend_trial(entry.trial_id, details=details)

    def doubts(self, entries: Iterable[Entry]) -> Iterator[str]:
        """The same of several, each sentence with its candidate; each candidate once."""
        for entry in {each.trial_id: each for each in entries}.values():
            for told in doubts_in(self._store.trial(entry.trial_id).details):
                yield f"{entry.candidate.label()}: {told}"

    def amend(
        self,
        entry: Entry,
        measurements: Iterable[Measurement],
        without: Collection[Metric] = (),
    ) -> None:
        """Add measurements to a trial, in the store and in the entry.

        without: what does not hold any more.
        """
        new = of_trials(measurements)
        self._store.amend_trial(entry.trial_id, measurements=tuple(new.values()), without=without)
        known = {**entry.measurements, **new}
        entry.measurements = {metric: m for metric, m in known.items() if metric not in without}

    def profile(self, entry: Entry, seconds: float) -> tuple[OperatorProfile, ...]:
        """The kernels of an entry's candidate: from the store if it has them, else timed now.

        seconds: about so long they are timed.

        Raises ChildError, CompileError, InfrastructureError.
        """
        known = self._store.profile(entry.trial_id)
        if known or self.complete:
            return known
        job = ProfileJob(self.job_of(entry), seconds)
        found = self._executor.run_profile(self.scope.device, job)
        self._store.add_profile(entry.trial_id, found)
        return found

    def damage(self, candidate: Candidate) -> Damage:
        """What quantising does at each operator of a candidate that was tried.

        From the store if it has it, else measured now. Empty where it cannot be told.

        Raises InfrastructureError.
        """
        job = self.job(candidate, Phase.SEARCH)
        details = self._store.trial(job.trial_id).details
        known = damage_in(details)
        if known is None:
            try:
                known = self._executor.rank_sensitivity(self.scope.device, job)
            except ChildError:
                known = Damage()  # the trial said why
            self._store.amend_trial(job.trial_id, details=with_damage(details, known))
        return known

    def _known(self, job: TrialJob) -> Entry | None:
        """A trial that has a final outcome in the store."""
        try:
            found = self._store.trial(job.trial_id)
        except NotInStore:
            return None
        if found.outcome is None:
            return None
        if found.outcome is Outcome.INFRASTRUCTURE_ERROR and not self.complete:
            return None
        return Entry(
            found.id,
            job.candidate,
            found.outcome,
            found.message,
            found.artifact_key or "",
            as_first_measured(of_trials(self._store.measurements(found.id)), found.details),
            accuracy=accuracy_of(found.details),
            pinned=job.pinned,
            predicted=predictions(self._store, found.id),
        )

    def _leased(
        self, jobs: Iterable[TrialJob], phase: Phase, expected: Mapping[Candidate, Predictions]
    ) -> Iterator[TrialJob]:
        """Note each job as pending just before it goes to a worker, and what is expected of it."""
        scope = self.scope
        for job in jobs:
            self._store.add_candidate(CandidateRecord.of(job.candidate))
            self._store.lease_trial(
                Trial(
                    job.trial_id,
                    scope.run,
                    scope.device,
                    job.candidate.id,
                    phase,
                    scope.machine_id,
                    self._software_of(job),
                )
            )
            if said := expected.get(job.candidate):
                self._store.add_predictions(job.trial_id, said, self.expects.version)
            yield job

    def _software_of(self, job: TrialJob) -> str:
        """The id of what a job runs with, which is in the store then."""
        inside = self._versions_in(job.pinned.environment)
        if not inside:
            return self.scope.software_id
        own = f"{job.candidate.engine.kind}: "
        replaced = (own, "interpreter: ")
        versions = {
            name: version
            for name, version in self.scope.software.items()
            if not name.startswith(replaced)
        } | {own + package: version for package, version in inside.items()}
        software = Software.identify(json.dumps(versions, sort_keys=True))
        self._store.add_software(software)
        return software.id

    def _versions_in(self, environment: str) -> Mapping[str, str]:
        """What is in an environment, which may be newer than the journal."""
        if not environment:
            return {}
        if environment not in self._environments:
            facts = self._executor.describe(self.scope.device)
            self._environments = {environment: {}, **facts.environments}
        return self._environments[environment]

    def _commit(self, report: TrialReport, job: TrialJob, proposed: Proposed) -> None:
        if report.artifact_key:
            size = of_trials(report.measurements)[Metric.MODEL_SIZE].value
            kind = _artifact_kind(job.candidate)
            self._store.add_artifact(
                Artifact(report.artifact_key, self.scope.model_sha256, kind, int(size))
            )
        self._store.commit_trial(
            report.trial_id,
            report.outcome,
            report.message,
            report.measurements,
            report.artifact_key or None,
            details_of(report, job.pinned, proposed),
        )


def _artifact_kind(candidate: Candidate) -> str:
    """What the store calls the artifact of a candidate."""
    match candidate.engine:
        case Pipeline():
            return "pipeline"
        case engine:
            return "package" if isinstance(engine, PackageEngine) else "onnx"
