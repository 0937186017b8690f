"""Connections to a store's database, and its errors as sentences."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from db.connection.address import Address
from farm.errors import StoreDamaged, StoreError, StoreFull

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

LOCK_TIMEOUT = 10.0
"""Seconds to wait for another writer, or for a server to answer."""

_PLACE = "farm_address"  # of the store that failed: two are in use where one is copied
_CONNECT_SECONDS_MIN = 2  # what libpq raises smaller values to


def open_engine(address: Address, *, timeout: float, read_only: bool) -> Engine:
    """An engine for the database; nothing is connected yet.

    timeout: seconds to wait for another writer, or for a server to answer.

    Raises StoreError: the driver is not installed.
    """
    open_it = _sqlite_engine if address.is_sqlite else _server_engine
    engine = open_it(address, timeout, read_only=read_only)

    def note_place(context: ExceptionContext) -> None:
        vars(context.original_exception)[_PLACE] = address

    event.listen(engine, "handle_error", note_place)
    return engine


def for_writing(engine: Engine) -> Engine:
    """The same engine and connections, whose transactions take SQLite's write lock at once."""
    return engine.execution_options(farm_begin="BEGIN IMMEDIATE")


def insert_into(
    session: Session, table: type[DeclarativeBase] | Table
) -> sqlite.Insert | postgresql.Insert:
    """An insert that can say what becomes of a row that is there, which is no common SQL."""
    if session.get_bind().dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  (loads the drivers of servers)

    return postgresql.insert(table)


def undo_half_done(address: Address, timeout: float) -> None:
    """Roll back what a writer left that was killed while it made a file a store.

    Whoever opens a file for reading alone cannot do so, and cannot read it. From then on writers
    use another log, which readers follow by themselves.

    Raises StoreError: the file cannot be written.
    """
    if address.path is None or not address.path.with_name(f"{address.path.name}-journal").exists():
        return
    engine = open_engine(address, timeout=timeout, read_only=False)
    try:
        with translated(address), engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    finally:
        engine.dispose()


@contextmanager
def closed_on_error(engine: Engine) -> Iterator[None]:
    """Close the engine's connections where the block fails, so that no file is left behind."""
    try:
        yield
    except StoreError:
        engine.dispose()
        raise


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """Turn what the database says into a StoreError that names the store and a remedy."""
    try:
        yield
    except IntegrityError as error:
        raise StoreError(
            f"The store at {_failed(error, address)} refused a record that contradicts the "
            f"others: {first_line(error.orig)}."
        ) from error
    except DBAPIError as error:
        raise _failure(_failed(error, address), error.orig) from error
    except sqlite3.Error as error:
        raise _failure(address, error) from error
    except LookupError as error:  # of this very class: a word that a column's type does not know
        if type(error) is not LookupError:
            raise
        raise StoreError(
            f"The store at {address} holds what no farm writes: {first_line(error)}."
        ) from error


def is_damage(error: DBAPIError) -> bool:
    """Whether a statement failed because an SQLite file is damaged."""
    return isinstance(error.orig, sqlite3.Error) and _family(error.orig) == sqlite3.SQLITE_CORRUPT


def first_line(cause: BaseException | None) -> str:
    """What a driver said, without its second line (SQL, hints) and without the full stop."""
    return (str(cause).strip() or type(cause).__name__).splitlines()[0].rstrip(".")


def _sqlite_engine(address: Address, timeout: float, *, read_only: bool) -> Engine:
    def connect() -> sqlite3.Connection:
        uri = address.sqlite_uri(read_only=read_only)
        # No isolation level: the driver would begin transactions by its own rules.
        connection = sqlite3.connect(
            uri, timeout=timeout, isolation_level=None, check_same_thread=False, uri=True
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    # What is read without locks is so for one transaction only: a writer may come at any time.
    lockless = read_only and address.is_read_without_locks
    pool = NullPool if lockless else QueuePool if address.path else StaticPool
    engine = create_engine("sqlite://", creator=connect, poolclass=pool)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("farm_begin", "BEGIN"))


def _server_engine(address: Address, timeout: float, *, read_only: bool) -> Engine:
    arguments: dict[str, object] = {
        "connect_timeout": max(_CONNECT_SECONDS_MIN, round(timeout)),
    }
    if read_only:
        # Prepared statements hold one statement each, so none can follow a COMMIT.
        arguments |= {"options": "-c default_transaction_read_only=on", "prepare_threshold": 0}
    try:
        return create_engine(address.url, connect_args=arguments)
    except ModuleNotFoundError as error:
        raise StoreError(
            f"The store at {address} needs the Python package {error.name}, which is not "
            "installed. Install it with: pip install 'psycopg[binary]'."
        ) from None


def _failed(error: DBAPIError, address: Address) -> Address:
    """The store whose statement failed; ``address`` where none was executed."""
    found = vars(error.orig).get(_PLACE, address)
    assert isinstance(found, Address)
    return found


def _failure(address: Address, cause: BaseException | None) -> StoreError:
    if isinstance(cause, sqlite3.Error):
        kind = _SQLITE_KINDS.get(_family(cause), StoreError)
    else:
        full = getattr(cause, "sqlstate", None) == _SERVER_FULL
        kind = StoreFull if full else StoreError
    return kind(_explain(address, cause))


def _family(cause: BaseException | None) -> int:
    """Of SQLite's error codes, whose extended ones carry it in their low byte.

    Where the lock file beside the store does not fit, SQLite only says that it failed.
    """
    code = int(getattr(cause, "sqlite_errorcode", sqlite3.SQLITE_ERROR))
    return sqlite3.SQLITE_FULL if code == sqlite3.SQLITE_IOERR_SHMSIZE else code & 0xFF


def _explain(address: Address, cause: BaseException | None) -> str:
    if isinstance(cause, sqlite3.Error):
        family = _family(cause)
        template = _SQLITE_SENTENCES.get(family, _OTHER)
    else:
        state = getattr(cause, "sqlstate", None)
        template = _UNREACHABLE if state is None else _SERVER_SENTENCES.get(state, _OTHER)
    return template.format(place=address, cause=first_line(cause))


_OTHER = "The store at {place} cannot be used: {cause}."
_LOCKED = (
    "The store at {place} is locked by another program that writes to it. "
    "Wait until that has ended, or give another --store."
)
_READ_ONLY = (
    "The store at {place} is read-only. "
    "Make the file and its folder writable, or give another --store."
)
_DISK_FULL = (
    "The store at {place} cannot grow, because its disk is full. Free some space and try again; "
    "what was committed before is safe."
)
_UNREACHABLE = (
    "The store at {place} cannot be reached: {cause}. "
    "Check that the server runs, and the address, user and password."
)
_SQLITE_SENTENCES = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_FULL: _DISK_FULL,
    sqlite3.SQLITE_NOTADB: (
        "{place} is not a store: it is not an SQLite database. Give another --store."
    ),
    sqlite3.SQLITE_CORRUPT: (
        "The store at {place} is damaged: {cause}. Put a copy of it in its place, or give "
        "another --store."
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "The store at {place} cannot be opened. Check that this is a file, not a folder, and "
        "that you may write to its folder, or give another --store."
    ),
}
_SQLITE_KINDS = {sqlite3.SQLITE_CORRUPT: StoreDamaged, sqlite3.SQLITE_FULL: StoreFull}
_SERVER_FULL = "53100"  # disk_full
_SERVER_SENTENCES = {
    "25006": _READ_ONLY,  # read_only_sql_transaction
    _SERVER_FULL: _DISK_FULL,
    "55P03": _LOCKED,  # lock_not_available
    "40P01": _LOCKED,  # deadlock_detected
}
