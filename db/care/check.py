"""Whether a store is whole: the file, keys that point nowhere, and what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Select, exists, func, select, text
from sqlalchemy.orm import Session

from db.care.lost import lost_keys
from db.connection.engine import first_line
from db.reader import StoreReader
from db.records import RunStatus
from db.schema import CandidateRow, MeasurementRow, RunLeaseRow, RunRow, TrialRow
from farm.errors import StoreDamaged
from farm.measurement import Outcome

_MOST = 20  # damages that are named


@dataclass(frozen=True, slots=True)
class Finding:
    """One kind of thing that was found. damage: it must not be; otherwise it is to be known."""

    what: str
    count: int
    damage: bool


def check_at(url: str | None) -> tuple[Finding, ...]:
    """What ``check`` finds in the store at a place, also where its file cannot be opened.

    Raises StoreError: there is no store, or it cannot be read for another reason.
    """
    try:
        with StoreReader.open(url) as store:
            return check(store)
    except StoreDamaged as error:
        cause = getattr(error.__cause__, "orig", error.__cause__)
        return (Finding(f"the file: {first_line(cause)}", 1, damage=True),)


def check(store: StoreReader) -> tuple[Finding, ...]:
    """Everything that was found, damages first; nothing else is wrong.

    Of a file that is damaged only that is told: what stands in it cannot be believed.
    """
    with store.reading() as session:
        found = list(_of_file(session)) or [*_damages(session), *_to_know(session)]
    return tuple(each for each in found if each.count)


def _of_file(session: Session) -> Iterator[Finding]:
    if session.get_bind().dialect.name == "sqlite":
        lines = session.scalars(text(f"PRAGMA integrity_check({_MOST})"))
        for line in (line for found in lines for line in str(found).splitlines()):
            if line != "ok":
                yield Finding(f"the file: {line}", 1, damage=True)


def _damages(session: Session) -> Iterator[Finding]:
    for key, count in lost_keys(session):
        table, column = key.parent.table.name, key.parent.name
        yield Finding(f"rows of {table} whose {column} is not there", count, damage=True)
    ranked = select(func.count()).where(
        MeasurementRow.ranking_id.is_not(None),
        exists().where(TrialRow.id == MeasurementRow.trial_id, TrialRow.outcome != Outcome.OK),
    )
    yield Finding("values that are ranked though their trial is not ok", _count(session, ranked),
                  damage=True)  # fmt: skip


def _to_know(session: Session) -> Iterator[Finding]:
    held = exists().where(RunLeaseRow.run == RunRow.name)
    stopped = select(func.count()).where(RunRow.status == RunStatus.RUNNING, ~held)
    yield Finding(
        "runs that were killed; farm tune --resume goes on with them",
        _count(session, stopped.select_from(RunRow)),
        damage=False,
    )
    unused = select(func.count()).where(~exists().where(TrialRow.candidate_id == CandidateRow.id))
    yield Finding(
        "candidates of runs that are gone",
        _count(session, unused.select_from(CandidateRow)),
        damage=False,
    )


def _count(session: Session, query: Select[int]) -> int:
    return session.scalar(query) or 0
