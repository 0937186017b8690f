"""``farm results QUESTION``: what is printed, in which formats, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from db.night_records import ChangeState
from db.store import Store
from farm.measurement import Measurement, Method, Metric, Outcome
from tests.db.nights import change, follow, series
from tests.db.questions.test_questions import measure
from tests.db.samples import fill, trial
from tests.tools.command import Command

QUESTIONS = (
    *("trials", "latest", "best", "pareto", "history", "regressions", "flaky", "failures"),
    "predicted",
)


@pytest.fixture
def asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in a folder with a store that has an answer to most questions."""
    command = Command(tmp_path, capsys)
    with Store.open(str(command.store)) as store:
        fill(store)
        told = {
            Metric.LATENCY: 1e-3,
            Metric.ENERGY: 3e-3,
            Metric.ENERGY_WINDOW: 1.01,
            Metric.IDLE_POWER: 12.3,
        }
        measure(store, 0, told)
        store.amend_trial(
            "trial-0", measurements=[Measurement(Metric.ENERGY, 2e-3, Method.MODELLED)]
        )
        store.lease_trial(trial(1))
        store.commit_trial("trial-1", Outcome.RUN_ERROR, "it | fell")
        follow(store, series("kws"), (0.0, 0.05, 0.05))
        change(store, series("kws"), 1, 1.051, ChangeState.CONFIRMED)
    return command


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_in_every_format(asked: Command, question: str) -> None:
    as_json = json.loads(asked("results", question, "--json").out)
    as_csv = list(csv.DictReader(io.StringIO(asked("results", question, "--format", "csv").out)))
    assert len(as_json) == len(as_csv)
    assert all(row.keys() == other.keys() for row, other in zip(as_json, as_csv, strict=True))
    assert asked("results", question, "--format", "markdown").out.startswith("| ")
    ended = asked("results", question)
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_empty_store_has_a_sentence_for_every_question(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], question: str
) -> None:
    command = Command(tmp_path, capsys)
    Store.open(str(command.store)).close()
    last = command("results", question).out.splitlines()[-1]
    assert last.startswith("No ")
    assert last.endswith(".")
    assert command("results", question, "--json").out == "[]\n"


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_store_of_a_newer_farm_is_one_sentence(asked: Command, question: str) -> None:
    with Store.open(str(asked.store)) as store, store.writing() as session:
        session.connection().exec_driver_sql("UPDATE farm_schema_version SET version_num = '9999'")
    assert "was written by a newer farm: its schema is 9999" in asked.refused("results", question)


def test_the_word_trials_can_be_left_out(asked: Command) -> None:
    assert asked("results").out == asked("results", "trials").out
    assert asked("results", "--device", "cpu").out == asked("results", "trials").out


def test_what_is_shown_of_energy(asked: Command) -> None:
    shown = asked("results", "best", "--by", "energy").out
    assert "3.00 mJ" in shown
    assert "over 1.01 s, 12.3 W idle subtracted" in " ".join(shown.split())
    assert "Values that were not measured are ranked apart from those that were." in shown
    rows = json.loads(asked("results", "best", "--by", "energy", "--json").out)
    assert [(row["method"], row["idle_power"]) for row in rows] == [
        ("measured", 12.3),
        ("modelled", None),
    ]


def test_what_is_shown_of_series(asked: Command) -> None:
    shown = asked("results", "regressions", "--above", "5%").out
    assert "shop-floor/kws" in shown
    assert "+5.1% [+4.1%, +6.1%]" in shown
    none = asked("results", "regressions", "--above", "6%").out
    assert none.endswith("No open regression fits.\n")
    shown = asked("results", "history", "--series", "shop-floor/kws", "--limit", "1").out
    assert "1.05 ms" in shown
    assert "+5.1% [+4.7%, +6.4%]" in shown, "as the night was judged"
    assert "could not" not in shown


def test_what_is_shown_of_failures(asked: Command) -> None:
    assert "it | fell" in asked("results", "failures").out
    assert r"it \| fell" in asked("results", "failures", "--format", "markdown").out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("best", "--by", "speed"), "--by takes one of latency, latency_p50,"),
        (("regressions", "--above", "much"), "'much' is not a percentage; write for example 5%"),
        (("history", "--series", "a/"), "--series takes SUITE or SUITE/CASE, for example"),
        (("history", "--series", "shop-flor/kws"), "Did you mean shop-floor/kws"),
        (("pareto", "--run", "x"), "There is no run 'x' in the store at"),
        (("best", "--model", "kwz"), "There is no model 'kwz' in the store at"),
        (("best", "--model", "kwz"), "Did you mean kws? `farm runs` lists what there is."),
        (("trials", "--model", "kwz"), "There is no model 'kwz' in the store at"),
        (("failures", "--device", "cpu,cqu"), "There is no device 'cqu', neither here nor in the"),
        (("--device", "cqu"), "Did you mean cpu? `farm devices` lists those of this machine."),
        (
            ("best", "--format", "xml"),
            "--format takes one of table, csv, json, junit, markdown, parquet",
        ),
        (("best", "-o", "none/x.csv"), "The rows cannot be written to none/x.csv: No such file"),
        (("best", "-o", "."), ". is a folder; name a file with --output."),
    ],
)
def test_bad_input(asked: Command, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in asked.refused("results", *arguments)


def test_a_device_that_nothing_ran_on_yet_is_known(asked: Command) -> None:
    assert asked("results", "best", "--device", "dsp").code == 0
    with Store.open(str(asked.store)) as store:
        store.lease_trial(replace(trial(9), device="board-7"))
    assert asked("results", "failures", "--device", "board-7").code == 0


def test_rows_go_into_a_file_by_its_ending(asked: Command) -> None:
    for name in ("x.csv", "x.json", "x.md", "x.txt"):
        ended = asked("results", "best", "-o", name)
        assert (ended.code, ended.out) == (0, "")
    assert (asked.folder / "x.csv").read_text().startswith("model,model_sha256,device")
    assert json.loads((asked.folder / "x.json").read_text())[0]["model"] == "kws"
    assert (asked.folder / "x.md").read_text().startswith("| model |")
    assert "1.00 ms" in (asked.folder / "x.txt").read_text()
    asked("results", "best", "--format", "csv", "-o", "rows")
    assert (asked.folder / "rows").read_text() == (asked.folder / "x.csv").read_text()
    asked("query", "SELECT 1 AS one", "-o", "q.json")
    assert json.loads((asked.folder / "q.json").read_text()) == [{"one": 1}]


def test_a_query_that_fails_leaves_no_file(asked: Command) -> None:
    endless = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c)"
    failing = f"{endless} SELECT abs(-9223372036854775807 - x / 200) FROM c"
    assert "refused" in asked.refused("query", failing, "-o", "x.csv")
    assert [path for path in asked.folder.iterdir() if "csv" in path.name] == []


def test_parquet_is_no_text_for_a_terminal(
    asked: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda _: True)
    assert asked.refused("results", "best", "--format", "parquet") == (
        "The format parquet is nothing that a terminal can show: name a file with --output."
    )


def test_parquet_needs_its_package(asked: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "reports.export.as_parquet", raising=False)
    assert asked.refused("results", "best", "-o", "x.parquet") == (
        "The format parquet needs the Python package pyarrow, which is not installed. "
        "Install it with: pip install pyarrow."
    )


def test_parquet_holds_the_rows(asked: Command) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    asked("results", "best", "-o", "x.parquet")
    (row,) = parquet.read_table(asked.folder / "x.parquet").to_pylist()
    assert (row["model"], row["value"], row["low"]) == ("kws", 1e-3, None)
    assert row["created_at"].isoformat() == "2026-11-21T06:53:12.250000+00:00"


def test_what_there_is_no_value_of_is_named(asked: Command) -> None:
    ended = asked("results", "best", "--by", "idle_power", "--device", "dsp")
    assert ended.out.splitlines()[-1] == "No trial that fits is ok and has a value of idle_power."


def test_a_speed_up_says_that_it_is_of_latency(asked: Command) -> None:
    assert "speed-up in latency" in asked("results", "latest", "--by", "cpu_seconds").out
    assert "speed-up in latency" not in asked("results", "latest").out
