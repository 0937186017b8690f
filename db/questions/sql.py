"""Any SELECT of the user, on a connection that cannot write and that can be interrupted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from sqlalchemy import Connection, CursorResult, text
from sqlalchemy.exc import DBAPIError

from db.connection.address import Address, parse_address
from db.connection.engine import LOCK_TIMEOUT, first_line, translated
from db.connection.side_thread import SideThread
from db.reader import open_existing
from farm.errors import OptionError

# What a query may do in SQLite, and the pragmas that describe tables.
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_TRANSACTION,
}
_PRAGMAS = {"table_info", "table_xinfo", "table_list", "index_list", "foreign_key_list"}
_BATCH = 64  # rows; a cell may have many megabytes

Row = tuple[object, ...]
Table = tuple[tuple[str, ...], tuple[Row, ...]]
"""Column names and rows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a statement returns.

    columns: names as the database gives them, which may be there twice. rows: read from the
    database as they are asked for.
    """

    columns: tuple[str, ...]
    rows: Iterator[Row]


def query(url: str | None, sql: str, *, timeout: float = LOCK_TIMEOUT) -> Table:
    """All column names and rows of a statement; :func:`asking` for as many as fit nowhere."""
    with asking(url, sql, timeout=timeout) as answer:
        return answer.columns, tuple(answer.rows)


@contextmanager
def asking(url: str | None, sql: str, *, timeout: float = LOCK_TIMEOUT) -> Iterator[Answer]:
    """Run one statement on a connection that cannot write.

    Ctrl-C ends it within a second, whatever the database is doing.

    url: a path, a SQLAlchemy URL, or None for the default place.

    Raises StoreError: there is no store, or it cannot be read. Raises OptionError: the database
    refuses the statement, because it is wrong or because it would write. While rows are read,
    both may come, too.
    """
    question = _Question(parse_address(url), sql, timeout)
    thread, steps = SideThread(), question.steps()
    try:
        columns = thread.call(partial(next, steps), question.interrupt)
        batches = iter(lambda: thread.call(partial(next, steps, ()), question.interrupt), ())
        yield Answer(tuple(map(str, columns)), chain.from_iterable(batches))
    finally:
        thread.end(steps.close)


@dataclass(slots=True)
class _Question:
    """A statement on its way."""

    address: Address
    sql: str
    timeout: float
    _end: Callable[[], object] | None = None

    def steps(self) -> Generator[tuple[Any, ...], None, None]:
        """The column names, then the rows in batches; the connection is closed at the end."""
        engine = open_existing(self.address, self.timeout)
        try:
            with translated(self.address), engine.connect() as connection:
                _forbid_writing(connection)
                self._end = _interruption(connection)
                with _refusals():
                    result = _executed(connection, self.sql)
                    yield tuple(result.keys())
                    while batch := result.fetchmany(_BATCH):
                        yield tuple(tuple(row) for row in batch)
        finally:
            engine.dispose()

    def interrupt(self) -> None:
        """Make the database give it up; may be called from any thread."""
        if self._end is not None:
            self._end()


def _interruption(connection: Connection) -> Callable[[], object]:
    driver = connection.connection.driver_connection
    if isinstance(driver, sqlite3.Connection):
        return driver.interrupt
    assert driver is not None
    cancel: Callable[[], object] = driver.cancel
    return cancel


def _forbid_writing(connection: Connection) -> None:
    """Close the ways to write that a read-only connection leaves open."""
    if connection.dialect.name != "sqlite":
        # A transaction may be made writable until its first query.
        connection.execute(text("SELECT 1"))
        return
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute("PRAGMA query_only = ON")
    # ATTACH and VACUUM INTO write to other files.
    driver.set_authorizer(_authorize)


def _authorize(action: int, name: str | None, *_: str | None) -> int:
    describes = action == sqlite3.SQLITE_PRAGMA and (name or "").lower() in _PRAGMAS
    return sqlite3.SQLITE_OK if describes or action in _READING else sqlite3.SQLITE_DENY


def _executed(connection: Connection, sql: str) -> CursorResult[tuple[object, ...]]:
    # Without parameters a driver leaves percent signs alone. A streamed result is a cursor
    # in PostgreSQL, which takes a SELECT only: COPY writes files in any transaction.
    plain = connection.execution_options(no_parameters=True, stream_results=True)
    result = plain.exec_driver_sql(sql)
    if not result.returns_rows:
        raise OptionError("The statement returns no rows. Write one SELECT.")
    return result


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the database says against a statement into an OptionError."""
    try:
        yield
    except (DBAPIError, sqlite3.Warning) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise OptionError(
            f"The database refused the statement: {first_line(cause)}. "
            "Write one SELECT; docs/reference/store.md lists the tables and columns, and a query "
            "cannot change the store."
        ) from error
