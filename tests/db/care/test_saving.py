"""What can be read of a damaged store is saved by an export, which says what it lacks."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from db.care.check import check
from db.care.copies import export
from db.reader import StoreReader
from db.store import Store
from farm.errors import StoreDamaged
from tests.db.samples import RUN
from tests.tools.command import Command
from tests.tools.tuned_run import tuned


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a run of several trials, that is closed."""
    place = tmp_path / "farm.db"
    with Store.open(str(place)) as store:
        tuned(store)
    return place


def execute(path: Path, statement: str) -> int:
    """Change a store behind its back; how many rows it had changed."""
    with closing(sqlite3.connect(path)) as connection, connection:
        return connection.execute(statement).rowcount


def overwrite(path: Path, table: str) -> None:
    """Put noise in the place of a table's first page."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)


def test_what_points_nowhere_is_left_out(path: Path, tmp_path: Path) -> None:
    lost = "SELECT candidate_id FROM trial ORDER BY id LIMIT 1"
    execute(path, f"DELETE FROM candidate WHERE id IN ({lost})")
    with StoreReader.open(str(path)) as store:
        (damage,) = [found for found in check(store) if found.damage]
        assert damage.what == "rows of trial whose candidate_id is not there"
        before = len(store.trials())
    found = export(str(path), tmp_path / "saved.db")
    assert found.runs == 1
    assert found.left_out > damage.count  # values and blocks of these trials, too
    with StoreReader.open(str(tmp_path / "saved.db")) as saved:
        assert not any(each.damage for each in check(saved))
        assert len(saved.trials()) == before - damage.count
        assert saved.blocks(RUN.name, "cpu") or not saved.trials()


def test_a_key_that_may_be_absent_is_no_reason_to_leave_a_row_out(
    path: Path, tmp_path: Path
) -> None:
    ranked = execute(path, "UPDATE measurement SET ranking_id = 4711 WHERE ranking_id IS NOT NULL")
    assert ranked > 0
    assert export(str(path), tmp_path / "saved.db").left_out == 0
    with StoreReader.open(str(tmp_path / "saved.db")) as saved:
        assert not any(each.damage for each in check(saved))


@pytest.mark.parametrize("table", ["measurement", "block_sample", "night", "calibration"])
def test_what_cannot_be_read_is_named(path: Path, tmp_path: Path, table: str) -> None:
    overwrite(path, table)
    found = export(str(path), tmp_path / "saved.db")
    assert (found.runs, found.unread) == (1, (table,))
    with StoreReader.open(str(tmp_path / "saved.db")) as saved:
        assert not any(each.damage for each in check(saved))
        assert saved.trials()


def test_an_error_names_the_store_that_fails_and_not_the_copy(path: Path, tmp_path: Path) -> None:
    overwrite(path, "farm_schema_version")
    with pytest.raises(StoreDamaged, match=f"The store at {path} is damaged"):
        export(str(path), tmp_path / "saved.db")


def test_of_two_stores_in_use_the_one_that_fails_is_named(path: Path, tmp_path: Path) -> None:
    overwrite(path, "block")
    with (
        Store.open(str(tmp_path / "copy.db")) as target,
        StoreReader.open(str(path)) as source,
        pytest.raises(StoreDamaged, match=f"The store at {path} is damaged"),
        source.reading() as reading,
        target.writing(),
    ):
        reading.connection().exec_driver_sql("SELECT * FROM block").all()


def test_the_advice_of_a_check_can_be_followed(farm: Command) -> None:
    with Store.open(str(farm.store)) as store:
        tuned(store)
    lost = "SELECT candidate_id FROM trial ORDER BY id LIMIT 1"
    execute(farm.store, f"DELETE FROM candidate WHERE id IN ({lost})")
    said = farm("store", "check")
    assert said.code == 1
    assert "rows of trial whose candidate_id is not there (" in said.out
    assert "save what can be read: farm store export FILE" in said.out
    ended = farm("store", "export", "saved.db")
    assert ended.code == 0, ended
    assert "Left out, because what they point to is not there: " in ended.out
    assert farm("store", "check", "--store", "saved.db").code == 0
    assert farm("show", RUN.name, "--store", "saved.db").code == 0
