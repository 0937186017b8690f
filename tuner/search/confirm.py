"""Confirmation: fresh processes, data that the search never saw, pairs side by side.

The search's best is confirmed against the baseline. If it breaks a limit on the new data the next
one is tried; if none is significantly better, the baseline is the winner.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.records import BlockSample, Phase
from farm.errors import CompileError, InfrastructureError
from farm.measurement import Estimate, Measurement, Method, Metric
from tuner.events import Listener, StageStarted, Ticked, TrialFinished
from tuner.racing.objective import Scorer, require_energy
from tuner.racing.recorded import FEWEST_PAIRS
from tuner.racing.statistics import FloatArray, compare, compare_net, quantile
from tuner.racing.track import RaceTrack
from tuner.results import Verdict
from tuner.runs.clock import Budget
from tuner.runs.history import Entry
from tuner.runs.record.journal import Journal
from tuner.search.search import MIN_PAIRS, Found
from workers.executor import Executor
from workers.jobs import DetailJob
from workers.trials.process import ChildError
from workers.trials.trial import failure_of

MAX_PAIRS = 20
_COUNTED_PAIRS = 2  # counts are the same in every process: the second pair shows that they are
_DETAIL_SECONDS = 2.0
_LONG_SECONDS = 120.0  # for MIN_PAIRS; longer ones may not take more than the budget, either
_SIGNIFICANCE = 0.05
_QUANTILES = ((Metric.LATENCY_P50, 0.5), (Metric.LATENCY_P90, 0.9), (Metric.LATENCY_P99, 0.99))


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The winner and the baseline as the confirmation measured them.

    original: the model as the user gave it: the baseline, unless that does not fit the device.
    ratio, gain: baseline over winner, of latencies and of the objective; None when the winner is
    the baseline.
    """

    verdict: Verdict
    baseline: Entry
    original: Entry
    winner: Entry
    ratio: Estimate | None = None
    gain: Estimate | None = None

    def notes(self) -> Iterator[str]:
        """That what is slow ran in fewer blocks than an interval needs."""
        blocks = len(self.winner.measurements[Metric.LATENCY].samples)
        if blocks < MIN_PAIRS and not self.winner.candidate.is_counted:
            yield (
                f"A block takes so long that {blocks} had to do, and latencies have no interval: "
                "a longer --budget gives more."
            )


class Confirmation:
    """Confirms the finalists of one device."""

    def __init__(
        self,
        journal: Journal,
        executor: Executor,
        scorer: Scorer,
        track: RaceTrack,
        budget: Budget,
        listen: Listener,
    ) -> None:
        self._journal = journal
        self._executor = executor
        self._scorer = scorer
        self._track = track
        self._budget = budget
        self._listen = listen

    def run(self, found: Found, champion: str = "") -> Confirmed:
        """Confirm the first finalist that runs and holds the limits; see the module.

        champion: id of the candidate that an earlier invocation of the run confirmed. It stays
        the winner until a finalist is better than it, too, side by side.

        Raises InfrastructureError when the baseline fails.
        """
        self._listen(StageStarted(self._journal.scope.device, "confirmation"))
        reference = self._trial(
            found.baseline
        )  # first: the store's view `latest` knows it by that
        _require(reference)
        fits = found.original is found.baseline
        judge = reference if fits else self._trial(found.original)
        within = not self._scorer.broken_limit(reference, judge)
        waiting = _in_turn(found, champion)
        rivals = [self._trial(e) for e in waiting if e.candidate.id == champion]
        while waiting:
            finalist = waiting.pop(0)
            is_rival = finalist.candidate.id == champion
            entry = rivals[0] if is_rival else self._trial(finalist)
            # The champion held the limits by the blocks that it has, which are gone through below.
            if not entry.ok or (not is_rival and self._breaks_limit(entry, judge)):
                continue
            beside = [] if is_rival else [rival for rival in rivals if rival.ok]
            pairs = self._pairs(reference, entry, beside, complete=is_rival)
            _require(reference)
            if any(not rival.ok for rival in beside):
                waiting.insert(0, finalist)  # once more, without the one that failed
                continue
            if pairs is None or self._breaks_limit(entry, judge):
                continue
            over = [*([pairs.objective] if within else []), *pairs.over_rivals]
            better = all(map(_is_better, over))
            if not better and not found.only_splits:
                # To test one after the other would find a gain where there is none.
                waiting = [e for e in waiting if e.candidate.id == champion]
                continue
            if not self._detail(entry):
                continue
            self._detail(reference)
            _require(reference)
            verdict = Verdict.IMPROVED if within else Verdict.WITHIN_LIMITS
            verdict = verdict if better else Verdict.SPLIT
            return Confirmed(verdict, reference, judge, entry, pairs.latency, pairs.objective)
        if found.only_splits:
            raise InfrastructureError(f"no split of the model can be run: {_first_failure(found)}")
        unpaired = len(reference.measurements[Metric.LATENCY].samples) < FEWEST_PAIRS
        if unpaired and not reference.candidate.is_counted:
            self._blocks((reference,))  # nothing was paired with it
            _require(reference)
        self._detail(reference)
        _require(reference)
        verdict = _without_winner(found) if within else Verdict.NONE_WITHIN_LIMITS
        return Confirmed(verdict, reference, judge, reference)

    def _trial(self, entry: Entry) -> Entry:
        confirmed = next(iter(self._journal.run_trials([entry.candidate], Phase.CONFIRM)))
        if not confirmed.ok:  # the count of trials is that of the search
            device, label = self._journal.scope.device, entry.candidate.label()
            self._listen(TrialFinished(device, label, confirmed.outcome, confirmed.message))
        return confirmed

    def _breaks_limit(self, entry: Entry, judge: Entry) -> bool:
        broken = self._scorer.broken_limit(entry, judge)
        if broken and entry.ok:
            self._journal.reject(entry, f"on the confirmation data, {broken}")
        return bool(broken)

    def _pairs(
        self, reference: Entry, entry: Entry, rivals: Sequence[Entry], *, complete: bool
    ) -> _Pairs | None:
        """All of them side by side; None if one failed.

        rivals: one or none. complete: the blocks that there are decide, if they are enough.
        """
        entries = (reference, entry, *rivals)
        pairs = self._blocks(entries, complete=complete)
        score = self._scorer.of_sample
        if not entry.ok or len(pairs) < _least_pairs(entries):
            return None
        require_energy(self._scorer, reference)
        ratio = _exact_ratio if _are_counted(entries) else _ratio
        of_objective = _net_ratio if self._scorer.is_net else ratio

        def over(other: Entry) -> Estimate:
            both = (entry, other)
            return of_objective(np.array([[score(e, p[e.trial_id]) for e in both] for p in pairs]))

        seconds = [[p[e.trial_id].seconds for e in (entry, reference)] for p in pairs]
        return _Pairs(ratio(np.array(seconds)), over(reference), tuple(map(over, rivals)))

    def _blocks(
        self, entries: Sequence[Entry], *, complete: bool = False
    ) -> list[Mapping[str, BlockSample]]:
        """Blocks in fresh processes, more while there is time; fewer when one fails."""
        device = self._journal.scope.device
        jobs = [self._journal.job(e.candidate, Phase.CONFIRM) for e in entries]
        least = _least_pairs(entries)

        def wanted(done: int, seconds_each: float) -> bool:
            self._listen(Ticked(device, self._budget.elapsed))
            if done < least or complete or _are_counted(entries):
                return done < least
            if done < MIN_PAIRS:
                return not self._too_long(seconds_each)
            left = self._budget.left - 2 * _DETAIL_SECONDS
            # No seconds: this invocation ran nothing, so the blocks were enough before.
            return done < MAX_PAIRS and 0.0 < seconds_each < left

        blocks = list(self._track.rounds(entries, jobs, wanted))
        self._executor.release(device, [job.trial_id for job in jobs])
        return blocks

    def _too_long(self, seconds_each: float) -> bool:
        """Whether MIN_PAIRS take longer than anybody asked for; as it was, where nothing ran.

        Percentiles need all of them.
        """
        if self._scorer.single_runs:
            return False
        if not seconds_each:
            return self._journal.complete
        return MIN_PAIRS * seconds_each > max(_LONG_SECONDS, self._budget.total)

    def _detail(self, entry: Entry) -> bool:
        """Measure in detail; False if that failed, which takes the entry's ok."""
        try:
            measure_detail(self._journal, self._executor, self._scorer, entry)
        except (ChildError, CompileError) as error:
            failure = failure_of(error)
            self._journal.fail(entry, failure.outcome, failure.message)
        return entry.ok


def measure_detail(journal: Journal, executor: Executor, scorer: Scorer, entry: Entry) -> None:
    """Add distribution of single runs, throughput and energy to a trial, unless it has them.

    Raises ChildError, CompileError.
    """
    known = Metric.THROUGHPUT if entry.candidate.is_counted else Metric.LATENCY_P50
    if entry.value(known) is not None:
        return
    job = DetailJob(
        journal.job_of(entry), seconds=_DETAIL_SECONDS, counts_energy=not scorer.counts_energy
    )
    report = executor.run_detail(journal.scope.device, job)
    measured = report.measurements
    executor.release(journal.scope.device, [entry.trial_id])
    modelled = scorer.energy_measurement(entry, entry.value(Metric.LATENCY) or 0.0)
    has_counter = any(m.metric is Metric.ENERGY for m in measured)
    extra = [] if has_counter or modelled is None else [modelled]
    found = [*_with_quantiles(measured), *extra]
    journal.amend(entry, [m for m in found if m.metric not in scorer.told_by_blocks])
    journal.doubt(entry, report.notes)


def _in_turn(found: Found, champion: str) -> list[Entry]:
    """Who is confirmed, best first: the finalists, of which none comes after the champion."""
    earlier = next((e for e in found.entries if e.candidate.id == champion), None)
    if earlier is None:
        return list(found.finalists)
    ids = [entry.candidate.id for entry in found.finalists]
    before = found.finalists[: ids.index(champion)] if champion in ids else found.finalists
    return [*before, earlier]


def _without_winner(found: Found) -> Verdict:
    """What can be said where the baseline wins: of gain only if something was compared with it."""
    if not found.others:
        return Verdict.NOTHING_TRIED
    compared = any(entry.ok for entry in found.others)
    return Verdict.NO_GAIN if compared else Verdict.NOTHING_ELSE_OK


def _first_failure(found: Found) -> str:
    return next((e.message for e in found.others if e.message), "there was no time for one.")


def _require(baseline: Entry) -> None:
    """Raise InfrastructureError where there is nothing to compare with."""
    if not baseline.ok:
        raise InfrastructureError(
            f"the baseline failed in the confirmation ({baseline.outcome}): {baseline.message}"
        )


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Ratios of baseline over candidate: of latencies, and of the objective.

    over_rivals: of the objective, rival over candidate.
    """

    latency: Estimate
    objective: Estimate
    over_rivals: tuple[Estimate, ...] = ()


def _ratio(values: FloatArray) -> Estimate:
    """Of pairs [pairs, 2] of candidate and baseline: baseline over candidate."""
    return compare(values[:, 0], values[:, 1], 1 - _SIGNIFICANCE).ratio


def _net_ratio(values: FloatArray) -> Estimate:
    """The same of net energies."""
    return compare_net(values[:, 0], values[:, 1], 1 - _SIGNIFICANCE).ratio


def _exact_ratio(values: FloatArray) -> Estimate:
    """The same where both were counted: every pair is alike, and nothing is uncertain."""
    ratio = float(values[0, 1] / values[0, 0])
    return Estimate(ratio, ratio, ratio)


def _are_counted(entries: Sequence[Entry]) -> bool:
    return all(entry.candidate.is_counted for entry in entries)


def _least_pairs(entries: Sequence[Entry]) -> int:
    return _COUNTED_PAIRS if _are_counted(entries) else FEWEST_PAIRS


def _is_better(ratio: Estimate) -> bool:
    """The interval and the signed-rank test say the same: better at 5 %, two-sided."""
    return ratio.low > 1.0


def _with_quantiles(measured: Sequence[Measurement]) -> list[Measurement]:
    """Quantiles of single runs, those that there are enough samples for."""
    found = [m for m in measured if m.metric is not Metric.LATENCY_P50]
    singles = next((m.samples for m in measured if m.metric is Metric.LATENCY_P50), ())
    for metric, q in _QUANTILES:
        interval = quantile(np.asarray(singles), q) if singles else None
        if interval is not None:
            samples = singles if metric is Metric.LATENCY_P50 else ()
            found.append(
                Measurement(
                    metric, interval.value, Method.MEASURED, interval.low, interval.high, samples
                )
            )
    return found
