"""Copies what another store has, each row once.

Rows are known again by their keys, which are hashes of what they say, or names with a time. Runs
and nights of two machines may have one name: what is another one's is renamed after its machine.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Insert, Table, delete, insert, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.connection.engine import insert_into, is_damage
from db.night_records import ChangeState
from db.records import RunStatus, content_id
from db.removal import hanging_on, remove_run
from db.schema import (
    Base,
    BlockRow,
    ChangePointRow,
    NightRow,
    NightValueRow,
    RankingRow,
    RunLeaseRow,
    RunRow,
    TrialRow,
)

Row = dict[str, Any]
_BATCH = 1000  # rows of one statement
_UNREAD = "unread"
_SUFFIX = 6  # digits of a machine's id
_RANKED = ("model_sha256", "device", "machine_id", "unseen", "metric", "method")
_OPEN = frozenset({RunStatus.RUNNING, RunStatus.INTERRUPTED})
_STANDING = (ChangeState.CONFIRMED, ChangeState.BUG)


def _table(row: type[Base]) -> Table:
    assert isinstance(row.__table__, Table)
    return row.__table__


_RUN, _TRIAL, _BLOCK, _NIGHT = map(_table, (RunRow, TrialRow, BlockRow, NightRow))
_CHANGE, _VALUE, _RANKING = map(_table, (ChangePointRow, NightValueRow, RankingRow))
_LEASE = _table(RunLeaseRow)


@dataclass(frozen=True, slots=True)
class Merged:
    """What was copied. renamed: new names of runs by those before.

    runs, nights: their number. changes: of level, that were there and of which the other store
    says what became of them since. unread: tables of a damaged store that could not be read to
    their end. left_out: rows of one that point to what is not there.
    """

    runs: int
    nights: int
    changes: int = 0
    renamed: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    left_out: int = 0


def merge(source: Session, target: Session, only: Collection[str] | None = None) -> Merged:
    """Copy what the target does not have, in its transaction.

    only: names of the runs to copy, without nights; None for all, with nights. A run that the
    target has and that ended meanwhile takes the place of what the target has of it.
    """
    _Rankings.copy_parents(source, target)
    rankings = _Rankings(source, target)
    renamed: dict[str, str] = {}
    runs = 0
    for row in _rows(source, _RUN, _RUN.c.name.in_(only) if only is not None else None):
        name = _free_run(target, row)
        if name is None:
            continue
        runs += 1
        if name != row["name"]:
            renamed[row["name"]] = name
        _copy_run(source, target, row, name, rankings)
    if only is not None:
        return Merged(runs, nights=0, renamed=renamed)
    nights, changes = _copy_nights(source, target, renamed)
    return Merged(runs, nights, changes, renamed)


def _free_run(target: Session, row: Row) -> str | None:
    """The name under which a run is copied; None where the target has it."""
    for name in (row["name"], f"{row['name']}-{row['machine_id'][:_SUFFIX]}"):
        found = _one(target, _RUN, _RUN.c.name == name)
        if found is None:
            return str(name)
        alike = ("model_sha256", "machine_id", "seed", "created_at")
        if all(found[key] == row[key] for key in alike):
            is_held = _one(target, _LEASE, _LEASE.c.run == name) is not None
            if is_held or found["status"] not in _OPEN or row["status"] in _OPEN:
                return None
            remove_run(target, name)  # it went on in the other store
            return str(name)
    return None


def _copy_run(source: Session, target: Session, row: Row, name: str, rankings: _Rankings) -> None:
    """Copy a run with all that hangs on it, but for the lease of who works on it."""
    own = row["name"]
    trials = {} if name == own else _new_trials(source, own, name)
    summary = _with_trials(row["summary"], trials)
    _insert(target, _RUN, [row | {"name": name, "summary": summary}])
    ids: dict[Table, dict[Any, Any]] = {_RUN: {own: name}, _TRIAL: trials, _BLOCK: {}}
    for table in Base.metadata.sorted_tables:
        conditions = list(hanging_on(table, own))
        if not conditions or table is _LEASE:
            continue
        rows = [_pointing(table, each, ids) for each in _rows(source, table, or_(*conditions))]
        if table is _TRIAL:
            rows = [each | {"id": trials.get(each["id"], each["id"])} for each in rows]
        if table is _BLOCK:
            ids[_BLOCK] = _insert_blocks(target, rows)
        else:
            _insert(target, table, map(rankings.moved, rows))


def _new_trials(source: Session, run: str, name: str) -> dict[str, str]:
    """The ids that trials of a run have under its new name, by those before."""
    ids = source.scalars(select(_TRIAL.c.id).where(_TRIAL.c.run == run))
    return {each: content_id(each, name) for each in ids}


def _with_trials(summary: str | None, trials: Mapping[str, str]) -> str | None:
    """What a run remembers, with the new ids of its trials: the view ``latest`` goes by them."""
    if not summary or not trials:
        return summary
    remembered = json.loads(summary)
    for device in remembered.get("devices", {}).values():
        device["trial"] = trials.get(device.get("trial"), "")
    return json.dumps(remembered)


def _pointing(table: Table, row: Row, ids: Mapping[Table, Mapping[Any, Any]]) -> Row:
    """A row whose keys point to what was copied."""
    found = dict(row)
    for key in table.foreign_keys:
        of = ids.get(key.column.table, {})
        value = found[key.parent.key]
        found[key.parent.key] = of.get(value, value)
    return found


def _insert_blocks(target: Session, rows: Sequence[Row]) -> dict[int, int]:
    """Insert blocks, which a database numbers by itself; their numbers by those before."""
    if not rows:
        return {}
    fresh = [{key: value for key, value in row.items() if key != "id"} for row in rows]
    statement = insert(_BLOCK).returning(_BLOCK.c.id, sort_by_parameter_order=True)
    made = target.execute(statement, fresh).scalars().all()
    return {row["id"]: number for row, number in zip(rows, made, strict=True)}


def _copy_nights(source: Session, target: Session, runs: Mapping[str, str]) -> tuple[int, int]:
    """Copy nights with their values and changes; how many of either say anything new."""
    names: dict[str, str] = {}
    new = 0
    for row in _rows(source, _NIGHT):
        name, known = _night_called(target, row)
        names[row["name"]] = name
        ended = known is not None and _has_ended(row) and not _has_ended(known)
        if ended:  # it was under way when it was copied, and not judged
            target.execute(delete(_VALUE).where(_VALUE.c.night == name))
            target.execute(update(_NIGHT).where(_NIGHT.c.name == name).values(_said(row)))
        _insert(target, _NIGHT, [row | {"name": name}])
        new += ended or known is None
    values = (
        row
        | {"night": names.get(row["night"], row["night"]), "run": runs.get(row["run"], row["run"])}
        for row in _rows(source, _VALUE)
    )
    _insert(target, _VALUE, values)
    later = sum(_copy_change(target, _renamed_change(c, names)) for c in _rows(source, _CHANGE))
    return new, later


def _night_called(target: Session, row: Row) -> tuple[str, Row | None]:
    """The name of a night in the target, and what is there of it."""
    name = str(row["name"])
    found = _one(target, _NIGHT, _NIGHT.c.name == name)
    if found is not None and found["machine_id"] != row["machine_id"]:
        name = f"{name}-{row['machine_id'][:_SUFFIX]}"
        found = _one(target, _NIGHT, _NIGHT.c.name == name)
    return name, found


def _has_ended(night: Row) -> bool:
    return night["finished_at"] is not None


def _said(row: Row) -> Row:
    """What a night said when it ended."""
    return {key: row[key] for key in ("finished_at", "details")}


def _copy_change(target: Session, row: Row) -> bool:
    """Copy a change of level; whether the target had it, and less was known of it."""
    known = _one(target, _CHANGE, _CHANGE.c.id == row["id"])
    _insert(target, _CHANGE, [row])
    if known is None or not _is_later(row, known):
        return False
    told = {key: row[key] for key in ("state", "note", "triaged_at")}
    target.execute(update(_CHANGE).where(_CHANGE.c.id == row["id"]).values(told))
    return True


def _is_later(row: Row, known: Row) -> bool:
    """Whether a change was judged again since: by people, or it went away by itself."""
    at, before = row["triaged_at"], known["triaged_at"]
    if at != before:
        return at is not None and (before is None or at > before)
    return row["state"] is ChangeState.AWAY and known["state"] in _STANDING


def _renamed_change(row: Row, names: Mapping[str, str]) -> Row:
    first, found = (names.get(row[key], row[key]) for key in ("first_night", "found_night"))
    if (first, found) == (row["first_night"], row["found_night"]):
        return row
    return row | {"id": content_id(row["id"], first), "first_night": first, "found_night": found}


class _Rankings:
    """Numbers of rankings, which each database gives for itself."""

    def __init__(self, source: Session, target: Session) -> None:
        rows = list(_rows(source, _RANKING))
        bare = ({key: row[key] for key in _RANKED} for row in rows)
        _insert(target, _RANKING, bare)
        known = {tuple(r[key] for key in _RANKED): r["id"] for r in _rows(target, _RANKING)}
        self._ids = {row["id"]: known[tuple(row[key] for key in _RANKED)] for row in rows}

    def moved(self, row: Row) -> Row:
        """A row with the target's number in place of the source's, where it has one."""
        if row.get("ranking_id") is None:
            return row
        return row | {"ranking_id": self._ids.get(row["ranking_id"])}

    @staticmethod
    def copy_parents(source: Session, target: Session) -> None:
        """Copy what runs and nights point to: models, machines, candidates, series, ..."""
        for table in Base.metadata.sorted_tables:
            is_of_run = next(hanging_on(table, ""), None) is not None
            if not is_of_run and table not in (_RUN, _NIGHT, _RANKING, _VALUE, _CHANGE):
                _insert(target, table, _rows(source, table))


def _rows(
    session: Session, table: Table, condition: ColumnElement[bool] | None = None
) -> Iterator[Row]:
    query = select(table) if condition is None else select(table).where(condition)
    try:
        for row in session.execute(query.execution_options(yield_per=_BATCH)).mappings():
            yield dict(row)
    except (DBAPIError, LookupError, ValueError) as error:
        unread: set[str] | None = session.info.get(_UNREAD)
        if unread is None or (isinstance(error, DBAPIError) and not is_damage(error)):
            raise
        unread.add(table.name)


@contextmanager
def saving(source: Session) -> Iterator[set[str]]:
    """What cannot be read of a damaged store is no error meanwhile; the tables it is in."""
    source.info[_UNREAD] = unread = set[str]()
    yield unread
    del source.info[_UNREAD]


def _one(session: Session, table: Table, condition: ColumnElement[bool]) -> Row | None:
    return next(_rows(session, table, condition), None)


def _insert(target: Session, table: Table, rows: Iterable[Row]) -> None:
    """Insert rows, but for those whose key the target has."""
    statement: Insert = insert_into(target, table).on_conflict_do_nothing()
    for some in _batches(rows):
        target.execute(statement, some)


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    some: list[Row] = []
    for row in rows:
        some.append(row)
        if len(some) == _BATCH:
            yield some
            some = []
    if some:
        yield some
