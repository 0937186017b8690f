"""Keys that point nowhere: how many rows have one, and how a copy does without them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, ForeignKey, Table, and_, delete, exists, func, select, update
from sqlalchemy.orm import Session

from db.schema import Base


def lost_keys(session: Session) -> Iterator[tuple[ForeignKey, int]]:
    """Each key of each table, with the number of rows in which it points nowhere."""
    for table, key in _keys():
        rows = session.scalar(select(func.count()).select_from(table).where(_is_lost(key)))
        yield key, rows or 0


def leave_out_lost(session: Session) -> int:
    """Delete rows with a key that points nowhere; their number. A key that may be absent goes.

    What hangs on such a row is deleted, too: tables come after those that they point to.
    """
    rows = 0
    for table, key in _keys():
        if key.parent.nullable:
            session.execute(update(table).where(_is_lost(key)).values({key.parent: None}))
            continue
        rows += session.scalar(select(func.count()).select_from(table).where(_is_lost(key))) or 0
        session.execute(delete(table).where(_is_lost(key)))
    return rows


def _keys() -> Iterator[tuple[Table, ForeignKey]]:
    for table in Base.metadata.sorted_tables:
        for key in sorted(table.foreign_keys, key=lambda key: key.parent.name):
            yield table, key


def _is_lost(key: ForeignKey) -> ColumnElement[bool]:
    return and_(key.parent.is_not(None), ~exists().where(key.column == key.parent))
