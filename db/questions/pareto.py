"""What nothing else beats in everything at once: latency, memory, energy and accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import select

from db.questions.results import results
from db.questions.views import EVERYTHING, Subject
from db.reader import StoreReader, models_called
from db.records import Phase, Result
from db.schema import RankingRow, RunRow, TrialRow
from farm.measurement import Measurement, Metric, Outcome

Value = tuple[Metric, str]
"""A metric by one method: values of different methods are not compared."""


def pareto(
    store: StoreReader, subject: Subject = EVERYTHING, run: str | None = None
) -> tuple[Result, ...]:
    """The trials of a run that no other one of its device beats, the fastest of each device first.

    run: where None, of each model and device the newest with a trial that is ok: the values of one
    run were measured side by side. Where it searched, these are trials of its search: few are
    confirmed, later and on other data.

    A trial is beaten by one that is at least as good in every value that is known of it, and
    better in one of them.
    """
    if run is not None:
        pairs = [(store.run_called(run).name, subject.devices)]
    else:
        pairs = [(name, (device,)) for name, device in _newest_runs(store, subject)]
    ok = (
        row
        for name, devices in pairs
        for row in results(
            store, model=subject.model, devices=devices, run=name, outcome=Outcome.OK
        )
    )
    by_device = sorted(ok, key=lambda row: (row.model, row.run, row.device))
    return tuple(
        row
        for _, group in groupby(by_device, key=lambda row: (row.model, row.run, row.device))
        for row in _front(_one_each(list(group)))
    )


def _newest_runs(store: StoreReader, subject: Subject) -> Sequence[tuple[str, str]]:
    """Run and device: of each model on each device the newest that has a trial that is ok."""
    ranking = RankingRow
    pairs = select(ranking.model_sha256, ranking.device).distinct()
    if subject.model is not None:
        pairs = pairs.where(ranking.model_sha256.in_(models_called(subject.model)))
    if subject.devices:
        pairs = pairs.where(ranking.device.in_(subject.devices))
    each = pairs.subquery()
    has_one = (
        select(TrialRow.id)
        .where(
            TrialRow.run == RunRow.name,
            TrialRow.device == each.c.device,
            TrialRow.outcome == Outcome.OK,
        )
        .correlate(RunRow, each)
        .exists()
    )
    newest = (
        select(RunRow.name)
        .where(RunRow.model_sha256 == each.c.model_sha256, has_one)
        .order_by(RunRow.created_at.desc(), RunRow.name)
        .limit(1)
        .correlate(each)
        .scalar_subquery()
    )
    with store.reading() as session:
        found = session.execute(select(newest, each.c.device)).all()
    return [(name, device) for name, device in found if name is not None]


def _one_each(rows: Sequence[Result]) -> list[Result]:
    """The newest row of each candidate; of the search, where there was one."""
    searched = [row for row in rows if row.phase is Phase.SEARCH]
    oldest_first = sorted(searched or rows, key=lambda row: row.created_at)
    return list({row.candidate_id: row for row in oldest_first}.values())


def _front(rows: Sequence[Result]) -> list[Result]:
    """Those that no other one beats, the fastest first."""
    costs = [_costs(row) for row in rows]
    kept = [
        row
        for row, own in zip(rows, costs, strict=True)
        if own and not any(_beats(other, own) for other in costs)
    ]
    return sorted(kept, key=lambda row: (row.latency is None, row.latency and row.latency.value))


def _costs(row: Result) -> dict[Value, float]:
    """What is known of a trial, so that less is better."""
    known = (row.latency, row.memory, row.energy, row.accuracy)
    return {(m.metric, str(m.method)): _cost(m) for m in known if m is not None}


def _cost(measured: Measurement) -> float:
    return -measured.value if measured.metric is Metric.ACCURACY else measured.value


def _beats(other: dict[Value, float], own: dict[Value, float]) -> bool:
    if not other.keys() >= own.keys():
        return False
    return all(other[key] <= cost for key, cost in own.items()) and any(
        other[key] < cost for key, cost in own.items()
    )
