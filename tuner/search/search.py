"""The search on one device: baseline, proposals in cohorts, a race for each, finalists.

Every cohort races together with the baseline and the best candidate so far, so that all that is
ever ranked was measured side by side with the baseline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np

from db.records import Phase
from farm.candidate import Candidate
from farm.errors import InfrastructureError
from farm.measurement import Metric, Outcome
from tuner.events import BestChanged, Listener, StageStarted, Ticked, TrialFinished
from tuner.racing.objective import Scorer, require_energy
from tuner.racing.race import Race, RaceRules
from tuner.racing.track import RaceTrack
from tuner.runs.clock import Budget
from tuner.runs.history import Entry, ranked
from tuner.runs.record.details import Proposed
from tuner.runs.record.journal import Journal
from tuner.search.baseline import find_baseline
from tuner.search.proposing.propose import Proposal, Proposer
from tuner.search.proposing.rank import TOGETHER
from tuner.search.rules import COHORT_RULES, COUNTED_RULES, FINAL_RULES, TOO_SLOW
from tuner.search.stages import Stage
from workers.executor import Executor

COHORT = TOGETHER
MIN_PAIRS = 11  # of a confirmation: of fewer values a median has no interval
FINALISTS = 3
EQUIVALENCE = 0.01
_CONFIRM_SHARE = 0.6  # of what the baseline leaves is kept for the confirmation, at most


class Alone(StrEnum):
    """Why nothing was tried beside the baseline."""

    BUDGET = "budget"
    TRIALS = "trials"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found.

    finalists: within all limits as far as the search saw, best first; the baseline is not one.
    original: the model as the user gave it: the baseline, unless that does not fit the device.
    alone: None where something was tried beside the baseline. notes: sentences about it.
    only_splits: the device cannot run the whole model, and the baseline runs elsewhere.
    """

    baseline: Entry
    original: Entry
    entries: tuple[Entry, ...]
    finalists: tuple[Entry, ...]
    alone: Alone | None = None
    notes: tuple[str, ...] = ()
    only_splits: bool = False

    @property
    def others(self) -> tuple[Entry, ...]:
        """What was tried beside the baseline and what it took the place of."""
        ids = [entry.trial_id for entry in self.entries]
        return self.entries[ids.index(self.baseline.trial_id) + 1 :]


class Search:
    """Searches on one device until the budget, the trials or the candidates run out.

    reserve: seconds to keep for the confirmation, estimated anew from what trials take.
    """

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        proposer: Proposer,
        scorer: Scorer,
        budget: Budget,
        track: RaceTrack,
        listen: Listener,
    ) -> None:
        self._journal = journal
        self._executor = executor
        self._proposer = proposer
        self._scorer = scorer
        self._budget = budget
        self._track = track
        self._listen = listen
        self._only_splits = False
        self._entries: list[Entry] = []
        self._original: Entry | None = None
        self._baseline: Entry | None = None
        self._raced: set[str] = set()
        self._begun = journal.count_trials(Phase.SEARCH)
        self._baseline_seconds = 0.0
        self._confirm_seconds = 0.0

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every trial so far, the baseline's first."""
        return tuple(self._entries)

    @property
    def baseline(self) -> Entry | None:
        """What everything is compared with; None before it was measured."""
        return self._baseline

    @property
    def original(self) -> Entry | None:
        """The model as the user gave it: the baseline, unless that does not fit the device."""
        return self._original

    def leaders(self) -> list[Entry]:
        """What is better than the baseline so far, best first.

        Once there was a race only what took part in one: a first, quick sample may be luck.
        """
        if self._baseline is None:
            return []
        better = self._better(self._baseline)
        raced = [e for e in better if e.trial_id in self._raced]
        return prefer_plain(raced if self._raced else better)

    def run(
        self, baselines: Sequence[Candidate], max_trials: int, *, only_splits: bool = False
    ) -> Found:
        """Search.

        baselines: the baseline, then what may take its place; see ``tuner.search.baseline``.
        max_trials: 0 for no limit. only_splits: what is slower than the baseline is a finalist,
        too; see ``Found``.

        Raises InfrastructureError when the baseline fails: there is nothing to compare with.
        """
        self._only_splits = only_splits
        self._tell_stage(Stage.BASELINE)
        baseline = find_baseline(baselines, self._run_baseline)
        first, self._original = baseline.entry, baseline.original
        require_energy(self._scorer, first)
        first.ratio = 1.0
        self._baseline = first
        while self._goes_on() and not 0 < max_trials <= len(self._entries):
            count = COHORT if not max_trials else min(COHORT, max_trials - len(self._entries))
            proposal = self._proposer.propose(self._entries, count)
            if not proposal.candidates:
                break
            self._tell_stage(proposal.stage)
            cohort = self._run_trials(proposal, first)
            self._race_cohort(cohort, first)
        finalists = self._final_race(first)
        notes = tuple(baseline.notes())
        alone = self._why_alone(max_trials) if self._entries[-1] is first else None
        return Found(
            first,
            baseline.original,
            self.entries,
            tuple(finalists),
            alone,
            notes,
            self._only_splits,
        )

    def _run_baseline(self, baseline: Candidate) -> Entry:
        started = self._budget.used
        proposed = {baseline: Proposed(Stage.BASELINE)}
        found = self._journal.run_trials([baseline], Phase.SEARCH, proposed, patient=True)
        entry = next(iter(found))
        singles = 2 * MIN_PAIRS * self._scorer.single_runs
        runs = singles * (entry.value(Metric.LATENCY) or 0.0)
        runs += MIN_PAIRS * self._scorer.pair_energy_seconds
        seconds = self._budget.used - started
        self._baseline_seconds += seconds
        self._confirm_seconds = 6.0 * seconds + 12.0 + runs
        self._entries.append(entry)
        self._tell_trial(entry)
        return entry

    def _run_trials(self, proposal: Proposal, baseline: Entry) -> list[Entry]:
        done = []
        proposed = dict(proposal.chosen)
        for entry in self._journal.run_trials(
            proposal.candidates, Phase.SEARCH, proposed, goes_on=self._goes_on
        ):
            self._check_limits(entry, baseline)
            entry.ratio = self._quick_ratio(entry, baseline)
            self._entries.append(entry)
            done.append(entry)
            self._tell_trial(entry)
        return done

    def _check_limits(self, entry: Entry, baseline: Entry) -> None:
        original = self._original or baseline
        if entry.ok and (broken := self._scorer.broken_limit(entry, original)):
            self._journal.reject(entry, broken)

    def _quick_ratio(self, entry: Entry, baseline: Entry) -> float | None:
        own, other = self._scorer.quick(entry), self._scorer.quick(baseline)
        return None if own is None or other is None else own / other

    def _race_cohort(self, cohort: Sequence[Entry], baseline: Entry) -> None:
        """Race what is promising in a cohort against the best so far; release the rest."""
        champions = [e for e in ranked(self._entries) if e not in cohort and e is not baseline][:1]
        rivals = [e for e in self._entries if not self._only_splits or e is not baseline]
        best = min((e.ratio for e in ranked(rivals) if e.ratio), default=1.0)
        promising = [
            e for e in ranked(cohort) if e.ratio is not None and e.ratio < TOO_SLOW * best
        ]
        self._release([e for e in cohort if e not in promising])
        entrants = [baseline, *champions, *promising]
        if promising and self._may_race(entrants):
            self._race(entrants, baseline, COHORT_RULES)
        keep = {baseline.trial_id, *(e.trial_id for e in ranked(self._entries)[:1])}
        self._release([e for e in (*cohort, *champions) if e.trial_id not in keep])

    def _final_race(self, baseline: Entry) -> list[Entry]:
        """The best few once more, with more blocks: ratios of different races are not alike."""
        finalists = self._better(baseline)[:FINALISTS]
        entrants = [baseline, *finalists]
        if len(finalists) > 1 and self._may_race(entrants):
            self._tell_stage("final race")
            self._race(entrants, baseline, FINAL_RULES)
        self._release(entrants)
        return prefer_plain(ranked(finalists))

    def _better(self, baseline: Entry) -> list[Entry]:
        """What gains anything, best first; anything, if the baseline itself breaks a limit."""
        original = self._original or baseline
        anything = self._only_splits or self._scorer.broken_limit(baseline, original)
        most = float("inf") if anything else 1.0
        better = (e for e in ranked(self._entries) if e.ratio is not None and e.ratio < most)
        return [e for e in better if e is not baseline]

    def _race(self, entries: Sequence[Entry], baseline: Entry, rules: RaceRules) -> None:
        """Race, take over the ratios and check the limits again, on better latencies.

        Raises InfrastructureError when the baseline fails.
        """
        jobs = [self._journal.job(e.candidate, Phase.SEARCH) for e in entries]
        if all(entry.candidate.is_counted for entry in entries):
            rules = COUNTED_RULES
        counting = self._scorer.race_energy_seconds(len(entries))
        may_block = partial(self._may_block, counting)
        race = self._track.race(entries, jobs, rules, baseline, may_block)
        if not baseline.ok:
            raise InfrastructureError(
                f"the baseline failed in a race ({baseline.outcome}): {baseline.message}"
            )
        require_energy(self._scorer, baseline)
        self._take_ratios(race, {e.trial_id: e for e in entries}, baseline)
        for entry in entries:
            if entry is not baseline:
                self._check_limits(entry, baseline)
        leader = ranked(entries)[0]
        label = "baseline" if leader is baseline else leader.candidate.label()
        speedup = 1.0 / (leader.ratio or 1.0)
        self._listen(BestChanged(self._journal.scope.device, label, speedup))

    def _take_ratios(self, race: Race, by_id: dict[str, Entry], baseline: Entry) -> None:
        """Ratios to the baseline from ratios to the leader."""
        # What is best may be an energy that is not told from 0: nothing is a multiple of that.
        beside = baseline.trial_id if self._scorer.is_net else None
        standings = race.standings(beside)
        to_leader = {s.entrant: s.ratio.value for s in standings if s.ratio.value > 0}
        reference = to_leader.get(baseline.trial_id)
        for trial_id, ratio in to_leader.items():
            if reference and np.isfinite(ratio):
                by_id[trial_id].ratio = ratio / reference
                self._raced.add(trial_id)

    def _goes_on(self) -> bool:
        """Whether another trial is to be begun. What was begun before is gone through again.

        A device that runs nothing but splits gets one, however long its baseline took.
        """
        if self._only_splits and not any(entry.ok for entry in self._entries[1:]):
            return True
        return len(self._entries) < self._begun or self._may_search()

    def _why_alone(self, max_trials: int) -> Alone:
        """It follows from the history, so that a resumed run says the same."""
        if 0 < max_trials <= len(self._entries):
            return Alone.TRIALS
        left = self._proposer.propose(self._entries, 1)
        return Alone.BUDGET if left.candidates else Alone.EXHAUSTED

    def _may_race(self, entries: Sequence[Entry]) -> bool:
        return self._track.has_begun(entries) or self._may_search()

    def _may_search(self, seconds: float = 0.0) -> bool:
        """Whether time is left beside what the confirmation needs. seconds: more than so many.

        However long the baseline took, a share of what it left is there to try something else.
        """
        rest = max(0.0, self._budget.total - self._baseline_seconds)
        reserve = min(self._confirm_seconds, _CONFIRM_SHARE * rest)
        return self._budget.left > reserve + seconds

    def _may_block(self, seconds: float) -> bool:
        """Whether there is time for a block that counts energy for so long."""
        self._listen(Ticked(self._journal.scope.device, self._budget.elapsed))
        return self._may_search(seconds)

    def _release(self, entries: Sequence[Entry]) -> None:
        if entries:
            ids = [entry.trial_id for entry in entries]
            self._executor.release(self._journal.scope.device, ids)

    def _tell_stage(self, stage: str) -> None:
        self._listen(StageStarted(self._journal.scope.device, stage))

    def _tell_trial(self, entry: Entry) -> None:
        device = self._journal.scope.device
        label = entry.candidate.label()
        self._listen(TrialFinished(device, label, entry.outcome, entry.message))
        self._listen(Ticked(device, self._budget.elapsed))


def prefer_plain(entries: Sequence[Entry]) -> list[Entry]:
    """Entries, best first, where a difference of up to 1 % does not count.

    Among those that are as good as the best, the more accurate goes first, then the one that
    changes the model less, then the one that needs less memory.
    """
    if not entries:
        return []
    limit = (1.0 + EQUIVALENCE) * (entries[0].ratio or 1.0)
    alike = [e for e in entries if (e.ratio or 1.0) <= limit]
    alike.sort(key=_plainness)
    return [*alike, *entries[len(alike) :]]


def _plainness(entry: Entry) -> tuple[float, bool, bool, float]:
    precision = entry.candidate.precision
    return (
        -(entry.value(Metric.ACCURACY) or 0.0),
        precision.quantization is not None,
        not precision.keeps_precision,
        entry.value(Metric.PEAK_MEMORY) or 0.0,
    )


def count_outcomes(entries: Sequence[Entry]) -> dict[Outcome, int]:
    """How many trials ended in each way; outcomes that did not occur are left out."""
    outcomes = [entry.outcome for entry in entries]
    return {outcome: outcomes.count(outcome) for outcome in Outcome if outcome in outcomes}
