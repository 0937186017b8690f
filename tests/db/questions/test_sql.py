"""What ``farm query`` asks a store."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

from db.connection.side_thread import GRACE_SECONDS, SideThread
from db.questions.sql import asking, query
from db.store import Store
from farm.errors import OptionError
from farm.measurement import Outcome
from tests.db.samples import LATENCY, fill, trial

_ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
_BUSY = 10.0  # seconds that a busy machine may add; without an end nothing here would end


@pytest.fixture(scope="module")
def filled_url(new_place: Callable[[], str]) -> str:
    """The place of a store that no test can change."""
    url = new_place()
    with fill(Store.open(url)) as store:
        store.lease_trial(trial())
        store.commit_trial("trial-0", Outcome.OK, "100% %s :name", [LATENCY])
    return url


def test_a_query_gives_columns_and_rows(filled_url: str) -> None:
    columns, rows = query(filled_url, "SELECT id, outcome FROM trial WHERE id LIKE 'trial%'")
    assert columns == ("id", "outcome")
    assert rows == (("trial-0", "ok"),)


def test_a_query_is_taken_as_it_is_written(filled_url: str) -> None:
    written = "WITH a AS (SELECT message FROM trial) SELECT message, '100% %s :name' FROM a;"
    assert query(filled_url, written)[1] == (("100% %s :name",) * 2,)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO software VALUES ('a', 'b')",
        "UPDATE trial SET message = 'gone'",
        "DELETE FROM measurement",
        "DROP TABLE measurement",
        "DROP VIEW trials",
        "CREATE VIEW other AS SELECT 1",
        "CREATE TEMPORARY VIEW other AS SELECT 1",
        "UPDATE trials SET message = 'gone'",
        "DELETE FROM best",
        "INSERT INTO failures (model) VALUES ('a')",
        "CREATE TABLE other (a INTEGER)",
        "CREATE TEMPORARY TABLE other (a INTEGER)",
        "SELECT 1; DELETE FROM measurement",
        "SELECT 1; COMMIT; DELETE FROM measurement",
        "WITH gone AS (DELETE FROM measurement RETURNING 1) SELECT * FROM gone",
        "PRAGMA query_only = OFF",
        "PRAGMA journal_mode = DELETE",
        "SET TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', false)",
        "COPY trial TO STDOUT",
        "VACUUM",
        "BEGIN IMMEDIATE",
        "no sql at all",
        "SELECT nothing FROM trial",
        "",
    ],
)
def test_what_is_not_one_select_is_refused(filled_url: str, statement: str) -> None:
    with pytest.raises(OptionError, match="Write one SELECT"):
        query(filled_url, statement)
    with Store.open(filled_url) as store:
        assert store.trial("trial-0").message == "100% %s :name"
        assert store.measurements("trial-0") == (LATENCY,)


@pytest.mark.parametrize("statement", ["ATTACH '{}' AS other", "VACUUM INTO '{}'"])
def test_no_other_file_is_written(
    tmp_path_factory: pytest.TempPathFactory, filled_url: str, statement: str
) -> None:
    other = tmp_path_factory.mktemp("other") / "other.db"
    with pytest.raises(OptionError, match="refused the statement"):
        query(filled_url, statement.format(other))
    assert not other.exists()


def test_names_that_are_there_twice_are_kept(filled_url: str) -> None:
    assert query(filled_url, "SELECT id, id FROM trial") == (("id", "id"), (("trial-0",) * 2,))


def test_rows_are_read_as_they_are_asked_for(filled_url: str) -> None:
    with asking(filled_url, f"{_ENDLESS} SELECT x FROM c") as answer:
        assert [next(answer.rows) for _ in range(300)][-1] == (300,)


def test_an_error_while_rows_are_read_is_the_statements(filled_url: str) -> None:
    failing = f"{_ENDLESS} SELECT 1 / (x - 200), abs(-9223372036854775807 - x / 200) FROM c"
    with asking(filled_url, failing) as answer, pytest.raises(OptionError, match="refused"):
        list(answer.rows)


@pytest.fixture
def ctrl_c() -> Callable[[float], None]:
    """Send this process what Ctrl-C sends, so many seconds later."""
    hears = signal.getsignal(signal.SIGINT)
    assert hears is signal.default_int_handler

    def later(seconds: float) -> None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()

    return later


def test_ctrl_c_ends_a_statement(filled_url: str, ctrl_c: Callable[[float], None]) -> None:
    ctrl_c(0.5)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        query(filled_url, f"{_ENDLESS} SELECT count(*) FROM c")
    assert time.monotonic() - start < 0.5 + _BUSY
    assert query(filled_url, "SELECT 1")[1] == ((1,),)


def test_ctrl_c_leaves_behind_what_does_not_end(ctrl_c: Callable[[float], None]) -> None:
    thread, told, go = SideThread(), threading.Event(), threading.Event()
    start = time.monotonic()
    ctrl_c(0.1)
    with pytest.raises(KeyboardInterrupt):
        thread.call(go.wait, told.set)
    thread.end(told.clear)
    assert time.monotonic() - start < 0.1 + 2 * GRACE_SECONDS + _BUSY
    assert told.is_set(), "it was told to end, and nothing else was done"
    go.set()
