"""Questions to a store: the rows of ``farm results``, and any SELECT of the user."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence

from sqlalchemy import ColumnElement, Connection, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from db.address import parse_address
from db.engine import LOCK_TIMEOUT, first_line, translated
from db.reader import StoreReader, open_existing, trial_conditions
from db.records import Result
from db.schema import CandidateRow, MeasurementRow, ModelRow, RunRow, TrialRow
from farm.errors import OptionError
from farm.measurement import Measurement, Method, Metric, Outcome

# Where a trial has one metric by several methods, a table shows the first of these.
_PREFERENCE = (Method.MEASURED, Method.EMULATED, Method.MODELLED, Method.PLANNED)
_SHOWN = (Metric.LATENCY, Metric.PEAK_MEMORY, Metric.ENERGY, Metric.ACCURACY)

# What a query may do in SQLite, and the pragmas that describe tables.
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_TRANSACTION,
}
_PRAGMAS = {"table_info", "table_xinfo", "table_list", "index_list", "foreign_key_list"}

Table = tuple[tuple[str, ...], tuple[tuple[object, ...], ...]]
"""Column names and rows."""


def results(
    store: StoreReader,
    *,
    model: str | None = None,
    devices: Sequence[str] = (),
    run: str | None = None,
    outcome: Outcome | None = None,
    limit: int | None = None,
) -> tuple[Result, ...]:
    """One row per trial, newest first.

    model: its name, its SHA-256, or the beginning of that. devices: any of these; none for all.
    """
    conditions = trial_conditions(run=run, device=None, model=model, outcome=outcome)
    if devices:
        conditions.append(TrialRow.device.in_(devices))
    trials = (
        select(TrialRow, ModelRow.name, CandidateRow.label)
        .join(RunRow, RunRow.name == TrialRow.run)
        .join(ModelRow, ModelRow.sha256 == RunRow.model_sha256)
        .join(CandidateRow, CandidateRow.id == TrialRow.candidate_id)
        .where(*conditions)
        .order_by(TrialRow.created_at.desc(), TrialRow.id)
        .limit(limit)
    )
    with store.reading() as session:
        found = session.execute(trials).all()
        shown = _preferred_measurements(session, conditions)
        return tuple(
            _result(trial, name, label, shown.get(trial.id, {})) for trial, name, label in found
        )


def query(url: str | None, sql: str, *, timeout: float = LOCK_TIMEOUT) -> Table:
    """Run one statement on a connection that cannot write: column names and rows.

    url: a path, a SQLAlchemy URL, or None for the default place.

    Raises StoreError: there is no store, or it cannot be read. Raises OptionError: the database
    refuses the statement, because it is wrong or because it would write.
    """
    address = parse_address(url)
    engine = open_existing(address, timeout)
    try:
        with translated(address), engine.connect() as connection:
            _forbid_writing(connection)
            return _rows(connection, sql)
    finally:
        engine.dispose()


def _preferred_measurements(
    session: Session, conditions: Sequence[ColumnElement[bool]]
) -> dict[str, dict[Metric, Measurement]]:
    """By trial and metric, without samples."""
    row = MeasurementRow
    measured = (
        select(row.trial_id, row.metric, row.value, row.method, row.low, row.high)
        .join(TrialRow, TrialRow.id == row.trial_id)
        .where(row.metric.in_(_SHOWN), *conditions)
    )
    found: dict[str, dict[Metric, Measurement]] = {}
    for trial_id, metric, value, method, low, high in session.execute(measured):
        new = Measurement(metric, value, method, low, high)
        old = found.setdefault(trial_id, {}).setdefault(new.metric, new)
        if _PREFERENCE.index(new.method) < _PREFERENCE.index(old.method):
            found[trial_id][new.metric] = new
    return found


def _result(
    trial: TrialRow, model: str, label: str, measured: Mapping[Metric, Measurement]
) -> Result:
    return Result(
        trial=trial.id,
        run=trial.run,
        created_at=trial.created_at,
        model=model,
        device=trial.device,
        candidate=label,
        candidate_id=trial.candidate_id,
        phase=trial.phase,
        outcome=trial.outcome,
        message=trial.message,
        latency=measured.get(Metric.LATENCY),
        memory=measured.get(Metric.PEAK_MEMORY),
        energy=measured.get(Metric.ENERGY),
        accuracy=measured.get(Metric.ACCURACY),
    )


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


def _rows(connection: Connection, sql: str) -> Table:
    try:
        # Without parameters a driver leaves percent signs alone. A streamed result is a cursor
        # in PostgreSQL, which takes a SELECT only: COPY writes files in any transaction.
        plain = connection.execution_options(no_parameters=True, stream_results=True)
        result = plain.exec_driver_sql(sql)
        if result.returns_rows:
            return tuple(result.keys()), tuple(tuple(row) for row in result)
    except (DBAPIError, sqlite3.Warning) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise OptionError(
            f"The database refused the statement: {first_line(cause)}. "
            "Write one SELECT; docs/reference/store.md lists the tables and columns, and a query "
            "cannot change the store."
        ) from error
    raise OptionError("The statement returns no rows. Write one SELECT.")
