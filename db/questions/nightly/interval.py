"""The interval of a night's ratio: that by which the night was judged, kept in its details."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, cast, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from db.schema import NightValueRow


def ends_of(session: Session) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Lower and upper end of a ``night_value``'s ratio, for ``end``. session: of the database."""
    details = NightValueRow.details
    if session.get_bind().dialect.name == "postgresql":
        ratio = cast(details, JSONB)["ratio"]
        return ratio["low"].astext, ratio["high"].astext
    return func.json_extract(details, "$.ratio.low"), func.json_extract(details, "$.ratio.high")


def end(found: str | float | None, without: float) -> float:
    """An end as a number; JSON has no infinity, and has its name. without: where none was kept."""
    return without if found is None else float(found)
