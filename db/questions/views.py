"""The store's views as questions ask them: rows become records whose fields are the columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, TypeVar

from sqlalchemy import Column, ColumnElement, FromClause, MetaData, Select, Table, Text, select
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from db.column_types import UtcDateTime
from db.reader import models_called

_TIMES = frozenset({"created_at", "finished_at", "found_at", "measured_at", "newest"})
_Record = TypeVar("_Record")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a question is about; None and no names leave a thing open.

    model: its name, its SHA-256, or the beginning of that. devices: any of these.
    """

    model: str | None = None
    devices: tuple[str, ...] = ()

    def conditions(self, view: FromClause) -> Iterator[ColumnElement[bool]]:
        """What a row must fulfil. view: has the columns ``model_sha256`` and ``device``."""
        if self.model is not None:
            yield view.c.model_sha256.in_(models_called(self.model))
        if self.devices:
            yield view.c.device.in_(self.devices)


EVERYTHING = Subject()


@lru_cache
def view_of(name: str, record: type[Any]) -> Table:
    """A view of the store with the columns that a record has fields for."""
    names = [field.name for field in fields(record)]
    return Table(name, MetaData(), *(Column(column, _type(column)) for column in names))


def found(
    session: Session, record: type[_Record], query: Select[Any], limit: int | None
) -> tuple[_Record, ...]:
    """The rows of a query on the view of a record, as records."""
    return tuple(record(*row) for row in session.execute(query.limit(limit)))


def asked(view: Table, subject: Subject, order: Sequence[ColumnElement[Any]]) -> Select[Any]:
    """All columns of a view's rows that are about a subject."""
    return select(view).where(*subject.conditions(view)).order_by(*order)


def _type(column: str) -> Any:  # noqa: ANN401 (of whatever type the database says)
    if column in _TIMES:
        return UtcDateTime()
    return Text() if column in ("model", "device") else NullType()
