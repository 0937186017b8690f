"""What the tuner decided about a candidate on a device of a run, by what the store has of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from db.reader import StoreReader
from db.records import Block, BlockSample, Phase, Run, RunKind, Trial
from farm.candidate import Candidate, from_json
from farm.devices.energy import Work
from farm.measurement import Outcome
from farm.units import Bytes, counted
from tuner.explain.explanation import Decision
from tuner.explain.races import Appearance, Score, appearance
from tuner.goals import Constraints, Objective
from tuner.racing.objective import Scorer
from tuner.racing.race import Finish
from tuner.racing.recorded import deciding_pairs
from tuner.racing.statistics import compare
from tuner.runs.history import Entry, of_trials
from tuner.runs.memory import Memory
from tuner.runs.record.details import as_first_measured, pinned_in, proposed_in
from tuner.search.rules import TOO_SLOW
from tuner.search.stages import Stage

_VISIBLE, _IN_TENTHS = 0.0005, 1.1  # of a ratio, how it is written
_WORSE = {
    Objective.LATENCY: "slower",
    Objective.MEMORY: "more peak memory",
    Objective.ENERGY: "more energy",
    Objective.CPU: "more processor time",
    Objective.THROUGHPUT: "slower in results",
    Objective.P99: "slower at the 99th percentile",
    Objective.LOAD: "slower from loading to the first outputs",
}
_ENDED = {
    Finish.ONE_LEFT: "nobody else was left",
    Finish.EQUIVALENT: "those that were left are equivalent",
    Finish.BLOCK_LIMIT: "a race has no more blocks",
    None: "the time for searching was over",
}


@dataclass(frozen=True)
class Past:
    """What the store has of one device in one run.

    trials: oldest first. baseline: None where nothing was searched. blocks: of all its races.
    """

    run: Run
    device: str
    trials: Sequence[Trial]
    baseline: Trial | None
    blocks: Sequence[Block]
    labels: Mapping[str, str]

    @classmethod
    def of(cls, store: StoreReader, trial: Trial) -> Past:
        """All that was done on the device of a trial in its run."""
        trials = store.trials(run=trial.run, device=trial.device)
        candidates = {each.candidate_id for each in trials}
        return cls(
            store.run(trial.run),
            trial.device,
            trials,
            baseline_of(trials),
            store.blocks(trial.run, trial.device),
            {key: store.candidate(key).label for key in candidates},
        )

    def same_candidate(self, trial: Trial, phase: Phase) -> Trial | None:
        """The trial of a candidate in a phase."""
        found = (t for t in self.trials if ran_alike(t, trial))
        return next((each for each in found if each.phase is phase), None)

    def label(self, trial_id: str) -> str:
        """What a trial's candidate is called."""
        trial = next(each for each in self.trials if each.id == trial_id)
        is_baseline = self.baseline and trial.candidate_id == self.baseline.candidate_id
        return "the baseline" if is_baseline else self.labels[trial.candidate_id]


def ran_alike(first: Trial, second: Trial) -> bool:
    """Whether two trials are of one candidate, which both ran with the same software."""
    return first.candidate_id == second.candidate_id and (
        pinned_in(first.details) == pinned_in(second.details)
    )


def baseline_of(trials: Sequence[Trial]) -> Trial | None:
    """What the others are compared with: of a search the first that was ok."""
    searched = (t for t in trials if t.phase is Phase.SEARCH and t.outcome is Outcome.OK)
    return next(searched, None)


def decisions(store: StoreReader, past: Past, trial: Trial) -> tuple[Decision, ...]:
    """What was decided about a trial's candidate, in the order in which that happened."""
    return tuple(_Deciding(store, past, trial).all())


class _Deciding:
    def __init__(self, store: StoreReader, past: Past, trial: Trial) -> None:
        self._store = store
        self._past = past
        self._trial = trial
        self._objective = _objective_of(past.run)

    def all(self) -> Iterator[Decision]:
        past, trial = self._past, self._trial
        searched = past.same_candidate(trial, Phase.SEARCH)
        if searched is not None:
            yield from self._proposed(searched)
            raced = list(self._raced(searched))
            yield from raced
            yield from self._ended(searched, raced=bool(raced))
        confirmed = past.same_candidate(trial, Phase.CONFIRM)
        if confirmed is not None:
            yield from self._confirmed(confirmed)
        if trial.phase is Phase.BENCH:
            yield from self._ended(trial, raced=True)

    def _proposed(self, trial: Trial) -> Iterator[Decision]:
        proposed = proposed_in(trial.details)
        if proposed.stage in set(Stage):
            stage = Stage(proposed.stage)
            told = f"; {proposed.why}" if proposed.why else ""
            why = f"proposed because {stage.reason} ({stage}){told}"
            yield Decision("proposed", why, ratio=proposed.ratio)

    def _raced(self, trial: Trial) -> Iterator[Decision]:
        baseline = self._past.baseline
        for _, group in groupby(self._past.blocks, key=lambda block: block.race):
            blocks = list(group)
            if any(sample.trial_id == trial.id for sample in blocks[0].samples):
                protected = baseline.id if baseline else ""
                entrants = [self._candidate(sample.trial_id) for sample in blocks[0].samples]
                counted = all(each.is_counted for each in entrants)
                score, net = self._score(), self._scorer().is_net
                found = appearance(blocks, trial.id, protected, score, counted=counted, net=net)
                yield self._told(found, trial)

    def _told(self, found: Appearance, trial: Trial) -> Decision:
        where = f"race {found.race} against {counted(found.rivals, 'other')}"
        after = f"after {counted(found.blocks, 'block')}"
        race, blocks, drop = found.race, found.blocks, found.drop
        if not blocks:
            return Decision("raced", f"raced in {where}, in which no block counted", race, 0)
        if not found.leader or self._is_modelled_energy:
            return Decision("raced", f"raced in {where}, {after}", race, blocks)
        if drop is not None:
            than = f"{self._worse(drop.ratio)} than {self._past.label(drop.leader)}"
            sure = f" {after}, and far behind in each of them"
            if drop.p_value is not None:
                sure = f" at p = {drop.p_value:.2g} {after}"
            why = f"dropped from {where} because {than}{sure}"
            return Decision("dropped", why, race, blocks, drop.ratio, drop.p_value)
        failed = found.finish is None and trial.outcome not in (Outcome.OK, Outcome.REJECTED)
        until = f"until {'it failed' if failed else _ENDED[found.finish]}"
        if found.ratio is None:
            return Decision("led", f"led {where} {after}, {until}", race, blocks)
        than = f"{self._worse(found.ratio.value)} than {self._past.label(found.leader)}"
        why = f"stayed in {where} {after}, {than}, {until}"
        return Decision("stayed", why, race, blocks, found.ratio.value)

    def _ended(self, trial: Trial, *, raced: bool) -> Iterator[Decision]:
        """Where it failed, broke a limit, or was not worth a race."""
        if trial.outcome is Outcome.REJECTED:
            yield Decision("rejected", f"rejected because {trial.message.rstrip('.')}")
        elif trial.outcome is not Outcome.OK:
            told = f": {trial.message.rstrip('.')}" if trial.message else ""
            yield Decision("failed", f"ended as {trial.outcome or 'pending'}{told}")
        elif not raced and trial is not self._past.baseline:
            yield self._not_raced(trial)

    def _not_raced(self, trial: Trial) -> Decision:
        baseline = self._past.baseline
        first, other = self._first(trial), self._first(baseline) if baseline else None
        if first is None or other is None or self._is_modelled_energy:
            return Decision("not raced", "not raced")
        ratio = first / other
        much = f"its first samples were {self._worse(ratio)} than the baseline's"
        if ratio >= TOO_SLOW:
            return Decision("not raced", f"not raced because {much}", ratio=ratio)
        return Decision("not raced", f"not raced, and {much}", ratio=ratio)

    def _confirmed(self, trial: Trial) -> Iterator[Decision]:
        """What the confirmation, in fresh processes and on other data, said."""
        past, baseline = self._past, self._past.baseline
        if trial.outcome is not Outcome.OK:
            why = f"not confirmed because {trial.message.rstrip('.')}"
            yield Decision("not confirmed", why)
            return
        reference = past.same_candidate(baseline, Phase.CONFIRM) if baseline else None
        is_other = reference is not None and reference.id != trial.id
        if reference is not None and is_other and self._objective is Objective.LATENCY:
            yield from self._paired(trial, reference)
        winner = Memory.of(past.run).devices.get(past.device)
        if winner is not None and winner.candidate == trial.candidate_id:
            yield Decision("won", f"the winner of {past.device} in run {past.run.name}")

    def _paired(self, trial: Trial, reference: Trial) -> Iterator[Decision]:
        pairs = deciding_pairs(self._past.blocks, {trial.id}, {reference.id})
        if not len(pairs):
            return
        found = compare(pairs[:, 0], pairs[:, 1])
        ratio, p_value = 1.0 / found.ratio.value, found.p_value
        after = f"after {counted(found.pairs, 'block')} in fresh processes"
        if found.ratio.low > 1.0:
            why = (
                f"confirmed at {found.ratio.value:.2f} times the baseline's speed "
                f"[{found.ratio.low:.2f}, {found.ratio.high:.2f}] {after}"
            )
            yield Decision("confirmed", why, None, found.pairs, ratio, p_value)
            return
        why = (
            f"not confirmed because not significantly faster than the baseline {after}: "
            f"{found.ratio.value:.3f} times its speed, p = {p_value:.2g}"
        )
        yield Decision("not confirmed", why, None, found.pairs, ratio, p_value)

    def _worse(self, ratio: float) -> str:
        """``3.1% slower``, ``150% slower``; ``not slower``."""
        word = _WORSE[self._objective]
        if ratio < 1.0 + _VISIBLE:
            return f"not {word}"
        return f"{ratio - 1:.1%} {word}" if ratio < _IN_TENTHS else f"{ratio - 1:.0%} {word}"

    def _first(self, trial: Trial) -> float | None:
        """The objective by a trial's first samples."""
        measured = as_first_measured(of_trials(self._store.measurements(trial.id)), trial.details)
        entry = Entry(trial.id, self._candidate(trial.id), Outcome.OK, measurements=measured)
        return self._scorer().quick(entry)

    def _scorer(self) -> Scorer:
        """Of all but modelled energy, which needs the figures of the device."""
        window = None if self._is_modelled_energy else 0.0
        return Scorer(self._objective, Constraints(), Work(0, Bytes(0), Bytes(0)), None, window)

    @property
    def _is_modelled_energy(self) -> bool:
        """Whether candidates were ranked by an energy that no counter told."""
        samples = (sample for block in self._past.blocks for sample in block.samples)
        is_energy = self._objective is Objective.ENERGY
        return is_energy and all(sample.joules is None for sample in samples)

    def _score(self) -> Score:
        scorer, known = self._scorer(), dict[str, Entry]()

        def score(sample: BlockSample) -> float:
            trial = sample.trial_id
            if trial not in known:
                known[trial] = Entry(trial, self._candidate(trial), Outcome.OK)
            return scorer.of_sample(known[trial], sample)

        return score

    def _candidate(self, trial_id: str) -> Candidate:
        trial = next(each for each in self._past.trials if each.id == trial_id)
        return from_json(self._store.candidate(trial.candidate_id).json)


def _objective_of(run: Run) -> Objective:
    """Of a request of any version of the farm."""
    if run.kind is not RunKind.TUNE:
        return Objective.LATENCY
    return Objective(json.loads(run.request).get("objective") or Objective.LATENCY)
