"""What there is in a store, a page at a time: runs, models, devices, series; what a text finds.

Every question reads as many rows as it returns, or goes through a small table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import func, select

from db.night_records import Series
from db.reader import StoreReader, columns
from db.schema import CandidateRow, ModelRow, RankingRow, RunRow, SeriesRow, TrialRow

ROWS = 50
"""Of one page."""
_FOUND = 20  # of each kind that a search finds

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
    """What a text finds, at most 20 of each.

    devices: name, and of how many models something was measured there. trials: of each candidate
    whose label has the text the newest one.
    """

    runs: Part
    models: Part
    devices: Part
    trials: Part
    series: Part

    def __len__(self) -> int:
        """How many rows that are."""
        return sum(len(part.rows) for part in self._parts)

    @property
    def more(self) -> bool:
        """Whether others follow."""
        return any(part.more for part in self._parts)

    @property
    def _parts(self) -> tuple[Part, ...]:
        return self.runs, self.models, self.devices, self.trials, self.series


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
_DEVICES: _Query = (
    select(RankingRow.device, func.count(RankingRow.model_sha256.distinct()))
    .group_by(RankingRow.device)
    .order_by(RankingRow.device)
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
    with store.reading() as session:
        return tuple((device, count) for device, count in session.execute(_DEVICES))


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
        select(newest).where(CandidateRow.label.icontains(text, autoescape=True)).limit(_FOUND + 1)
    )
    # The first condition is an index's; how a database sorts what is longer is its own affair.
    id_ = text.lower()
    begins = (TrialRow.id >= id_, TrialRow.id.startswith(id_, autoescape=True))
    by_id = _TRIALS.where(*begins).order_by(TrialRow.id)
    in_series = [
        each.icontains(text, autoescape=True) for each in (SeriesRow.suite, SeriesRow.case)
    ]
    called = RunRow.name.icontains(text, autoescape=True)
    named = ModelRow.name.icontains(text, autoescape=True)
    sha256 = ModelRow.sha256.startswith(text.lower(), autoescape=True)
    on_device = RankingRow.device.icontains(text, autoescape=True)
    with store.reading() as session:
        ids = [found for found in session.scalars(labelled) if found is not None]
    by_label = _TRIALS.where(TrialRow.id.in_(ids)).order_by(TrialRow.id)
    return Found(
        _some(store, _RUNS.where(called), RunLine),
        _some(store, _MODELS.where(named | sha256), ModelLine),
        _some(store, _DEVICES.where(on_device), _pair),
        _either(_some(store, by_id, TrialLine), _some(store, by_label, TrialLine)),
        _some(store, _SERIES.where(in_series[0] | in_series[1]), Series),
    )


def _part(
    store: StoreReader, query: _Query, line: Callable[..., Any], page: int, most: int = ROWS
) -> Part:
    limited = query.limit(most + 1).offset(most * (page - 1))
    with store.reading() as session:
        rows = [line(*row) for row in session.execute(limited)]
    return Part(rows[:most], len(rows) > most)


def _some(store: StoreReader, query: _Query, line: Callable[..., Any]) -> Part:
    return _part(store, query, line, 1, _FOUND)


def _either(one: Part, other: Part) -> Part:
    """The rows of both, each once."""
    rows = [*dict.fromkeys((*one.rows, *other.rows))]
    return Part(rows[:_FOUND], one.more or other.more or len(rows) > _FOUND)


def _pair(device: str, models: int) -> tuple[str, int]:
    return device, models
