"""What a store says of similar models, as it was when a run began.

Only trials that had ended, and blocks that had been measured, count: a run that is resumed expects
what it expected at first, whatever was measured since.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from db.reader import StoreReader
from db.records import Block, Machine, Model, Run, Trial
from farm.accuracy import agreement
from farm.candidate import Candidate, from_json
from farm.errors import CandidateError
from farm.measurement import Measurement, Method, Metric, Outcome
from tuner.goals import Objective
from tuner.racing.objective import Scorer
from tuner.racing.statistics import net_ratio
from tuner.runs.history import Entry
from tuner.runs.record.details import accuracy_of
from tuner.search.expecting.likeness import Traits, likenesses, most_alike
from tuner.search.expecting.similar import MOST_ROWS, Other, SimilarPrior
from tuner.search.prior import Prior
from tuner.search.regression.alike import LATENCY, correlation
from tuner.search.regression.process import Rows

_LEAST_LIKENESS = 0.1
_MOST_RUNS = 40  # that are looked into
_RUNS_PER_MODEL = 3  # the newest


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a prior is for.

    until: when its run began. baseline: of its space. labelled: whether accuracy is judged by more
    than the agreement with the model's own outputs.
    """

    model: Model
    device: str
    machine: Machine
    until: datetime
    baseline: Candidate
    scorer: Scorer
    labelled: bool = False


def prior_from_store(store: StoreReader, wanted: Wanted, before: Prior) -> Prior:
    """What similar models say, around what is expected before; that alone where none is known.

    Raises StoreError.
    """
    if wanted.scorer.objective is Objective.ENERGY:
        return before  # joules of another model follow from its own work
    found: list[tuple[float, Traits, Rows]] = []
    for like, traits, run in _similar_runs(store, wanted):
        rows = rows_of(store, run, wanted, before)
        if rows is not None:
            found.append((like, traits, rows))
        if sum(len(rows.candidates) for _, _, rows in found) >= MOST_ROWS:
            break
    if not found:
        return before
    others = tuple(Other(like, rows) for like, _, rows in found)
    return SimilarPrior(before, others, likenesses([traits for _, traits, _ in found]))


def _similar_runs(store: StoreReader, wanted: Wanted) -> Iterator[tuple[float, Traits, Run]]:
    """Earlier runs of similar models on such a machine, the most alike first."""
    earlier = [run for run in store.runs() if run.created_at < wanted.until]
    machines = {run.machine_id for run in earlier}
    alike = {m for m in machines if _same_kind(store.machine(m), wanted.machine)}
    by_model: dict[str, list[Run]] = {}
    for run in earlier:
        if run.machine_id in alike:
            by_model.setdefault(run.model_sha256, []).append(run)
    traits = {sha256: Traits.of(store.model(sha256)) for sha256 in by_model}
    looked = 0
    for like, sha256 in most_alike(Traits.of(wanted.model), traits.items()):
        for run in by_model[sha256][:_RUNS_PER_MODEL]:
            if like < _LEAST_LIKENESS or looked >= _MOST_RUNS:
                return
            looked += 1
            yield like, traits[sha256], run


def _same_kind(one: Machine, other: Machine) -> bool:
    return (one.cpu, one.cores) == (other.cpu, other.cores)


def rows_of(store: StoreReader, run: Run, wanted: Wanted, before: Prior) -> Rows | None:
    """What a run tried, compared with its baseline; None where there is nothing to compare."""
    until = wanted.until
    trials = {
        trial.id: trial
        for trial in store.trials(run=run.name, device=wanted.device)
        if trial.finished_at is not None and trial.finished_at < until
    }
    blocks = [
        block
        for block in store.blocks(run.name, wanted.device)
        if block.kept and block.started_at < until
    ]
    candidates = dict(_read(store, trials.values()))
    scores = _scores(blocks, candidates, wanted.scorer)
    reference = _reference(scores, candidates, wanted.baseline)
    if reference is None:
        return None
    # Where the baseline itself was not measured, what stands for it has the ratio expected of it.
    offset = 0.0
    if candidates[reference] != wanted.baseline:
        offset = float(np.log(before.expect([candidates[reference]])[0].ratio))
    told = [i for i in candidates if trials[i].outcome is not Outcome.INFRASTRUCTURE_ERROR]
    ratios = [_log_ratio(scores.get(i), scores[reference]) + offset for i in told]
    original = _judged(trials[reference], candidates[reference])
    failed = [_failed(_judged(trials[i], candidates[i]), original, wanted) for i in told]
    ran = [trials[i].outcome in (Outcome.OK, Outcome.REJECTED) for i in told]
    refused = np.array(failed) * np.array(ran, float)
    return Rows(tuple(candidates[i] for i in told), np.array(ratios), np.array(failed), refused)


def _judged(trial: Trial, candidate: Candidate) -> Entry:
    """A trial with nothing but what its outputs were like."""
    accuracy = accuracy_of(trial.details)
    measured = {}
    if accuracy is not None and accuracy.value is not None:
        value = Measurement(Metric.ACCURACY, accuracy.value, Method.MEASURED)
        measured = {Metric.ACCURACY: value}
    outcome = trial.outcome or Outcome.INFRASTRUCTURE_ERROR
    return Entry(trial.id, candidate, outcome, measurements=measured, accuracy=accuracy)


def _failed(entry: Entry, original: Entry, wanted: Wanted) -> float:
    """1 where it failed, or would be too inaccurate by the limits of today's run; 0 where not.

    NaN where its accuracy was judged by other means than today's would be.
    """
    if entry.outcome not in (Outcome.OK, Outcome.REJECTED):
        return 1.0
    if entry.accuracy is None:
        return float(not entry.ok)
    if (entry.accuracy.metric == agreement.NAME) is wanted.labelled:
        return float("nan")
    return float(bool(wanted.scorer.broken_limit(entry, original)))


def _read(store: StoreReader, trials: Iterable[Trial]) -> Iterator[tuple[str, Candidate]]:
    for trial in trials:
        try:
            yield trial.id, from_json(store.candidate(trial.candidate_id).json)
        except CandidateError:
            continue  # of another version of the farm


def _scores(
    blocks: Sequence[Block], candidates: Mapping[str, Candidate], scorer: Scorer
) -> dict[str, dict[int, float]]:
    """The objective of each trial by the number of the block."""
    found: dict[str, dict[int, float]] = {}
    for number, block in enumerate(blocks):
        for sample in block.samples:
            if sample.trial_id not in candidates:
                continue
            if scorer.objective is Objective.LOAD and sample.load_seconds is None:
                continue
            if scorer.is_net and sample.joules is None:
                continue
            entry = Entry(sample.trial_id, candidates[sample.trial_id], Outcome.OK)
            found.setdefault(sample.trial_id, {})[number] = scorer.of_sample(entry, sample)
    return found


def _reference(
    scores: Mapping[str, object], candidates: Mapping[str, Candidate], baseline: Candidate
) -> str | None:
    """The trial that is the baseline, or the most like it."""
    tried = [i for i in candidates if i in scores]
    if not tried:
        return None
    alike = correlation([baseline], [candidates[i] for i in tried], LATENCY)[0]
    return tried[int(np.argmax(alike))]


def _log_ratio(own: Mapping[int, float] | None, other: Mapping[int, float]) -> float:
    """NaN where they ran in no block together."""
    common = [at for at in own or () if at in other]
    if own is None or not common:
        return float("nan")
    pairs = np.array([(own[at], other[at]) for at in common])
    if (pairs > 0).all():
        return float(np.median(np.log(pairs[:, 0] / pairs[:, 1])))
    ratio = net_ratio(pairs[:, 0], pairs[:, 1], 0.95).value  # of energies around 0
    return float(np.log(ratio)) if 0 < ratio < np.inf else float("nan")
