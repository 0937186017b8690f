"""Why trials failed: by model, device, outcome and reason."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from db.questions.views import EVERYTHING, Subject, asked, found, view_of
from db.reader import StoreReader

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*(?:e[-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Failure:
    """A row of the view ``failures``: trials that ended alike.

    message: of the newest of them. trial: one of them.
    """

    model: str
    model_sha256: str
    device: str
    outcome: str
    message: str
    trials: int
    newest: datetime
    trial: str


def failures(
    store: StoreReader, subject: Subject = EVERYTHING, limit: int | None = None
) -> tuple[Failure, ...]:
    """Reasons, the most frequent first. Messages that differ in numbers alone are one reason."""
    view = view_of("failures", Failure)
    with store.reading() as session:
        rows = found(session, Failure, asked(view, subject, (view.c.newest.desc(),)), None)
    together = sorted(_together(rows), key=lambda each: -each.trials)
    return tuple(together[:limit])


def _together(rows: Iterable[Failure]) -> Iterable[Failure]:
    """Rows of one reason as one. rows: the newest first."""
    reasons: dict[tuple[str, ...], Failure] = {}
    for row in rows:
        reason = _NUMBER.sub("#", row.message)
        key = (row.model_sha256, row.device, row.outcome, reason)
        first = reasons.setdefault(key, replace(row, trials=0))
        reasons[key] = replace(first, trials=first.trials + row.trials)
    return reasons.values()
