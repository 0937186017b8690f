"""A store that is written to: how it is opened, its transactions, and the lease they ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Self

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from db.connection.address import Address, parse_address
from db.connection.engine import (
    LOCK_TIMEOUT,
    closed_on_error,
    for_writing,
    insert_into,
    open_engine,
    translated,
)
from db.connection.upgrade import ensure_schema
from db.leases import lease_of, lock_run, require_lease
from db.reader import StoreReader, store_time
from db.records import RunLease, RunStatus, utc_now
from db.schema import Base, RunLeaseRow, RunRow
from farm.errors import NotInStore, StoreError


class StoreWriter(StoreReader):
    """What every change of a store goes through: one transaction, and the lease on a run."""

    _lease: RunLease | None = None

    @classmethod
    def open(cls, url: str | None = None, *, timeout: float = LOCK_TIMEOUT) -> Self:
        """Open a store, creating it and its folder where there is none, and upgrade its schema.

        url: a path, a SQLAlchemy URL, or None for the default place (``db.connection.address``).
        timeout: seconds to wait for another writer, or for a server to answer.

        Raises StoreError: not a store, newer than the program, locked, read-only, disk full,
        unreachable. Raises OptionError: the URL cannot be understood.
        """
        address = parse_address(url)
        _make_folder(address)
        engine = open_engine(address, timeout=timeout, read_only=False)
        with closed_on_error(engine):
            ensure_schema(engine, address)
        return cls(engine, address)

    def take_lease(
        self, lease: RunLease, is_free: Callable[[RunLease, datetime], bool]
    ) -> RunLease:
        """Take the lease on a run, and return it; or the one of who holds it, which stays.

        From then on, until ``release_lease``, every method raises LeaseLost once another process
        has taken it. A store holds one lease at a time.

        is_free: whether the holder of a lease is gone, by the store's time. It is asked inside
        the transaction, so that of two who take a lease at the same moment one gets it.

        Raises NotInStore.
        """
        with self.writing() as session:
            if lock_run(session, lease.run) is None:
                raise NotInStore(self._missing("run", lease.run))
            held, now = lease_of(session, lease.run), store_time(session)
            if held is not None and not is_free(held, now):
                return held
            taken = replace(lease, taken_at=now, renewed_at=now)
            session.execute(
                insert_into(session, RunLeaseRow)
                .values(fields_of(taken))
                .on_conflict_do_update(index_elements=[RunLeaseRow.run], set_=fields_of(taken))
            )
        self._lease = taken
        return taken

    def renew_lease(self) -> None:
        """Give a sign of life; none is needed once the lease was given back. Raises LeaseLost."""
        lease = self._lease  # another thread may give it back at any moment
        if lease is None:
            return
        mine = RunLeaseRow.token == lease.token
        with self.writing() as session:
            session.execute(update(RunLeaseRow).where(mine).values(renewed_at=store_time(session)))

    def release_lease(self, status: RunStatus | None = None) -> None:
        """Give the lease back, and note how the run ended, both or neither. Raises LeaseLost."""
        lease = self._lease
        assert lease is not None
        ended = {"status": status, "finished_at": utc_now()}
        with self.writing() as session:
            if status is not None:
                session.execute(update(RunRow).where(RunRow.name == lease.run).values(ended))
            session.execute(delete(RunLeaseRow).where(RunLeaseRow.token == lease.token))
        self._lease = None

    def compact(self) -> None:
        """Give the room of what was deleted back to the disk; a server does that by itself.

        Raises StoreError: the file is written anew for that, and has no room, or another writes.
        """
        if self._address.path is None:
            return
        try:
            with translated(self._address), closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute("VACUUM")
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except StoreError as error:
            raise type(error)(
                "All of it is removed, and what is stored next uses its room; but the file is as "
                f"large as before: {error}"
            ) from None

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """One write transaction under the lease, for other modules of ``db``."""
        with (
            translated(self._address),
            Session(for_writing(self._engine)) as session,
            session.begin(),
        ):
            if self._lease is not None:
                require_lease(session, self._lease)
            yield session

    def _put(self, row: type[Base], record: object) -> None:
        values = fields_of(record)
        keys = [column.name for column in row.__table__.primary_key]
        named = {row.__mapper__.attrs[name].columns[0].name: it for name, it in values.items()}
        with self.writing() as session:
            session.execute(
                insert_into(session, row)
                .values(values)
                .on_conflict_do_update(index_elements=keys, set_=named)
            )


def _make_folder(address: Address) -> None:
    if address.path is None:
        return
    try:
        address.path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"The folder {address.path.parent} of the store cannot be made: {error.strerror}. "
            "Give another --store."
        ) from None


def fields_of(record: object) -> dict[str, Any]:
    """The fields of a record by name, as a statement takes them."""
    return {field.name: getattr(record, field.name) for field in fields(record)}  # type: ignore[arg-type]
