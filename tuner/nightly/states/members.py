"""Candidates side by side, each with what it is pinned to: the software and the artifact.

A night measures what is watched beside its last good state, and in the environments of its suite.
All of them run once in every block, in random order, each time in fresh processes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from db.records import BlockSample, Phase
from db.store import Store
from farm.candidate import Candidate
from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError
from farm.measurement import Metric
from farm.units import Seconds
from tuner.events import (
    DeviceEnded,
    DeviceStarted,
    Listener,
    StageStarted,
    Ticked,
    TrialFinished,
)
from tuner.racing.objective import Scorer
from tuner.racing.track import RaceTrack
from tuner.runs.clock import Budget
from tuner.runs.history import Entry
from tuner.runs.record.journal import Journal
from tuner.runs.start import OpenRun, open_journal
from workers.executor import Executor
from workers.jobs import TODAY, Pinned, TrialJob

Wanted = Callable[[int, Seconds], bool]

_TURNS = 8
"""A block starts fresh processes, which takes far longer than a sample: its members take turns."""


@dataclass(frozen=True, slots=True)
class Member:
    """What is measured. name: unique among the members of one measurement, for people."""

    name: str
    candidate: Candidate
    pinned: Pinned = TODAY


@dataclass(frozen=True, slots=True)
class Measured:
    """A member as it was measured.

    samples: of the blocks that were kept; equal positions of two members share a block.
    entry: what became of its trial. It is not ok where the member cannot run, and then ``samples``
    are those before it failed.
    """

    member: Member
    trial_id: str
    samples: tuple[BlockSample, ...]
    entry: Entry

    @property
    def failure(self) -> str:
        """Why it cannot run, one sentence; empty if it can."""
        return "" if self.entry.ok else f"{self.entry.outcome}: {self.entry.message}"


def measure_side_by_side(  # noqa: PLR0913  (what bench has, and how long)
    store: Store,
    executor: Executor,
    opened: OpenRun,
    profile: DeviceProfile,
    members: Sequence[Member],
    wanted: Wanted,
    listen: Listener,
    *,
    journal: Journal | None = None,
    phase: Phase = Phase.BENCH,
) -> tuple[Measured, ...]:
    """Measure members side by side while more blocks are wanted; one result each, in their order.

    A member that cannot run comes back with an entry that is not ok, and the others go on without
    it; where it is the last but one, there is nothing to be compared any more, and no block is
    added. Called again in the same run, it measures new blocks in fresh processes.

    wanted: asked with the number of blocks so far and the seconds that the last one took.
    journal: of an earlier call, which spares asking the worker what it is.
    phase: of the trials. In another one all is loaded and checked again, as for a confirmation.

    The run is taken up by the caller (``tuner.runs.life.living``). Raises InfrastructureError:
    nothing can be run at all.
    """
    if journal is None:
        journal = journal_of(store, executor, opened, profile)
    measuring = _Measuring(journal, executor, opened, profile, listen)
    return measuring.run(members, wanted, phase)


def require_counter(journal: Journal, metrics: Collection[Metric]) -> None:
    """Raise DeviceError where energy is watched and no counter tells it: nights measure."""
    if Metric.ENERGY in metrics and journal.scope.energy_window is None:
        raise DeviceError(
            f"The energy of {journal.scope.device} cannot be watched: it has no counter that can "
            "be read. Leave energy out of the metrics."
        )


def journal_of(
    store: Store, executor: Executor, opened: OpenRun, profile: DeviceProfile
) -> Journal:
    """The journal of a device, whose worker has the run's workload then."""
    executor.prepare(profile.name, opened.subject.workload)
    return open_journal(store, executor, opened, profile, executor.describe(profile.name))


class _Measuring:
    """One measurement of several members."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        opened: OpenRun,
        profile: DeviceProfile,
        listen: Listener,
    ) -> None:
        request = opened.request
        self._journal = journal
        self._executor = executor
        self._device = profile.name
        self._listen = listen
        self._budget = Budget(request.budget_seconds)
        figures = (opened.subject.work, profile.power, journal.scope.energy_window)
        scorer = Scorer(request.objective, request.constraints, *figures)
        self._track = RaceTrack(
            *(journal, scorer, self._budget, request.seed),
            goes_on=False,
            turns=_TURNS,
        )

    def run(self, members: Sequence[Member], wanted: Wanted, phase: Phase) -> tuple[Measured, ...]:
        """See ``measure_side_by_side``."""
        jobs = [self._journal.job(m.candidate, phase, m.pinned) for m in members]
        names = {job.trial_id: m.name for job, m in zip(jobs, members, strict=True)}
        self._listen(DeviceStarted(self._device, self._budget.total))
        try:
            entries = self._trials(jobs, names, phase)
            samples = self._blocks(list(entries.values()), wanted)
            self._executor.release(self._device, list(names))
        finally:
            self._listen(DeviceEnded(self._device))
        return tuple(
            Measured(m, job.trial_id, tuple(samples[job.trial_id]), entries[job.trial_id])
            for m, job in zip(members, jobs, strict=True)
        )

    def _trials(
        self, jobs: Sequence[TrialJob], names: Mapping[str, str], phase: Phase
    ) -> dict[str, Entry]:
        """Load, check and first measure each, by the id of its trial."""
        self._listen(StageStarted(self._device, "load and check"))
        found = {}
        for entry in self._journal.run_jobs(jobs, phase):
            found[entry.trial_id] = entry
            name = names[entry.trial_id]
            self._listen(TrialFinished(self._device, name, entry.outcome, entry.message))
        return found

    def _blocks(
        self, entries: Sequence[Entry], wanted: Wanted
    ) -> Mapping[str, Sequence[BlockSample]]:
        """The kept blocks of each; once one fails, those of the others go on."""
        self._listen(StageStarted(self._device, "blocks"))
        samples: dict[str, list[BlockSample]] = {entry.trial_id: [] for entry in entries}
        done = 0
        while True:
            live = [entry for entry in entries if entry.ok]
            if len(live) < min(2, len(entries)):
                return samples
            before = done

            def more(blocks: int, seconds: float, before: int = before) -> bool:
                self._listen(Ticked(self._device, self._budget.used))
                return wanted(before + blocks, Seconds(seconds))

            jobs = [self._journal.job_of(entry) for entry in live]
            for block in self._track.rounds(live, jobs, more):
                done += 1
                for trial_id, sample in block.items():
                    samples[trial_id].append(sample)
            if all(entry.ok for entry in live):
                return samples
