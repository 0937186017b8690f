"""Leases on runs, inside a transaction of the store: at most one process works on a run.

A process that lost its lease writes nothing more, because every transaction asks for it first.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.reader import columns
from db.records import RunLease, RunStatus
from db.schema import RunLeaseRow, RunRow
from farm.errors import LeaseLost


def lease_of(session: Session, run: str) -> RunLease | None:
    """The lease on a run, whether its holder still lives or not."""
    found = session.execute(columns(RunLeaseRow, RunLease).where(RunLeaseRow.run == run)).first()
    return None if found is None else RunLease(*found)


def lock_run(session: Session, run: str) -> RunStatus | None:
    """Keep others from taking the run's lease until the transaction ends; the run's status.

    None: there is no such run. SQLite's write transactions exclude each other anyway.
    """
    query = select(RunRow.status).where(RunRow.name == run).with_for_update(key_share=True)
    return session.scalar(query)


def require_lease(session: Session, lease: RunLease) -> None:
    """Keep the lease from being taken until the transaction ends.

    Raises LeaseLost: it was taken before.
    """
    query = columns(RunLeaseRow, RunLease).where(RunLeaseRow.run == lease.run)
    found = session.execute(query.with_for_update(read=True)).first()
    if found is not None and found.token == lease.token:
        return
    by = "" if found is None else f" by process {found.pid} on host {found.host}"
    raise LeaseLost(
        f"Run {lease.run} was taken over{by}, because process {lease.pid} on host {lease.host} "
        "gave no sign of life for too long; this process ends here."
    )
