"""Profiles of trials: rows of a table, in the order of the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, insert
from sqlalchemy.orm import Session

from db.schema import OperatorProfileRow
from farm.profile.kernels import OperatorProfile


def put_profile(session: Session, trial_id: str, profile: Sequence[OperatorProfile]) -> None:
    """Add the kernels of a trial's candidate in place of those that it has."""
    row = OperatorProfileRow
    session.execute(delete(row).where(row.trial_id == trial_id))
    rows = [
        {**asdict(kernel), "trial_id": trial_id, "position": at}
        for at, kernel in enumerate(profile)
    ]
    if rows:
        session.execute(insert(row), rows)
