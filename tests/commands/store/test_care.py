"""``farm store``: copies, merging, room and health, as people ask for them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.inputs.made_suite import make_suite
from db.store import Store
from tests.db.samples import RUN
from tests.tools.command import Command
from tests.tools.tuned_run import tuned


@pytest.fixture
def filled(farm: Command) -> Command:
    with Store.open(str(farm.store)) as store:
        tuned(store)
    return farm


def test_a_backup_is_a_store(filled: Command) -> None:
    ended = filled("store", "backup", "copy.db")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("Copied to copy.db (")
    assert RUN.name in filled("runs", "--store", "copy.db").out
    assert filled("store", "check", "--store", "copy.db").code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("backup", "farm.db"), "farm.db is the store itself; give another place for the copy."),
        (("export", "./farm.db"), "farm.db is the store itself; give another place for the copy."),
        (("backup", "there"), "there exists already, and is not overwritten; give another place."),
        (("backup", "no/copy.db"), "The copy cannot be written to no/copy.db: No such file or"),
        (("import", "farm.db"), "is the store itself; give another one to import from."),
        (("import", "nothing.db"), "There is no store at nothing.db to import from."),
        (("import", "there"), "The store there is a folder; give a file"),
        (
            ("import", "text.db"),
            "text.db is not a store: it is not an SQLite database. Give another file to import.",
        ),
        (("import", "empty.db"), "There is no store yet at empty.db."),
        (("import", "other.db"), "is a database of something else: it has a table planet"),
        (("export", "x.db", "--run", "nothing"), "There is no run 'nothing' in the store"),
        (
            ("export", "x.db", "--model", "nothing"),
            "There is no model 'nothing' in the store",
        ),
        (("export", "x.db", "--device", "cqu"), "There is no device 'cqu', neither here nor"),
        (("export", "x.db", "--device", "fake"), "No run is all that was asked for; `farm runs`"),
        (
            ("prune", "--older-than", "soon"),
            "'soon' is not a time; write for example 90s, 2m, 1h30m, 30d",
        ),
        (("prune",), "farm store prune asks before it removes anything, and nobody can answer"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    filled: Command, words: tuple[str, ...], sentence: str
) -> None:
    (filled.folder / "there").mkdir()
    (filled.folder / "text.db").write_text("not a database at all, but some text " * 40)
    (filled.folder / "empty.db").touch()
    with closing(sqlite3.connect(filled.folder / "other.db")) as other:
        other.execute("CREATE TABLE planet (name TEXT)")
    before = sorted(path.name for path in filled.folder.iterdir())
    assert sentence in filled.refused("store", *words)
    after = sorted(path.name for path in filled.folder.iterdir())
    assert [name for name in after if "-wal" not in name and "-shm" not in name] == before


def test_two_stores_become_one_and_twice_changes_nothing(filled: Command) -> None:
    assert filled("store", "export", "some.db", "--run", RUN.name[:8]).code == 0
    make_suite(str(filled.folder / "laptop.db"), 3, 4)
    first = filled("store", "import", "laptop.db")
    assert first.out == f"Copied 0 runs and 4 nights to {filled.store}.\n"
    again = filled("store", "import", "laptop.db")
    assert again.out == f"{filled.store} has all of it already; nothing was copied.\n"
    assert filled("store", "import", "some.db").out == again.out


def test_samples_are_removed_when_that_was_said(filled: Command) -> None:
    asked = ("store", "prune", "--older-than", "0s")
    shown = filled(*asked, "--dry-run").out
    assert shown.startswith("There are raw samples of 1 run, about ")
    assert filled(*asked, "--yes").out == shown.replace("There are", "Removed")
    assert filled(*asked, "--yes").out == "There are no raw samples of runs that old.\n"
    for words in (("report", RUN.name), ("show", RUN.name), ("explain", "trial-4")):
        assert filled(*words).code == 0, words


def test_a_store_is_whole(filled: Command) -> None:
    ended = filled("store", "check")
    assert ended.code == 0
    assert ended.out.startswith(f"The store at {filled.store} is whole.\n")
    assert json.loads(filled("store", "check", "--json").out)["whole"] is True


def damage(path: Path, *, share: float) -> None:
    """Overwrite the pages behind a share of a file, but for the last one."""
    size = path.stat().st_size
    begin = int(share * size) // 4096 * 4096
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(b"\xa5" * (size - begin - 4096))


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_damaged_file_is_found(farm: Command, share: float) -> None:
    make_suite(str(farm.store), 40, 40)
    damage(farm.store, share=share)
    ended = farm("store", "check")
    assert ended.code == 1, ended
    assert ended.out.startswith(f"The store at {farm.store} is damaged:\n")
    assert "Put a backup in its place" in ended.out
    assert "damaged" in farm.refused("store", "backup", "copy.db")
    assert not (farm.folder / "copy.db").exists()
