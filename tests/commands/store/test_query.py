"""`farm query` where the answer is endless, huge, or does not come."""

from __future__ import annotations

import csv
import io
import json
import signal
from pathlib import Path

import psutil
import pytest

from db.store import Store
from tests.db.samples import fill, trial
from tests.tools.command import Command, start
from tests.workers.processes import wait_until

_ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"


@pytest.fixture
def asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in a folder with a store."""
    command = Command(tmp_path, capsys)
    with Store.open(str(command.store)) as store:
        fill(store).lease_trial(trial(0))
    return command


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_runaway_statement_can_be_ended(asked: Command, how: signal.Signals) -> None:
    started = f"{_ENDLESS} SELECT x, CASE WHEN x < 99 THEN 0 ELSE count(*) END FROM c"
    process = start(asked.folder, "query", f"{started} GROUP BY x / 1000", "--format", "csv")
    assert wait_until(lambda: _has_worked(process.pid, asked.store), 60)
    process.send_signal(how)
    _, err = process.communicate(timeout=10)  # a second, on a machine that does nothing else
    assert process.returncode == 130
    assert "Traceback" not in err


def _has_worked(pid: int, store: Path) -> bool:
    """Whether a process has the store open and has spent some time since it was seen to."""
    process = psutil.Process(pid)
    if str(store) not in {file.path for file in process.open_files()}:
        return False
    spent = process.cpu_times().user
    return wait_until(lambda: process.cpu_times().user > spent + 0.3, 30)


def test_a_table_shows_the_first_of_very_many_rows(asked: Command) -> None:
    ended = asked("query", f"{_ENDLESS} SELECT x FROM c")
    assert ended.code == 0
    lines = ended.out.split("\n")
    assert lines[-2].startswith("These are the first 1,000 rows; --format csv and --format json")
    assert " 1000 " in lines
    exact = asked("query", f"{_ENDLESS} SELECT x FROM c LIMIT 1000")
    assert "These are" not in exact.out


def test_csv_and_json_have_all_rows_and_whole_cells(asked: Command) -> None:
    statement = f"{_ENDLESS} SELECT x, printf('%.*c', 100000, 'y') FROM c LIMIT 1100"
    as_json = json.loads(asked("query", statement, "--format", "json").out)
    as_csv = list(csv.reader(io.StringIO(asked("query", statement, "--format", "csv").out)))
    assert len(as_json) == len(as_csv) - 1 == 1100
    assert {len(str(cell)) for row in as_json for cell in row.values()} == {1, 2, 3, 4, 100000}
    assert len(as_csv[1100][1]) == 100000


@pytest.mark.parametrize("command", [("results",), ("query", "SELECT id FROM trial")])
def test_json_is_asked_for_as_everywhere_else(asked: Command, command: tuple[str, ...]) -> None:
    assert asked(*command, "--json").out == asked(*command, "--format", "json").out
    assert json.loads(asked(*command, "--json", "--format", "json").out)
    assert asked.refused(*command, "--json", "--format", "csv") == (
        "--json and --format csv contradict each other; leave one out."
    )


def test_an_endless_answer_ends_with_its_reader(asked: Command) -> None:
    process = start(asked.folder, "query", f"{_ENDLESS} SELECT x FROM c", "--format", "csv")
    assert process.stdout is not None
    assert process.stdout.readline() == "x\n"
    process.stdout.close()
    assert process.wait(timeout=20) in {0, 1}
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()


def test_the_store_is_not_replaced_by_its_rows(asked: Command) -> None:
    before = asked.store.read_bytes()
    said = asked.refused("query", "SELECT id FROM trial", "--json", "-o", asked.store)
    assert said.endswith("it is a database, such as a store. Give another --output.")
    assert asked.store.read_bytes() == before
