"""Disks that are full, and places that cannot be written: one sentence, nothing lost or half."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.inputs.made_suite import make_suite
from db.store import Store
from tests.db.samples import RUN
from tests.tools.command import Command, start
from tests.tools.tuned_run import tuned
from tests.workers.processes import fill_disk, small_disk

NO_SPACE = "No space left on device"


@pytest.fixture
def filled(farm: Command) -> Command:
    with Store.open(str(farm.store)) as store:
        tuned(store)
    return farm


@pytest.fixture
def disk(filled: Command) -> Iterator[Path]:
    """A disk with hardly any room."""
    with small_disk(filled.folder, "64k") as place:
        yield place


@pytest.fixture
def full(filled: Command) -> Iterator[Path]:
    """The store, on a disk without any room."""
    size = 1024 + filled.store.stat().st_size // 1024
    with small_disk(filled.folder, f"{size}k") as place:
        shutil.copy(filled.store, place / "farm.db")
        fill_disk(place)
        yield place / "farm.db"


COPIES = [("report", RUN.name, "-o"), ("store", "export"), ("store", "backup")]
ROWS = [
    (*("results", "--format", "csv"), "-o"),
    (*("results", "--format", "json"), "-o"),
    (*("results", "--format", "junit"), "-o"),
    (*("results", "--format", "markdown"), "-o"),
    (*("results", "--format", "parquet"), "-o"),
    (*("results", "--format", "table"), "-o"),
    (*("query", "SELECT * FROM trials, block, block_sample", "--format", "csv"), "-o"),
]


@pytest.mark.parametrize("words", COPIES)
def test_a_copy_that_does_not_fit(filled: Command, disk: Path, words: tuple[str, ...]) -> None:
    before = filled.store.read_bytes()
    said = filled.refused(*words, disk / "out")
    assert said in (
        f"{disk}/out cannot be written: {NO_SPACE}.",
        f"The copy {disk}/out does not fit on its disk; free some space, or give another place.",
    )
    assert list(disk.iterdir()) == []
    assert filled.store.read_bytes() == before


@pytest.mark.parametrize("words", ROWS)
def test_rows_that_do_not_fit(filled: Command, disk: Path, words: tuple[str, ...]) -> None:
    fill_disk(disk)
    said = filled.refused(*words, disk / "out")
    assert said == (
        f"The rows cannot be written to {disk}/out: {NO_SPACE}. Give another --output."
    )
    assert [each.name for each in disk.iterdir()] == ["filler"]


def test_what_is_imported_does_not_fit(filled: Command, full: Path) -> None:
    make_suite(str(filled.folder / "laptop.db"), 40, 40)
    said = filled.refused("store", "import", "laptop.db", "--store", full)
    assert said.startswith(f"The store at {full} cannot grow, because its disk is full.")
    (full.parent / "filler").unlink()
    assert filled("store", "check", "--store", full).code == 0
    assert "laptop" not in filled("runs", "--store", full).out


def test_what_is_imported_is_copied_where_there_is_no_room(
    filled: Command, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_suite(str(filled.folder / "laptop.db"), 40, 40)
    monkeypatch.setattr("tempfile.tempdir", str(disk))
    said = filled.refused("store", "import", "laptop.db")
    assert said.startswith("laptop.db is read by a copy, and ")
    assert said.endswith("has no room for it; free some space, or set TMPDIR to another folder.")
    assert list(disk.iterdir()) == []


def test_samples_that_go_from_a_full_disk(filled: Command, full: Path) -> None:
    """Removing takes room, too: what is deleted is written down first."""
    asked = ("store", "prune", "--older-than", "0s", "--yes", "--store", full)
    ended = filled(*asked)
    assert ended.code in (0, 2), ended
    if ended.code:
        assert f"The store at {full} cannot grow, because its disk is full." in ended.err
        assert ended.err.count("\n") == 1
    (full.parent / "filler").unlink()
    assert filled("store", "check", "--store", full).code == 0
    assert filled(*asked).code == 0
    assert RUN.name in filled("runs", "--store", full).out


@pytest.mark.parametrize("words", [("runs",), ("results",), ("report", RUN.name, "-o", "r.html")])
def test_a_store_on_a_full_disk_is_read(
    filled: Command, full: Path, words: tuple[str, ...]
) -> None:
    assert filled(*words, "--store", full).code == 0
    assert {each.name for each in full.parent.iterdir()} <= {
        *("farm.db", "filler", "farm.db-wal", "farm.db-shm"),
    }


def test_a_store_on_a_full_disk_is_served(filled: Command, full: Path) -> None:
    from urllib.request import urlopen

    process = start(filled.folder, "serve", "--port", 0, "--store", full)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        with urlopen(f"{address}runs/{RUN.name}", timeout=20) as answer:
            assert "2.50x [2.40, 2.60]" in answer.read().decode()
    finally:
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.parametrize("words", [*COPIES, ROWS[0]])
def test_a_folder_in_the_place_of_a_file(filled: Command, words: tuple[str, ...]) -> None:
    (filled.folder / "there").mkdir()
    (filled.folder / "there" / "mine").write_text("mine")
    said = filled.refused(*words, "there")
    assert "there" in said
    assert "remove it" not in said
    assert (filled.folder / "there" / "mine").read_text() == "mine"
