"""A store that cannot be used gets one sentence, and nothing is written."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text

from db.questions.results import results
from db.questions.sql import query
from db.reader import StoreReader
from db.schema import VERSION_TABLE
from db.store import Store
from farm.errors import OptionError, StoreError
from farm.measurement import Outcome
from tests.db.samples import LATENCY, RUN, fill, trial

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A filled store with one pending trial."""
    place = tmp_path / "farm.db"
    with fill(Store.open(str(place))) as store:
        store.lease_trial(trial())
    return place


@pytest.fixture(params=[Store.open, StoreReader.open, lambda url: query(url, "SELECT 1")])
def use(request: pytest.FixtureRequest) -> Callable[[str], object]:
    """Each way to open a store."""
    return request.param  # type: ignore[no-any-return]


def test_a_file_that_is_no_database(tmp_path: Path, use: Callable[[str], object]) -> None:
    place = tmp_path / "notes.txt"
    place.write_text("these are my notes, and they are longer than a header\n" * 40)
    with nothing_written(tmp_path), pytest.raises(StoreError) as caught:
        use(str(place))
    assert str(caught.value) == (
        f"{place} is not a store: it is not an SQLite database. Give another --store."
    )


def test_a_database_of_something_else(tmp_path: Path, use: Callable[[str], object]) -> None:
    place = tmp_path / "places.sqlite"
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    with (
        nothing_written(tmp_path),
        pytest.raises(StoreError, match="of something else: it has a table bookmarks"),
    ):
        use(str(place))


def test_a_store_that_is_newer(path: Path, use: Callable[[str], object]) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
        connection.commit()
    with (
        nothing_written(path.parent),
        pytest.raises(StoreError, match=r"newer farm: its schema is 9999.*Upgrade the farm"),
    ):
        use(str(path))


def test_a_damaged_store(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = b"\xff" * 3996
    path.write_bytes(content)
    with nothing_written(path.parent), pytest.raises(StoreError, match="is damaged"):
        Store.open(str(path))


def test_a_word_that_no_farm_writes(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE run SET status = 'odd'")
    with StoreReader.open(str(path)) as reader, pytest.raises(StoreError) as caught:
        reader.runs()
    assert str(caught.value).startswith(f"The store at {path} holds what no farm writes: 'odd'")


@pytest.mark.parametrize("kind", [Store, StoreReader])
@pytest.mark.parametrize("place", [".", "..", "/", "{}", "{}/", "sqlite:///{}"])
def test_a_folder(tmp_path: Path, place: str, kind: type[StoreReader]) -> None:
    """Said before SQLite is asked, which knows a folder only as something it cannot open."""
    folder = place.format(tmp_path)
    path = Path(folder.removeprefix("sqlite:///"))
    said = f"^The store {path} is a folder; give a file, such as {path / 'farm.db'}.$"
    with pytest.raises(OptionError, match=said):
        kind.open(folder)


def test_a_store_that_is_locked_when_it_is_opened(path: Path) -> None:
    with (
        locked(path),
        nothing_written(path.parent),
        pytest.raises(StoreError, match=f"{path} is locked by another program"),
    ):
        Store.open(str(path), timeout=0.05)


def test_a_store_that_is_locked_later(path: Path) -> None:
    with Store.open(str(path), timeout=0.05) as store:
        with locked(path), pytest.raises(StoreError, match="locked"):
            store.commit_trial("trial-0", Outcome.OK, measurements=[LATENCY])
        assert store.commit_trial("trial-0", Outcome.OK, measurements=[LATENCY])


def test_readers_work_while_a_writer_writes(path: Path) -> None:
    with locked(path), StoreReader.open(str(path), timeout=0.05) as store:
        assert store.trial("trial-0").outcome is None
        assert len(results(store)) == 1
        assert query(str(path), "SELECT count(*) FROM trial")[1] == ((1,),)


def test_a_read_only_store(path: Path) -> None:
    with (
        nothing_written(path.parent),
        pytest.raises(StoreError, match=f"The store at {path} is read-only. Make the file"),
    ):
        Store.open(f"sqlite:///{path}?mode=ro")


@pytest.mark.skipif(os.getuid() == 0, reason="permissions do not bind root")
def test_a_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="cannot be opened"):
        Store.open(str(folder / "farm.db"))


@pytest.mark.skipif(os.getuid() == 0, reason="permissions do not bind root")
def test_a_store_in_a_read_only_folder_can_be_read(path: Path) -> None:
    path.parent.chmod(0o500)
    try:
        with StoreReader.open(str(path)) as store:
            assert len(results(store)) == 1
        with pytest.raises(StoreError, match="is read-only"):
            Store.open(str(path))
    finally:
        path.parent.chmod(0o700)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreError, match=r"folder .*/file/below of the store cannot be made"):
        Store.open(str(tmp_path / "file" / "below" / "farm.db"))


def test_a_disk_that_is_full_when_the_store_is_made(tmp_path: Path) -> None:
    def shrink(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count = 3")

    event.listen(Engine, "connect", shrink)
    try:
        with pytest.raises(StoreError, match=r"its disk is full. Free some space"):
            Store.open(str(tmp_path / "farm.db"))
    finally:
        event.remove(Engine, "connect", shrink)
    with Store.open(str(tmp_path / "farm.db")) as store:
        assert store.runs() == (), "the next attempt begins afresh"


def test_a_disk_that_fills_up(path: Path) -> None:
    large = replace(LATENCY, samples=tuple(map(float, range(20_000))))
    with Store.open(str(path)) as store:
        _limit_pages(store, "SELECT 1")
        with pytest.raises(StoreError, match=r"disk is full.*committed before is safe"):
            store.commit_trial("trial-0", Outcome.OK, measurements=[large])
        assert store.trial("trial-0").outcome is None
        assert store.measurements("trial-0") == ()
        _limit_pages(store, "SELECT 1000000")
        assert store.commit_trial("trial-0", Outcome.OK, measurements=[large])
        assert store.measurements("trial-0") == (large,)


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    place = tmp_path / "folder" / "farm.db"
    message = f"There is no store yet at {place}. `farm tune`, `farm bench`,"
    for use in (StoreReader.open, lambda url: query(url, "SELECT 1")):
        with pytest.raises(StoreError, match=message):
            use(str(place))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_store_to_a_reader(tmp_path: Path) -> None:
    place = tmp_path / "farm.db"
    place.touch()
    with pytest.raises(StoreError, match="There is no store yet"):
        StoreReader.open(str(place))
    Store.open(str(place)).close()
    StoreReader.open(str(place)).close()


def test_an_empty_server_is_no_store_to_a_reader(new_database: Callable[[], str]) -> None:
    with pytest.raises(StoreError, match="There is no store yet at postgresql"):
        StoreReader.open(new_database())


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    with pytest.raises(StoreError, match=r"cannot be reached: .*Check that the server") as caught:
        Store.open("postgresql://farm:secret@127.0.0.1:1/farm")
    assert "secret" not in str(caught.value)


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=r"package psycopg, .*pip install 'psycopg\[binary\]'"):
        Store.open("postgresql://farm@localhost/farm")


def test_nothing_committed_is_lost_when_the_writer_is_killed(path: Path) -> None:
    writer = (
        "import sys\n"
        "from db.store import Store\n"
        "from farm.measurement import Outcome\n"
        "from tests.db.samples import LATENCY, trial\n"
        "store = Store.open(sys.argv[1])\n"
        "for number in range(100_000):\n"
        "    store.lease_trial(trial(number))\n"
        "    store.commit_trial(f'trial-{number}', Outcome.OK, measurements=[LATENCY])\n"
        "    print(f'trial-{number}', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", writer, str(path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        said = [child.stdout.readline().strip() for _ in range(25)]
        child.send_signal(signal.SIGKILL)
        said += child.stdout.read().split()
    with Store.open(str(path)) as store:
        for name in said:
            assert store.trial(name).outcome is Outcome.OK
        for each in store.trials(run=RUN.name, outcome=Outcome.OK):
            assert store.measurements(each.id) == (LATENCY,), f"{each.id} was half committed"


@contextmanager
def nothing_written(folder: Path) -> Iterator[None]:
    """The folder's files are the same afterwards, but for the lock files of other programs."""
    before = _contents(folder)
    yield
    assert _contents(folder) == before


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another program is in the middle of writing."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE trial SET message = 'half done'")
        yield
        other.execute("ROLLBACK")


def _contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if not path.name.endswith(("-shm", "-wal")))
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def _limit_pages(store: Store, pages: str) -> None:
    """SQLite reports a full disk at this size; no less than what the file has now."""
    with store.reading() as session:
        limit = session.execute(text(pages)).scalar_one()
        session.execute(text(f"PRAGMA max_page_count = {limit}"))
