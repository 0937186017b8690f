"""``farm report``: one file, or one sentence."""

from __future__ import annotations

import re
import shlex

import pytest

from db.store import Store
from farm.errors import OptionError
from farm.plan.placement.record import plan_text
from reports.pages.sections.provenance import tune_command
from tests.db.nights import SUITE, follow, series
from tests.db.samples import RUN
from tests.tools.command import Command
from tests.tools.placement_plans import split_plan
from tests.tools.tuned_run import tuned
from tuner.goals import Constraints, Objective
from tuner.request import TuneRequest


@pytest.fixture
def filled(farm: Command) -> Command:
    with Store.open(str(farm.store)) as store:
        tuned(store)
        follow(store, series("detector"), [0.0, 0.001])
    return farm


def test_a_report_of_a_run_has_its_name_unless_another_is_given(filled: Command) -> None:
    ended = filled("report", RUN.name)
    assert ended.code == 0, ended
    assert ended.out.startswith(f"{RUN.name}.html (")
    assert filled("report", f"runs/{RUN.name}", "-o", "other.html").code == 0
    assert f"<h1>Run {RUN.name}</h1>" in (filled.folder / "other.html").read_text("utf-8")


def test_a_report_of_a_suite(filled: Command) -> None:
    assert filled("report", SUITE, "-o", "suite.html").code == 0
    assert f"<h1>Suite {SUITE}</h1>" in (filled.folder / "suite.html").read_text("utf-8")


def test_a_plan_adds_its_picture(filled: Command) -> None:
    (filled.folder / "plan.json").write_text(plan_text(split_plan()))
    assert filled("report", RUN.name, "--plan", "plan.json", "-o", "p.html").code == 0
    assert "Planned placement" in (filled.folder / "p.html").read_text("utf-8")
    said = filled.refused("report", RUN.name, "--plan", "nothing.json", "-o", "q.html")
    assert "nothing.json" in said
    assert not (filled.folder / "q.html").exists()


def test_the_nearest_name_is_offered(filled: Command) -> None:
    said = filled.refused("report", "shop-flor")
    assert said.startswith("There is no run and no suite 'shop-flor' in the store at ")
    assert "Did you mean shop-floor? `farm runs` lists what there is." in said
    assert RUN.name in filled.refused("report", f"x{RUN.name}")


def test_no_file_is_overwritten(filled: Command) -> None:
    (filled.folder / "report.html").write_text("mine")
    said = filled.refused("report", RUN.name, "-o", "report.html")
    assert said == "report.html exists already; remove it, or give another --output."
    assert (filled.folder / "report.html").read_text() == "mine"


@pytest.mark.parametrize("words", [("report",), ("show",), ("results", "--run")])
def test_an_empty_name_is_none(filled: Command, words: tuple[str, ...]) -> None:
    said = filled.refused(*words, "")
    assert said == "The name of a run is empty; give it, or its beginning."
    assert not list(filled.folder.glob("*.html"))


@pytest.mark.parametrize("words", [("report", RUN.name), ("results",), ("results", "best")])
def test_what_is_no_name_of_a_file_is_refused(filled: Command, words: tuple[str, ...]) -> None:
    said = filled.refused(*words, "-o", "-")
    assert said == "--output takes the name of a file; `-` is none."
    assert filled.refused(*words, "-o", "") == ". is a folder; name a file with --output."
    assert not (filled.folder / "-").exists()


def test_what_it_says_to_run_can_be_run(filled: Command) -> None:
    def compares() -> list[str]:
        (filled.folder / "report.html").unlink(missing_ok=True)
        assert filled("report", RUN.name, "-o", "report.html").code == 0
        text = (filled.folder / "report.html").read_text("utf-8")
        return re.findall(r"farm compare [\w -]+", text)

    (before,) = compares()
    assert filled(*before.split()[1:]).code == 0
    assert filled("store", "prune", "--older-than", "0s", "--yes").code == 0
    (after,) = compares()
    assert after.strip() == f"{before.strip()} --measure"
    text = (filled.folder / "report.html").read_text("utf-8")
    assert "farm store prune removes them with the raw samples" in text


def test_a_folder_that_is_not_there(filled: Command) -> None:
    said = filled.refused("report", RUN.name, "-o", "nowhere/report.html")
    assert said == "nowhere/report.html cannot be written: there is no such folder."


def test_without_a_store(farm: Command) -> None:
    assert farm.refused("report", "x").startswith("There is no store yet at ")


def test_the_command_of_a_run_asks_for_the_same_search(
    farm: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = TuneRequest(
        model=str(farm.folder / "my model.onnx"),
        devices=("cpu", "dsp"),
        data=str(farm.folder / "a'b.npz"),
        shapes={"sequence length": 128, "batch": 1},
        metric="mine:metric",
        objective=Objective.THROUGHPUT,
        constraints=Constraints(0.005, 1 << 26, 1.5e-5, 2e-7, True, 8e-3, 12.5, 9e-3, 0.2),
        budget_seconds=90.5,
        max_trials=7,
        seed=3,
        threads=2,
        max_batch=8,
        cold=True,
    )
    seen: list[TuneRequest] = []

    def check(request: TuneRequest, *_: object, **__: object) -> None:
        seen.append(request)
        raise OptionError("it was seen.")

    monkeypatch.setattr("tuner.runs.start.check_request", check)
    for request in (asked, TuneRequest(str(farm.folder / "model.onnx"), ("cpu",))):
        words = shlex.split(tune_command(request))
        assert farm.refused(*words[1:]) == "it was seen."
        assert seen[-1] == request
