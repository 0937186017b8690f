"""What a store says of whole candidates, as rows to learn from: each candidate of a model once."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, zip_longest

from db.questions.learning import WholeTrial, candidate_texts, model_texts, whole_trials
from db.reader import StoreReader
from farm.candidate import Candidate, Pipeline, from_json
from farm.errors import CandidateError
from farm.measurement import Outcome
from tuner.learning.subjects import stored_subject
from tuner.learning.values import Subject

MOST_ROWS = 500
"""That a process is fitted to: its time grows with their third power."""
FAILED = frozenset({Outcome.COMPILE_ERROR, Outcome.RUN_ERROR, Outcome.REJECTED,
                    Outcome.OUT_OF_MEMORY, Outcome.TIMEOUT})  # fmt: skip
"""Outcomes that say a candidate is of no use."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A candidate of a model, with the trial that says most of it. name: of the model."""

    name: str
    subject: Subject
    candidate: Candidate
    trial: WholeTrial

    @property
    def failed(self) -> bool:
        """Whether it could not be made, did not run, or was refused."""
        return self.trial.outcome in FAILED


def tried_in(
    store: StoreReader,
    device: str,
    machine_id: str,
    model_sha256: str | None = None,
    until: datetime | None = None,
) -> tuple[Tried, ...]:
    """Candidates that were tried on a device of a machine, each once for each model.

    Models of which an older farm kept too little, candidates that are none any more, and those
    whose latency is unknown are left out. model_sha256: of this model alone. until: that were
    begun before.
    """
    found: dict[tuple[str, str], WholeTrial] = {}
    for trial in whole_trials(store, device, machine_id, model_sha256=model_sha256, until=until):
        key = trial.model_sha256, trial.candidate
        found[key] = _better(found.get(key), trial)
    texts = candidate_texts(store, {trial.candidate for trial in found.values()})
    candidates = {id_: made for id_, text in texts.items() if (made := _read(text)) is not None}
    models = model_texts(store, {trial.model_sha256 for trial in found.values()})
    subjects = {sha: stored_subject(sha, macs, told) for sha, (_, macs, told) in models.items()}
    return tuple(
        Tried(models[trial.model_sha256][0], subject, candidates[trial.candidate], trial)
        for trial in found.values()
        if trial.candidate in candidates
        and (subject := subjects.get(trial.model_sha256)) is not None
    )


def devices_beside(
    store: StoreReader, device: str, trials: Iterable[WholeTrial]
) -> frozenset[str]:
    """Other devices that parts of the candidates of these trials are at."""
    texts = candidate_texts(store, {trial.candidate for trial in trials})
    made = [found for text in texts.values() if (found := _read(text)) is not None]
    return parts_beside(device, made)


def parts_beside(device: str, candidates: Iterable[Candidate]) -> frozenset[str]:
    """Other devices that parts of candidates are at."""
    engines = (candidate.engine for candidate in candidates)
    split = (engine.devices for engine in engines if isinstance(engine, Pipeline))
    return frozenset().union(*split) - {device}


def chosen(tried: Iterable[Tried], most: int = MOST_ROWS) -> tuple[Tried, ...]:
    """At most so many, of all models alike, and of each model any: always the same ones.

    Runs try the same candidates first, so that in the order of trials the same ones would be
    missing of all models.
    """
    by_model: dict[str, list[Tried]] = {}
    for each in tried:
        by_model.setdefault(each.subject.sha256, []).append(each)
    drawn = (sorted(each, key=_drawn) for each in by_model.values())
    turns: Sequence[Tried | None] = list(chain.from_iterable(zip_longest(*drawn)))
    return tuple([each for each in turns if each is not None][:most])


def _drawn(tried: Tried) -> tuple[int, str]:
    """Where it comes in an order that is as good as random, but the same every time."""
    name = tried.subject.sha256 + tried.trial.candidate
    return zlib.crc32(name.encode()), tried.trial.trial


def _better(known: WholeTrial | None, older: WholeTrial) -> WholeTrial:
    """The one that ran in more blocks; of those that say as much the newer."""
    if known is None:
        return older
    return older if (older.seconds is not None, older.blocks) > (
        known.seconds is not None, known.blocks
    ) else known  # fmt: skip


def _read(text: str) -> Candidate | None:
    """A candidate of the store; None where it is of another farm's kind, or tells no latency."""
    try:
        candidate = from_json(text)
    except CandidateError:
        return None
    return None if candidate.is_untimed else candidate
