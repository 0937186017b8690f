"""Every released schema still opens, and the migrations make the tables of the models."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

import db.migrations
from db.connection import upgrade
from db.connection.address import parse_address
from db.connection.engine import open_engine
from db.connection.upgrade import HEAD
from db.costs.predictions import predictions
from db.costs.versions import newest_cost_model
from db.questions.operators.costs import newest_calibrations
from db.questions.predicted import predicted
from db.questions.results import results
from db.questions.sql import query
from db.reader import StoreReader
from db.records import RunLease, utc_now
from db.schema import VERSION_TABLE, Base
from db.store import Store
from farm.measurement import Outcome
from tests.db.samples import (
    CALIBRATION,
    COST_MODEL,
    FAST,
    LATENCY,
    MACHINE,
    MODEL,
    PREDICTED,
    PROFILE,
    RUN,
    SOFTWARE,
    START,
    block,
)

ASSETS = sorted((Path(__file__).parent / "assets").glob("schema_*.sql"))


@pytest.fixture(params=ASSETS, ids=lambda path: path.stem)
def old_store(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store as an older farm left it."""
    path = tmp_path / "farm.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(request.param.read_text())
    return path


def test_the_newest_schema_has_a_stored_example() -> None:
    assert f"schema_{HEAD}" in {path.stem for path in ASSETS}


def test_the_newest_migration_is_the_one_the_program_knows() -> None:
    script = ScriptDirectory(str(Path(db.migrations.__file__ or "").parent))
    assert script.get_current_head() == HEAD


def test_migrations_make_the_tables_of_the_models(new_place: Callable[[], str]) -> None:
    with _migrated(new_place()) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def test_a_new_store_has_the_schema_that_migrations_make(new_place: Callable[[], str]) -> None:
    """It is created at once: going through all migrations takes longer than a short run."""
    created = new_place()
    Store.open(created).close()
    with _migrated(new_place()) as migrated, _connected(created) as fresh:
        assert _schema(fresh) == _schema(migrated)
        assert fresh.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}")) == HEAD


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    engine = open_engine(parse_address(url), timeout=1.0, read_only=False)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@contextmanager
def _migrated(url: str) -> Iterator[Connection]:
    """An empty place after all migrations, one after the other."""
    with _connected(url) as connection:
        upgrade._migrate(connection)
        yield connection


def _schema(connection: Connection) -> dict[str, object]:
    """All that a database says of its tables and views; columns in their order.

    But for names of foreign keys: of one that came with a later column, SQLite tells none.
    """
    found = inspect(connection)
    tables = {
        name: (
            [{**each, "type": str(each["type"])} for each in found.get_columns(name)],
            found.get_pk_constraint(name),
            sorted(str({**key, "name": ""}) for key in found.get_foreign_keys(name)),
            sorted(found.get_unique_constraints(name), key=str),
            sorted(found.get_indexes(name), key=str),
            found.get_check_constraints(name),
        )
        for name in found.get_table_names()
    }
    return tables | {name: found.get_view_definition(name) for name in found.get_view_names()}


def test_an_old_store_keeps_its_records(old_store: Path) -> None:
    with Store.open(str(old_store)) as store:
        assert store.machine(MACHINE.id) == MACHINE
        assert store.software(SOFTWARE.id) == SOFTWARE
        assert store.model(MODEL.sha256) == MODEL
        assert store.candidate(FAST.id) == FAST
        assert store.run(RUN.name) == RUN
        assert store.trial("trial-0").outcome is Outcome.OK
        assert store.trial("trial-1").outcome is Outcome.RUN_ERROR
        assert store.measurements("trial-0") == (LATENCY,)
        assert store.blocks(RUN.name, "cpu") == (block(0, "trial-1", "trial-0"),)
    assert query(str(old_store), f"SELECT * FROM {VERSION_TABLE}")[1] == ((HEAD,),)


def test_a_run_of_an_older_farm_has_no_lease(old_store: Path, request) -> None:
    with Store.open(str(old_store)) as store:
        lease = RunLease(RUN.name, "0123456789abcdef", "bench-1", 4711, "boot/4026531836/123456")
        kept = {
            run: replace(it, taken_at=START, renewed_at=START)
            for run, it in store.leases().items()
        }
        old = request.node.callspec.id == "schema_0001"
        assert kept == (
            {} if old else {RUN.name: replace(lease, taken_at=START, renewed_at=START)}
        )


def test_only_stores_that_had_profiles_have_some(old_store: Path, request) -> None:
    with Store.open(str(old_store)) as store:
        had = request.node.callspec.id not in ("schema_0001", "schema_0002")
        assert store.profile("trial-0") == (PROFILE if had else ())
        store.add_profile("trial-0", PROFILE[:1])
        assert store.profile("trial-0") == PROFILE[:1]


def test_only_stores_that_had_calibrations_have_some(old_store: Path, request) -> None:
    with Store.open(str(old_store)) as store:
        old = request.node.callspec.id < "schema_0007"
        found = newest_calibrations(store, ["cpu"], MACHINE.id)
        assert found == ({} if old else {"cpu": CALIBRATION})
        store.add_calibration(CALIBRATION)
        assert newest_calibrations(store, ["cpu"], MACHINE.id) == {"cpu": CALIBRATION}


def test_only_stores_that_had_cost_models_have_some(old_store: Path, request) -> None:
    with Store.open(str(old_store)) as store:
        old = request.node.callspec.id < "schema_0008"
        wanted = ("cpu", MACHINE.id, COST_MODEL.format)
        assert newest_cost_model(store, *wanted) == (None if old else COST_MODEL)
        newer = replace(COST_MODEL, id="new", created_at=utc_now())
        store.add_cost_model(newer, keep=1)
        assert newest_cost_model(store, *wanted) == newer


def test_only_stores_that_had_predictions_have_some(old_store: Path, request) -> None:
    with Store.open(str(old_store)) as store:
        old = request.node.callspec.id < "schema_0008"
        assert predictions(store, "trial-0") == ({} if old else PREDICTED)
        store.add_predictions("trial-0", PREDICTED, "fedcba98")
        assert predictions(store, "trial-0") == PREDICTED
        (pair,) = (p for p in predicted(store) if p.metric == "latency")
        assert (pair.predicted_by, pair.measured_by) == ("learned", "measured")
        assert (pair.predicted, pair.measured) == (5e-5, LATENCY.value)


def test_a_reader_upgrades_an_old_store(old_store: Path) -> None:
    with StoreReader.open(str(old_store)) as store:
        assert {row.trial for row in results(store)} == {"trial-0", "trial-1"}


def test_opening_again_changes_nothing(new_place: Callable[[], str]) -> None:
    url = new_place()
    for _ in range(2):
        Store.open(url).close()
    assert query(url, f"SELECT * FROM {VERSION_TABLE}")[1] == ((HEAD,),)
