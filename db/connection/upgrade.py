"""Bringing a store's schema to the one that this program knows, or saying why not."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    insert,
    inspect,
    select,
    update,
)

from db.connection.address import Address
from db.connection.engine import for_writing, translated
from db.migrations.views import views
from db.schema import VERSION_TABLE, Base
from farm.errors import StoreError

# Alembic is imported only where a schema is an older one: that is rare, and its import slow.
# It reports every step at a level that other libraries switch on for everybody.
logging.getLogger("alembic").setLevel(logging.WARNING)

HEAD = "0009"
"""The newest migration's revision: the schema of ``db/schema.py``."""

# As Alembic makes it.
_VERSION = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name=f"{VERSION_TABLE}_pkc"),
)
_MIGRATIONS = Path(__file__).parents[1] / "migrations"
_ADVISORY_LOCK = 0x6661726D  # "farm": keeps two programs from upgrading one server at once


def ensure_schema(engine: Engine, address: Address) -> None:
    """Create or upgrade the schema in one transaction, and prove that the store can be written.

    Raises StoreError: not a store, newer than the program, locked, read-only, disk full,
    unreachable. Nothing is written then.
    """
    with translated(address):
        current_revision(engine, address)
        if address.is_sqlite:
            _use_write_ahead_log(engine)
        with for_writing(engine).begin() as connection:
            if not address.is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            revision = _revision(connection, address)
            if revision is None:
                _create(connection)
            elif revision != HEAD:
                _migrate(connection)
        with for_writing(engine).connect() as connection:
            # SQLite begins a transaction on a read-only file without complaint; only a write
            # tells. It is rolled back.
            connection.execute(update(_VERSION).values(version_num=_VERSION.c.version_num))


def current_revision(engine: Engine, address: Address) -> str | None:
    """The schema's revision, or None where there are no tables yet.

    Raises StoreError: not a store, newer than the program, or it cannot be read.
    """
    with translated(address), engine.connect() as connection:
        return _revision(connection, address)


def _revision(connection: Connection, address: Address) -> str | None:
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE not in tables:
        if tables:
            raise StoreError(
                f"{address} is a database of something else: it has a table {min(tables)}, but "
                "no schema version of the farm. Give another --store."
            )
        return None
    revision: str | None = connection.scalar(select(_VERSION.c.version_num))
    if revision is not None and not _is_known(revision):
        raise StoreError(
            f"The store at {address} was written by a newer farm: its schema is {revision}, and "
            f"this program knows {HEAD} at most. Upgrade the farm, or give another --store."
        )
    return revision


def _is_known(revision: str) -> bool:
    if revision == HEAD:
        return True
    from alembic.script import ScriptDirectory  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    try:
        ScriptDirectory(str(_MIGRATIONS)).get_revision(revision)
    except CommandError:
        return False
    return True


def _use_write_ahead_log(engine: Engine) -> None:
    """Let readers work while a writer does. The setting stays with the file."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _create(connection: Connection) -> None:
    """Create the newest schema where there is none: what all migrations one by one would make."""
    Base.metadata.create_all(connection, checkfirst=False)
    for statement in views(connection.dialect.name):
        connection.exec_driver_sql(statement)
    _VERSION.create(connection, checkfirst=True)
    connection.execute(insert(_VERSION).values(version_num=HEAD))


def _migrate(connection: Connection) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
