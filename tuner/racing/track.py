"""Runs a race between entries, block by block, through the journal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import numpy as np

from db.records import Block
from db.records import BlockSample as Sample
from tuner.goals import Objective
from tuner.racing.measured import measured_in_blocks, untold
from tuner.racing.objective import Scorer
from tuner.racing.race import Race, RaceRules
from tuner.runs.clock import Budget
from tuner.runs.history import Entry
from tuner.runs.record.journal import Journal
from workers.jobs import BlockJob, TrialJob

RESTART_EVERY = 4
"""Blocks that share child processes, at least: one process is one sample of memory layout."""
FRESH_EVERY = 1
"""Blocks that share child processes where entries are compared outside of a race."""
_RESTART_AT_MOST_EVERY = 12
_DISTURBED_AT_LEAST = 8


class RaceTrack:
    """Runs the races of one device.

    A resumed run goes on with the races that were begun: each is found again by who took part,
    because what it does besides may differ from the first time.

    goes_on: with those races; otherwise each race is a new one, also of the same entries.
    turns: of all members in each block.
    """

    def __init__(
        self,
        journal: Journal,
        scorer: Scorer,
        budget: Budget,
        seed: int,
        *,
        goes_on: bool = True,
        turns: int = 1,
    ) -> None:
        self._turns = turns
        self._journal = journal
        self._scorer = scorer
        self._budget = budget
        self._seed = seed
        begun = journal.begun_races()
        self._begun = begun if goes_on else {}
        self._next = max(begun, default=-1) + 1
        self._seconds: dict[bool, list[float]] = {True: [], False: []}
        self.disturbed = 0
        self.tolerated = 0

    def has_begun(self, entries: Sequence[Entry]) -> bool:
        """Whether an earlier invocation of the run began the race of these entries."""
        return self._find({entry.trial_id for entry in entries}) is not None

    def race(
        self,
        entries: Sequence[Entry],
        jobs: Sequence[TrialJob],
        rules: RaceRules,
        protect: Entry,
        may_continue: Callable[[], bool],
    ) -> Race:
        """Race until it is decided or may not continue. Members that fail lose their ok."""
        by_id = {entry.trial_id: entry for entry in entries}
        number = self._claim(by_id)
        job_of = {job.trial_id: job for job in jobs}
        race = Race(list(by_id), rules, frozenset({protect.trial_id}), net=self._scorer.is_net)
        blocks = self._replayed(race, number, by_id)
        while race.finished is None and may_continue():
            order = self._order(race.live, number, len(blocks))
            members, restart = [job_of[i] for i in order], self._is_restart(len(blocks))
            job = self._job(members, restart=restart, counts_energy=self._scorer.races_by_counter)
            blocks.append(self._run_block(number, blocks, job))
            self._take(race, blocks[-1], by_id)
        self._note_measured(by_id, blocks)
        return race

    def rounds(
        self,
        entries: Sequence[Entry],
        jobs: Sequence[TrialJob],
        wanted: Callable[[int, float], bool],
    ) -> Iterator[Mapping[str, Sample]]:
        """Kept blocks of all entries, each block in fresh processes, while more are ``wanted``.

        wanted: asked with the number of blocks so far and the seconds that the last one in fresh
        processes took.
        Yields samples by trial id. Ends early when an entry fails; that entry loses its ok.
        """
        by_id = {entry.trial_id: entry for entry in entries}
        number = self._claim(by_id)
        job_of = {job.trial_id: job for job in jobs}
        recorded = deque(self._journal.recorded_blocks(number))
        blocks: list[Block] = []
        kept = 0
        while recorded or wanted(kept, self._last_restart_seconds()):
            if recorded:
                block = recorded.popleft()
            else:
                order = self._order(list(by_id), number, len(blocks))
                restart = self._is_alone or len(blocks) % FRESH_EVERY == 0
                members, counts_energy = [job_of[i] for i in order], self._scorer.counts_energy
                job = self._job(members, restart=restart, counts_energy=counts_energy)
                block = self._run_block(number, blocks, job)
            blocks.append(block)
            self._count(block)
            measured = {sample.trial_id: sample for sample in block.samples}
            if len(measured) < len(by_id):
                for trial_id in by_id.keys() - measured.keys():
                    self._journal.refresh(by_id[trial_id])
                break
            if block.kept:
                kept += 1
                yield measured
        self._note_measured(by_id, blocks)

    def _job(self, members: Sequence[TrialJob], *, restart: bool, counts_energy: bool) -> BlockJob:
        return BlockJob(
            tuple(members),
            restart,
            single_runs=self._scorer.single_runs,
            loads=self._scorer.objective is Objective.LOAD,
            turns=self._turns,
            counts_energy=counts_energy,
        )

    @property
    def _is_alone(self) -> bool:
        """Whether a process gives one value: there is one load, and one peak of its memory."""
        return self._scorer.objective in {Objective.LOAD, Objective.MEMORY}

    def _is_restart(self, done: int) -> bool:
        """Whether fresh processes begin with a block; of a load there is one in each process."""
        if self._scorer.objective is Objective.LOAD:
            return True
        return done > 0 and done % self._restart_every() == 0

    def _claim(self, entrants: Collection[str]) -> int:
        """The number of a race: the one that was begun, which is used once, or a new one."""
        number = self._find(entrants)
        if number is not None:
            del self._begun[number]
            return number
        self._next += 1
        return self._next - 1

    def _find(self, entrants: Collection[str]) -> int | None:
        """The first race begun in which all of them ran; some that ran too may have failed."""
        return next((n for n, ids in self._begun.items() if ids.issuperset(entrants)), None)

    def _run_block(self, number: int, blocks: Sequence[Block], job: BlockJob) -> Block:
        tolerant, started = self._must_keep(blocks), time.monotonic()
        block = self._journal.run_block(number, len(blocks), job, tolerant=tolerant)
        self._seconds[job.restart].append(time.monotonic() - started)
        return block

    def _last_restart_seconds(self) -> float:
        return self._seconds[True][-1] if self._seconds[True] else 0.0

    def _restart_every(self) -> int:
        """Blocks between restarts: so many that restarting takes at most half of the time.

        Peak memory is one value per process, so there every block needs new ones.
        """
        if self._scorer.objective is Objective.MEMORY:
            return 1
        if not (self._seconds[True] and self._seconds[False]):
            return RESTART_EVERY
        block = float(np.median(self._seconds[False]))
        blocks = int(self._seconds[True][-1] / block)
        return min(max(RESTART_EVERY, blocks), _RESTART_AT_MOST_EVERY)

    def _replayed(self, race: Race, number: int, by_id: dict[str, Entry]) -> list[Block]:
        """Feed the race what an interrupted invocation of this run measured."""
        blocks = list(self._journal.recorded_blocks(number))
        for block in blocks:
            if race.finished is None:
                self._take(race, block, by_id)
        return blocks

    def _take(self, race: Race, block: Block, by_id: dict[str, Entry]) -> None:
        measured = {sample.trial_id: sample for sample in block.samples}
        for trial_id in [i for i in race.live if i not in measured]:
            self._journal.refresh(by_id[trial_id])
            race.withdraw(trial_id)
        self._count(block)
        if block.kept and set(measured) >= set(race.live) and race.finished is None:
            score = self._scorer.of_sample
            race.record({i: score(by_id[i], measured[i]) for i in race.live})

    def _count(self, block: Block) -> None:
        if block.reason:
            self.tolerated += block.kept
            self.disturbed += not block.kept

    def _order(self, live: Sequence[str], number: int, index: int) -> list[str]:
        rng = np.random.default_rng([self._seed, number, index])
        return [str(name) for name in rng.permutation(list(live))]

    def _must_keep(self, blocks: Sequence[Block]) -> bool:
        """A machine that is never quiet would stop the run: from then on all blocks are kept."""
        discarded = sum(not block.kept for block in blocks)
        too_often = discarded >= max(_DISTURBED_AT_LEAST, len(blocks) - discarded)
        return too_often or self._budget.left == 0.0

    def _note_measured(self, by_id: dict[str, Entry], blocks: Sequence[Block]) -> None:
        """Replace what was measured quickly of each entry by the medians over its blocks."""
        for trial_id, entry in by_id.items():
            samples = [s for b in blocks if b.kept for s in b.samples if s.trial_id == trial_id]
            if entry.ok and samples:
                wanted = self._scorer.counts_results
                found = measured_in_blocks(entry, samples, throughput=wanted)
                self._journal.amend(entry, found, without=untold(samples))
