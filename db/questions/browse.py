"""What there is in a store, a page at a time: runs, models, devices, series; what a text finds.

Every question reads as many rows as it returns, or goes through a small table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import func, select

from db.reader import StoreReader, columns
from db.records import Series
from db.schema import CandidateRow, ModelRow, RankingRow, RunRow, SeriesRow, TrialRow

ROWS = 50
"""Of one page."""
_FOUND = 20  # of each kind that a search finds

_Line = TypeVar("_Line")
_Query: TypeAlias = Any
"""A Select, of whatever columns."""


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run in a list. model: its name."""

    name: str
    kind: str
    status: str
    model: str
    model_sha256: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ModelLine:
    """A model in a list."""

    sha256: str
    name: str
    operators: int
    parameters: int
    macs: int


@dataclass(frozen=True, slots=True)
class TrialLine:
    """A trial in a list. candidate: its label."""

    id: str
    run: str
    device: str
    phase: str
    outcome: str | None
    candidate: str


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a list. more: whether others follow."""

    rows: Sequence[Any]
    more: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a text finds, at most 20 of each."""

    runs: Sequence[RunLine]
    models: Sequence[ModelLine]
    trials: Sequence[TrialLine]
    series: Sequence[Series]

    def __len__(self) -> int:
        """How many rows that are."""
        return len(self.runs) + len(self.models) + len(self.trials) + len(self.series)


_RUNS: _Query = (
    select(
        RunRow.name,
        RunRow.kind,
        RunRow.status,
        ModelRow.name,
        RunRow.model_sha256,
        RunRow.created_at,
    )
    .join(ModelRow, ModelRow.sha256 == RunRow.model_sha256)
    .order_by(RunRow.created_at.desc(), RunRow.name)
)
_MODELS = columns(ModelRow, ModelLine).order_by(ModelRow.name, ModelRow.sha256)
_SERIES = columns(SeriesRow, Series).order_by(
    SeriesRow.suite, SeriesRow.case, SeriesRow.device, SeriesRow.metric, SeriesRow.id
)
_TRIALS: _Query = select(
    TrialRow.id,
    TrialRow.run,
    TrialRow.device,
    TrialRow.phase,
    TrialRow.outcome,
    CandidateRow.label,
).join(CandidateRow, CandidateRow.id == TrialRow.candidate_id)


def runs_part(store: StoreReader, page: int = 1, model: str | None = None) -> Part:
    """Runs, newest first. model: a SHA-256. page: from 1."""
    query = _RUNS if model is None else _RUNS.where(RunRow.model_sha256 == model)
    return _part(store, query, RunLine, page)


def models_part(store: StoreReader, page: int = 1) -> Part:
    """Models by name."""
    return _part(store, _MODELS, ModelLine, page)


def series_part(store: StoreReader, page: int = 1) -> Part:
    """Series of all suites, by name."""
    return _part(store, _SERIES, Series, page)


def devices(store: StoreReader) -> tuple[tuple[str, int], ...]:
    """Devices on which something was measured, and of how many models."""
    models = func.count(RankingRow.model_sha256.distinct())
    query = select(RankingRow.device, models).group_by(RankingRow.device)
    with store.reading() as session:
        found = session.execute(query.order_by(RankingRow.device))
        return tuple((device, count) for device, count in found)


def search(store: StoreReader, text: str) -> Found:
    """What has a text in its name, in capitals or not; trials also by the beginning of their id.

    A trial is found by its candidate's label, too: of each candidate the newest one.
    """
    newest = (
        select(TrialRow.id)
        .where(TrialRow.candidate_id == CandidateRow.id)
        .order_by(TrialRow.created_at.desc())
        .limit(1)
        .correlate(CandidateRow)
        .scalar_subquery()
    )
    labelled = (
        select(newest).where(CandidateRow.label.icontains(text, autoescape=True)).limit(_FOUND)
    )
    # The first condition is an index's; how a database sorts what is longer is its own affair.
    begins = (TrialRow.id >= text, TrialRow.id.startswith(text, autoescape=True))
    by_id = _TRIALS.where(*begins).order_by(TrialRow.id)
    in_series = [
        each.icontains(text, autoescape=True) for each in (SeriesRow.suite, SeriesRow.case)
    ]
    called = RunRow.name.icontains(text, autoescape=True)
    named = ModelRow.name.icontains(text, autoescape=True)
    sha256 = ModelRow.sha256.startswith(text.lower(), autoescape=True)
    trials = [*_some(store, by_id, TrialLine)]
    with store.reading() as session:
        ids = [found for found in session.scalars(labelled) if found is not None]
    trials += _some(store, _TRIALS.where(TrialRow.id.in_(ids)).order_by(TrialRow.id), TrialLine)
    return Found(
        _some(store, _RUNS.where(called), RunLine),
        _some(store, _MODELS.where(named | sha256), ModelLine),
        tuple(dict.fromkeys(trials))[:_FOUND],
        _some(store, _SERIES.where(in_series[0] | in_series[1]), Series),
    )


def _part(store: StoreReader, query: _Query, line: type[_Line], page: int) -> Part:
    limited = query.limit(ROWS + 1).offset(ROWS * (page - 1))
    with store.reading() as session:
        rows = [line(*row) for row in session.execute(limited)]
    return Part(rows[:ROWS], len(rows) > ROWS)


def _some(store: StoreReader, query: _Query, line: type[_Line]) -> tuple[_Line, ...]:
    with store.reading() as session:
        return tuple(line(*row) for row in session.execute(query.limit(_FOUND)))
