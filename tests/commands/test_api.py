"""The farm from Python: values in and out, nothing printed, and the notebook that shows it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from commands import api
from db.store import Store
from farm.candidate import Candidate, Fake
from farm.errors import FarmError
from tests.db.samples import RUN
from tests.tools.few_blocks import measure_few
from tests.tools.tuned_run import tuned as rows_of_a_run
from tuner.results import Verdict

ROOT = Path(api.__file__).parents[1]
EXAMPLES = ROOT / "examples"
_FEW_BLOCKS = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.tools.few_blocks import FEWEST
for module, name, least in FEWEST:
    setattr(module, name, least)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store in which the fake device was tuned."""
    return tmp_path_factory.mktemp("api")


@pytest.fixture(scope="module")
def tuned(place: Path) -> api.TuneResult:
    """A run on the fake device."""
    with pytest.MonkeyPatch.context() as patch:
        measure_few(patch)
        return api.tune(
            EXAMPLES / "digits.onnx",
            devices=["fake"],
            budget=30.0,
            max_trials=4,
            local=True,
            output=place / "winners",
            store=str(place / "farm.db"),
            on_event=EVENTS.append,
        )


EVENTS: list[object] = []


def test_a_run_is_a_value(tuned: api.TuneResult) -> None:
    (device,) = tuned.devices
    assert device.verdict in (Verdict.IMPROVED, Verdict.NO_GAIN)
    assert device.baseline is not None
    assert EVENTS


def test_a_run_that_is_finished_says_the_same_again(tuned: api.TuneResult, place: Path) -> None:
    store, output = str(place / "farm.db"), place / "again"
    again = api.resume(tuned.run, local=True, store=store, output=output)
    assert again.devices[0].verdict == tuned.devices[0].verdict


def test_results_are_columns_of_one_length(tuned: api.TuneResult, place: Path) -> None:
    columns = api.results(run=tuned.run, store=str(place / "farm.db"))
    assert len({len(column) for column in columns.values()}) == 1
    assert set(columns["run"]) == {tuned.run}
    assert {"label", "latency", "memory", "accuracy"} <= columns.keys()


@pytest.mark.usefixtures("few_blocks")
def test_candidates_are_measured_and_compared(place: Path) -> None:
    store = str(place / "farm.db")
    model = EXAMPLES / "digits.onnx"
    first, second = (
        api.bench(model, device="fake", candidate=Candidate(Fake(seconds=s)), store=store)
        for s in (0.001, 0.002)
    )
    with pytest.raises(FarmError, match="side by side in 0 blocks"):
        api.compare(first.trial_id, second.trial_id, store=store)
    found = api.compare(first.trial_id, second.trial_id, measure=True, store=store)
    assert found.ratio.value == pytest.approx(0.5, rel=0.1)


@pytest.mark.usefixtures("few_blocks")
def test_nothing_is_printed_and_errors_are_sentences(
    place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FarmError, match="cpi"):
        api.bench(EXAMPLES / "digits.onnx", device="cpi", store=str(place / "farm.db"))
    store = str(place / "farm.db")
    model = EXAMPLES / "digits.onnx"
    api.bench(model, device="fake", candidate=Candidate(Fake(seconds=1e-3)), store=store)
    output = place / "quiet"
    api.tune(
        model, devices="fake", max_trials=2, budget=3.0, local=True, output=output, store=store
    )
    api.results(store=store)
    for given in ({"best": -1}, {"best": 1, "candidate": Candidate()}):
        with pytest.raises(FarmError, match="best must be 0 or more"):
            api.predict(model, store=store, **given)
    assert capfd.readouterr() == ("", "")


def test_the_notebook_shows_what_it_printed() -> None:
    notebook = nbformat.read(EXAMPLES / "from_python.ipynb", as_version=4)
    _imports, *cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [bool(cell.outputs) for cell in cells] == [True] * len(cells)
    assert "improved" in cells[0].outputs[0]["text"]


def test_the_notebook_runs(tmp_path: Path) -> None:
    for name in ("digits.onnx", "digits.npz"):
        shutil.copy(EXAMPLES / name, tmp_path)
    notebook = nbformat.read(EXAMPLES / "from_python.ipynb", as_version=4)
    _shorten(notebook)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    last = notebook.cells[-1].outputs[0]["text"]
    assert "cpi" in last
    assert "cpu" in last


def test_one_device_may_be_a_text(tuned: api.TuneResult, place: Path) -> None:
    store = str(place / "farm.db")
    assert api.results(devices="fake", store=store) == api.results(devices=["fake"], store=store)
    assert api.results(devices="cpu,fake", run=tuned.run, store=store)["run"]
    assert api.results(devices="cpu", store=store)["run"] == []
    with pytest.raises(FarmError, match="There is no run 'nothing'"):
        api.results(run="nothing", store=store)
    with pytest.raises(FarmError, match=r"There is no device 'cqu'.* Did you mean cpu\?"):
        api.results(devices="cqu", store=store)
    with pytest.raises(FarmError, match="There is no model 'digit-z'"):
        api.results(model="digit-z", store=store)
    with pytest.raises(FarmError, match="Unknown device 'cqu'"):
        api.predict(EXAMPLES / "digits.onnx", devices="cqu", store=store)
    with pytest.raises(FarmError, match="Unknown device 'cqu'"):
        api.tune(EXAMPLES / "digits.onnx", devices="cqu", local=True, store=store)


def test_a_choice_may_be_a_text(tuned: api.TuneResult, place: Path) -> None:
    store = str(place / "farm.db")
    found = api.results(run=tuned.run, outcome="ok", store=store)  # type: ignore[arg-type]
    assert set(found["outcome"]) == {"ok"}
    with pytest.raises(FarmError, match=r"outcome takes one of ok, .*, got 'fine'"):
        api.results(outcome="fine", store=store)  # type: ignore[arg-type]
    with pytest.raises(FarmError, match=r"objective takes one of latency, .*, got 'speed'"):
        api.tune(EXAMPLES / "digits.onnx", objective="speed", local=True, store=store)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"budget": "60s"}, "budget cannot be '60s': Input should be a valid number"),
        (
            {"shapes": {"batch": "x"}},
            r"shapes cannot be \{'batch': 'x'\}: Input should be a valid",
        ),
        ({"constraints": None}, "constraints cannot be None: "),
        ({"constraints": api.Constraints(max_memory="a")}, r"constraints cannot be Constraints\("),  # type: ignore[arg-type]
        ({"devices": 5}, "devices cannot be 5: "),
        ({"on_event": 5}, "on_event cannot be 5: "),
    ],
)
def test_a_value_of_another_type_is_a_sentence(
    tmp_path: Path, given: dict[str, Any], sentence: str
) -> None:
    store = str(tmp_path / "farm.db")
    with pytest.raises(FarmError, match=sentence):
        api.tune(EXAMPLES / "digits.onnx", local=True, store=store, **given)
    assert not (tmp_path / "farm.db").exists()


def test_a_name_that_no_argument_has_is_an_error_of_the_program() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'budgets'"):
        api.tune("model.onnx", budgets=5)  # type: ignore[call-arg]


@pytest.mark.parametrize("seconds", [-5.0, float("nan"), float("inf")])
def test_a_budget_does_not_become_smaller(
    tuned: api.TuneResult, place: Path, seconds: float
) -> None:
    store = str(place / "farm.db")
    with pytest.raises(FarmError, match="more_seconds must be 0 or more and finite, got"):
        api.resume(tuned.run, more_seconds=seconds, local=True, store=store)


def test_rows_are_limited_and_the_name_of_a_run_may_be_begun(tmp_path: Path) -> None:
    place = str(tmp_path / "farm.db")
    with Store.open(place) as store:
        rows_of_a_run(store)
    assert len(api.results(limit=1, store=place)["run"]) == 1
    for limit in (0, -1):
        with pytest.raises(FarmError, match=f"limit must be 1 or more, got {limit}"):
            api.results(limit=limit, store=place)
    assert api.results(run=RUN.name[:-2], store=place) == api.results(run=RUN.name, store=place)
    with pytest.raises(FarmError, match=f"Did you mean {RUN.name}"):
        api.results(run=f"x{RUN.name}", store=place)


def _shorten(notebook: nbformat.NotebookNode) -> None:
    """Have it measure few blocks, of two candidates: it is not about these."""
    first, search = (notebook.cells[at] for at in (1, 3))
    assert "max_trials=6" in search.source
    search.source = search.source.replace("max_trials=6", "max_trials=2")
    first.source = f"{_FEW_BLOCKS}\n{first.source}"
