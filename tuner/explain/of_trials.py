"""The explanation of a trial, from what the store has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from db.questions.results import ran_with
from db.reader import StoreReader
from db.records import Phase, Trial
from farm.candidate import Candidate, check_timed, from_json
from farm.errors import OptionError
from farm.measurement import Estimate, Measurement, Metric, Outcome
from farm.profile.kernels import OperatorProfile
from tuner.explain.conversions import Operators, conversions
from tuner.explain.decisions import Past, decisions, ran_alike
from tuner.explain.explanation import Explanation, Side, timed
from tuner.explain.planned import fallbacks, unfused
from tuner.explain.rows import operator_rows
from tuner.explain.sentence import Found, sentence
from tuner.racing.recorded import MIN_COMMON_BLOCKS, deciding_pairs, pairs_of
from tuner.racing.statistics import Comparison, compare
from tuner.runs.memory import Memory
from tuner.runs.record.details import assignment_in, notes_in
from tuner.runs.record.operators import operators_in

_BY_WORTH = (Phase.CONFIRM, Phase.BENCH, Phase.SEARCH)  # whose latency is the more certain


@dataclass(frozen=True, slots=True)
class Asked:
    """The trials that are to be explained, found in the store.

    against: None where nothing was named and the trial is the baseline, or its run has none.
    is_baseline: whether ``against`` is the baseline of the trial's run.
    """

    trial: Trial
    against: Trial | None
    is_baseline: bool


@dataclass(frozen=True, slots=True)
class Anew:
    """Ids of trials that were measured anew, side by side, for this explanation."""

    trial: str
    against: str = ""


def ask(store: StoreReader, trial_id: str, against_id: str = "") -> Asked:
    """Find the trials by their ids or the beginnings of them; the other one is the baseline.

    Raises NotInStore. Raises OptionError: a beginning fits several, or they are of two models or
    of one candidate. Raises CandidateError: the latency of one is unknown.
    """
    trial = store.trial(trial_id)
    check_timed(_candidate(store, trial))
    past = Past.of(store, trial)
    baseline = past.baseline and (past.same_candidate(past.baseline, trial.phase) or past.baseline)
    against = store.trial(against_id) if against_id else baseline
    if against is None or (not against_id and against.candidate_id == trial.candidate_id):
        return Asked(trial, None, is_baseline=False)
    check_timed(_candidate(store, against))
    if store.run(trial.run).model_sha256 != store.run(against.run).model_sha256:
        raise OptionError(
            f"Trials {trial.id} and {against.id} are of different models: only trials of one "
            "model can be explained against each other."
        )
    if trial.device == against.device and ran_alike(trial, against):
        raise OptionError(
            f"Trials {trial.id} and {against.id} have the same candidate on the same device: "
            "there is nothing to explain between them."
        )
    same_run = (trial.run, trial.device) == (against.run, against.device)
    is_baseline = (
        same_run and baseline is not None and baseline.candidate_id == against.candidate_id
    )
    return Asked(trial, against, is_baseline)


def _candidate(store: StoreReader, trial: Trial) -> Candidate:
    return from_json(store.candidate(trial.candidate_id).json)


def explain(store: StoreReader, asked: Asked, anew: Anew | None = None) -> Explanation:
    """Why a trial is as fast as it is. anew: trials whose latencies and profiles are shown."""
    operators = operators_in(store.model(store.run(asked.trial.run).model_sha256).details)
    past = Past.of(store, asked.trial)
    trial = _side(store, asked.trial, anew.trial if anew else "")
    against, beside, confirmed = None, None, None
    if asked.against is not None:
        against = _side(store, asked.against, anew.against if anew else "", trial.phase)
        if not (anew or trial.kernels):  # measured as the other one was, where it can be
            trial = _side(store, asked.trial, "", against.phase)
        beside = _side_by_side(store, trial, against)
        if beside is None or beside.phase is not trial.phase:
            confirmed = _confirmed(past, asked, trial, against)
            beside = None if confirmed else beside
    comparison = beside.comparison if beside else None
    name = "the baseline" if asked.is_baseline else against.label if against else ""
    found = _found(trial, against, operators)
    by = _of_ratio(trial, against, beside, confirmed)
    return Explanation(
        sentence(trial, against, name, comparison, found, confirmed),
        trial,
        against,
        comparison,
        tuple(found.operators),
        tuple(found.conversions),
        tuple(found.unfused),
        tuple(found.fallbacks),
        decisions(store, past, asked.trial),
        (*_notes(trial, against, asked, operators), *([by] if by else [])),
        confirmed,
    )


def _side(store: StoreReader, trial: Trial, measured_id: str, like: Phase | None = None) -> Side:
    """A trial, with the latency and the kernels of the one of its candidate that has them.

    like: the phase of what it is compared with, for one that has no kernels.
    """
    measured = store.trial(measured_id) if measured_id else trial
    kernels: tuple[OperatorProfile, ...] = store.profile(measured.id)
    if not kernels and not measured_id:
        measured, kernels = _profiled(store, trial, like or trial.phase)
    latency = _latency(store, measured)
    record = store.candidate(trial.candidate_id)
    return Side(
        trial.id,
        measured.id,
        measured.run,
        trial.device,
        from_json(record.json),
        record.label + ran_with(trial.details),
        trial.outcome,
        trial.message,
        latency,
        timed(kernels, latency),
        kernels[0].method if kernels else None,
        notes_in(measured.details),
        assignment_in(measured.details),
        measured.phase,
    )


def _profiled(
    store: StoreReader, trial: Trial, phase: Phase
) -> tuple[Trial, tuple[OperatorProfile, ...]]:
    """Of a candidate in a run: the trial with a profile, else that of a phase, else itself."""
    siblings = [
        other
        for other in store.trials(run=trial.run, device=trial.device)
        if other.id != trial.id and ran_alike(other, trial)
    ]
    for other in sorted(siblings, key=lambda other: _BY_WORTH.index(other.phase)):
        if kernels := store.profile(other.id):
            return other, kernels
    alike = (t for t in siblings if t.phase is phase and t.outcome is Outcome.OK)
    return (trial if trial.phase is phase else next(alike, trial)), ()


def _latency(store: StoreReader, trial: Trial) -> Measurement | None:
    found = (m for m in store.measurements(trial.id) if m.metric is Metric.LATENCY)
    return next(found, None)


@dataclass(frozen=True, slots=True)
class _SideBySide:
    """Of blocks in which both ran, all of one phase: another one had other data."""

    comparison: Comparison
    phase: Phase


def _side_by_side(store: StoreReader, trial: Side, against: Side) -> _SideBySide | None:
    """In the run that measured them, by the phase of both latencies, else by what is worth most.

    None where no phase has enough blocks in which both ran. A confirmation is told by the blocks
    that decided it, so that it is the same as the run's verdict.
    """
    if (trial.run, trial.device) != (against.run, against.device):
        return None
    trials = store.trials(run=trial.run, device=trial.device)
    blocks = store.blocks(trial.run, trial.device)
    by_id = {other.id: other for other in trials}
    own = [trial.phase] if trial.phase is against.phase else []
    for phase in dict.fromkeys([*own, *_BY_WORTH]):
        first, second = (
            {t.id for t in trials if t.phase is phase and ran_alike(t, by_id[side.measured])}
            for side in (trial, against)
        )
        if phase is Phase.CONFIRM:
            pairs, least = deciding_pairs(blocks, first, second), 1
        else:
            pairs, least = pairs_of(blocks, first, second), MIN_COMMON_BLOCKS
        if len(pairs) >= least:
            return _SideBySide(compare(pairs[:, 0], pairs[:, 1]), phase)
    return None


def _confirmed(past: Past, asked: Asked, trial: Side, against: Side) -> Estimate | None:
    """What the confirmation of both found, which the run remembers without its blocks."""
    known = Memory.of(past.run).devices.get(past.device)
    both = trial.phase is against.phase is Phase.CONFIRM and asked.is_baseline
    return known.ratio if known and both and known.trial == trial.measured else None


def _of_ratio(
    trial: Side, against: Side | None, beside: _SideBySide | None, confirmed: Estimate | None
) -> str:
    """By what it is told how many times as fast the one is; "" where that needs no word."""
    if against is None or against.latency is None or trial.latency is None:
        return ""
    if confirmed is not None:
        gone = "How many times is what the confirmation found; its blocks are not in the store "
        return gone + "any more." if confirmed.low < confirmed.high else ""  # else it was counted
    if beside is None:
        return (
            f"They ran side by side in fewer than {MIN_COMMON_BLOCKS} blocks: latencies of "
            "different times are compared, between which the machine may have changed."
        )
    phases = dict.fromkeys([trial.phase, against.phase])
    if list(phases) == [beside.phase]:
        return ""
    of = f"phases {' and '.join(phases)}, at" if len(phases) > 1 else f"phase {trial.phase}, at"
    return (
        f"How many times is by the blocks of the phase {beside.phase} in which both ran; the "
        f"latencies beside it are of the {of} different times and on other data."
    )


def _found(trial: Side, against: Side | None, operators: Operators) -> Found:
    if not trial.kernels:
        return Found(())
    return Found(
        operator_rows(trial, against, operators),
        tuple(conversions(trial, operators)),
        tuple(unfused(trial, operators)),
        tuple(fallbacks(trial, operators)),
    )


def _notes(trial: Side, against: Side | None, asked: Asked, operators: Operators) -> Iterator[str]:
    """What is to be known of what is shown."""
    sides = [trial, *([against] if against else [])]
    if missing := [side for side in sides if not side.kernels]:
        yield _how_to_profile(missing, trial, asked)
    if against is not None and against.latency is None:
        why = f" ({against.outcome}): {against.message}" if against.outcome else "."
        yield f"Trial {against.trial}, {against.label}, was not measured{why}"
    if against is None or against.latency is None or trial.latency is None:
        return
    if trial.method and against.method and trial.method is not against.method:
        methods = f"{trial.method} in the first and {against.method} in the other"
        yield f"What kernels take was {methods}."
    batches = [side.candidate.batch for side in sides]
    if batches[0] != batches[1]:
        yield f"One run takes {batches[0]} samples of the first and {batches[1]} of the other."
    if trial.kernels and not operators:
        yield "The types of operators are unknown, because an older farm stored the model."


def _how_to_profile(missing: Sequence[Side], trial: Side, asked: Asked) -> str:
    has = f"Trial {missing[0].trial} has no profile of its operators"
    if len(missing) > 1:
        names = " and ".join(side.trial for side in missing)
        has = f"Trials {names} have no profiles of their operators"
    command = f"farm explain {trial.trial[:8]}"
    if asked.against is not None and not asked.is_baseline:
        command += f" --against {asked.against.id[:8]}"
    what = "both anew, side by side" if asked.against else "it anew"
    return f"{has}. This measures and profiles {what}: {command} --measure"
