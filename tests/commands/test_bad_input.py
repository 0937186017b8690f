"""Bad input gets one sentence and exit code 2, and nothing is written."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from db.connection.upgrade import VERSION_TABLE
from db.store import Store
from tests.models import conv_net, custom_net, dynamic_net, relocate, save, save_external
from tests.tools.command import Command
from tests.workers.processes import small_disk
from tuner.goals import Objective

TUNE = ("tune", "model.onnx", "--devices", "fake", "--local", "--budget", "5s")


def tree(folder: Path) -> set[str]:
    """What the farm wrote; ONNX Runtime and Python keep files of their own."""
    files = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    others = ("cache/Microsoft", "__pycache__")
    return {file for file in files if file != "cache" and not file.startswith(others)}


@pytest.fixture
def unchanged(farm: Command):
    """Refuse a command and check that it wrote nothing, not even a store."""

    def refuse(*arguments: object) -> str:
        before = tree(farm.folder)
        sentence = farm.refused(*arguments)
        assert tree(farm.folder) == before, "nothing is written"
        return sentence

    return refuse


# Models


def test_no_model(unchanged) -> None:
    assert unchanged("tune") == "Give the ONNX model to tune, or --resume RUN."


def test_missing_model(unchanged) -> None:
    assert "nowhere.onnx" in unchanged("tune", "nowhere.onnx")


def test_no_sentence_moves_the_cursor(farm: Command, unchanged) -> None:
    told = unchanged("tune", "nowhere\x1b[31m\u202e\r.onnx")
    assert r"nowhere\x1b[31m\u202e" in told
    assert told.isprintable()


def test_a_name_that_is_no_text(unchanged) -> None:
    told = r"'odd\udcff.onnx' is not text in UTF-8, so that no record can name it; rename it."
    assert unchanged("tune", "odd\udcff.onnx") == told


def test_folder_as_model(farm: Command, unchanged) -> None:
    assert str(farm.folder) in unchanged("tune", farm.folder)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 999, b"<html></html>"])
def test_not_onnx(farm: Command, unchanged, content: bytes) -> None:
    (farm.folder / "odd.onnx").write_bytes(content)
    assert "odd.onnx" in unchanged("tune", "odd.onnx")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_model(farm: Command, unchanged, share: float) -> None:
    whole = (farm.folder / "model.onnx").read_bytes()
    (farm.folder / "model.onnx").write_bytes(whole[: int(share * len(whole))])
    assert "model.onnx" in unchanged(*TUNE)


def test_missing_external_data(farm: Command, unchanged) -> None:
    save_external(conv_net(), farm.folder).with_name("model.data").unlink()
    assert "model.data" in unchanged(*TUNE)


@pytest.mark.parametrize("location", ["../outside.data", "/etc/passwd"])
def test_external_data_outside(farm: Command, unchanged, location: str) -> None:
    relocate(save_external(conv_net(), farm.folder), location)
    assert "folder" in unchanged(*TUNE)


def test_custom_operators_are_named(farm: Command, unchanged) -> None:
    save(custom_net(), farm.folder)
    assert "acme.ops" in unchanged(*TUNE)
    assert "Fold" in unchanged(*TUNE)


def test_dynamic_dimensions_are_asked_for(farm: Command, unchanged) -> None:
    save(dynamic_net(), farm.folder)
    sentence = unchanged(*TUNE)
    assert "sequence" in sentence
    assert "--shape" in sentence


@pytest.mark.parametrize(
    "shape", ["x", "=3", "batch=", "batch=-1", "batch=1.5", "batch=two", "batch=\u00b2"]
)
def test_shapes_of_another_form(unchanged, shape: str) -> None:
    assert unchanged(*TUNE, "--shape", shape).startswith("--shape takes NAME=SIZE")


@pytest.mark.parametrize("shape", ["nobody=3", "batch=99999999999999999999"])
def test_shapes_that_do_not_fit(farm: Command, unchanged, shape: str) -> None:
    save(conv_net("batch"), farm.folder)
    assert shape in unchanged(*TUNE, "--shape", shape)


# Data


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"picture": np.zeros((20, 3, 16, 16)), "b": np.zeros(20)}, ["'image'", "'picture'"]),
        ({"image": np.zeros((20, 3, 16, 15), np.float32)}, ["[samples, 1, 3, 16, 16]", "15"]),
        ({"image": np.zeros((3, 3, 16, 16), np.float32)}, ["3 samples", "12"]),
        ({"image": np.full((20, 3, 16, 16), np.nan, np.float32)}, ["nan", "[0, 0, 0, 0]"]),
        ({"image": np.array(["text"] * 20)}, ["float32"]),
        (
            {"image": np.zeros((20, 3, 16, 16), np.float32), "label": np.zeros(19, np.int64)},
            ["19", "20"],
        ),
    ],
)
def test_data_that_does_not_fit(farm: Command, unchanged, arrays: dict, words: list[str]) -> None:
    np.savez(farm.folder / "data.npz", **arrays)
    sentence = unchanged(*TUNE, "--data", "data.npz")
    assert all(word in sentence for word in ["data.npz", *words]), sentence


def test_missing_data(unchanged) -> None:
    assert "There is no data file" in unchanged(*TUNE, "--data", "none.npz")


def test_pickled_data(farm: Command, unchanged) -> None:
    pickled = np.empty(20, dtype=object)
    np.savez(farm.folder / "data.npz", image=pickled)
    assert "pickled objects" in unchanged(*TUNE, "--data", "data.npz")


def test_truncated_data(farm: Command, unchanged) -> None:
    file = farm.folder / "data.npz"
    file.write_bytes(file.read_bytes()[:-500])
    assert "data.npz" in unchanged(*TUNE, "--data", "data.npz")


# Options


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--budget", "0"], "--budget must be above 0 seconds, got 0."),
        (["--budget", "-3s"], "'-3s' is not a time"),
        (["--budget", "nan"], "'nan' is not a time"),
        (["--budget", ""], "'' is not a time"),
        (["--trials", "0"], "--trials must be 1 or more, got 0."),
        (["--trials", "-4"], "--trials must be 1 or more, got -4."),
        (["--max-accuracy-drop", "1.5"], "--max-accuracy-drop must lie between 0 and 1, got 1.5."),
        (["--max-accuracy-drop", "nan"], "--max-accuracy-drop must lie between 0 and 1, got nan."),
        (["--max-accuracy-drop", "-0.1"], "--max-accuracy-drop must lie between 0 and 1"),
        (["--max-memory", "0"], "--max-memory must be above 0 bytes, got 0."),
        (
            ["--min-throughput", "inf"],
            "--min-throughput must be above 0 samples per second and finite, got inf.",
        ),
        (
            ["--objective", "throughput", "--max-batch", 10**20],
            "--max-batch must lie between 1 and 4096, got 100000000000000000000.",
        ),
        (["--max-memory", "-5"], "'-5' is not a size"),
        (["--max-memory", ""], "'' is not a size"),
        (["--max-latency", "0ms"], "--max-latency must be above 0 seconds, got 0"),
        (["--max-latency", "quick"], "'quick' is not a time"),
        (["--max-memory", "1e400"], "'1e400' is too large a size"),
        (["--max-memory", "7.5"], "'7.5' is not a whole number of bytes"),
        (["--max-latency", "1e400"], "'1e400' is too long a time"),
        (["--max-energy", "1e400"], "'1e400' is too large an energy"),
        (["--max-energy", "inf"], "'inf' is not an energy"),
        (["--seed", "-1"], "--seed must lie between 0 and 2147483647, got -1."),
        (["--metric", "top1"], "Metric 'top1' must have the form module:function."),
        (["--metric", "nowhere:f"], "needs the module 'nowhere'"),
        (["--metric", "math:nothing"], "has no such function"),
        (["--devices", ""], "No device was named."),
        (["--devices", "cpuu"], "Unknown device 'cpuu'. Did you mean cpu"),
        (["--devices", "fake,gpuu"], "Did you mean gpu"),
        (["--profiles", "none"], "none"),
    ],
)
def test_options_that_cannot_work(unchanged, options: list[str], words: str) -> None:
    assert words in unchanged(*TUNE, *options)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("tune", "--objective", "p98"),
            f"--objective takes one of {', '.join(Objective)}, got 'p98'.",
        ),
        (("tune", "--trials", "many"), "--trials takes a whole number, got 'many'."),
        (("tune", "--max-batch", "foo"), "--max-batch takes a whole number, got 'foo'."),
        (("tune", "--max-batch", "1.5"), "--max-batch takes a whole number, got '1.5'."),
        (("tune", "--seed", "\x1b"), "--seed takes a whole number, got '\\x1b'."),
        (("tune", "--min-throughput", "x"), "--min-throughput takes a number, got 'x'."),
        (("results", "--limit", "0"), "--limit takes 1 or more, got '0'."),
        (("runs", "--limit", "9" * 20), f"--limit takes 1000000000 or less, got '{'9' * 20}'."),
        (
            ("results", "--format", "xml"),
            "--format takes one of table, csv, json, junit, markdown, parquet, got 'xml'.",
        ),
    ],
)
def test_values_of_another_form(unchanged, arguments: tuple[str, ...], sentence: str) -> None:
    assert unchanged(*arguments) == sentence


def test_a_metric_whose_module_fails(farm: Command, unchanged) -> None:
    (farm.folder / "mine.py").write_text("raise RuntimeError('no')\n")
    assert "RuntimeError('no')" in unchanged(*TUNE, "--metric", "mine:f")


def test_require_all(unchanged) -> None:
    if Path("/dev/nvidia0").exists():
        pytest.skip("there is a GPU here")
    sentence = unchanged(*TUNE, "--devices", "fake,gpu", "--require-all")
    assert "not all devices are there: gpu: " in sentence
    assert "remedy: " in sentence


def test_energy_needs_power_figures(farm: Command, unchanged) -> None:
    profiles = farm.folder / "profiles"
    profiles.mkdir()
    (profiles / "fake.toml").write_text(
        'name = "fake"\nkind = "cpu"\ndescription = ""\nengines = ["fake"]\n'
    )
    for options in (["--objective", "energy"], ["--max-energy", "1J"]):
        sentence = unchanged(*TUNE, "--profiles", "profiles", *options)
        assert "The energy of fake is unknown" in sentence


@pytest.mark.parametrize(
    "arguments",
    [
        ("tune", "model.onnx", "another.onnx"),
        ("tune", "--nonsense"),
        ("nonsense",),
        ("compare", "one"),
    ],
)
def test_wrong_usage(farm: Command, arguments: tuple[str, ...]) -> None:
    ended = farm(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    assert "Usage: farm" in ended.err


# Places to write


def test_an_output_that_is_a_file(farm: Command, unchanged) -> None:
    (farm.folder / "out").write_text("mine")
    for place in ("out", "out/deeper"):
        sentence = unchanged(*TUNE, "--devices", "cpu", "--output", place)
        assert f"{farm.folder}/out is a file" in sentence


def test_runs_that_is_a_file(farm: Command, unchanged) -> None:
    (farm.folder / "runs").write_text("mine")
    assert "runs is a file" in unchanged(*TUNE, "--devices", "cpu")


def test_an_output_that_holds_something_else(farm: Command, unchanged) -> None:
    mine = farm.folder / "out" / "cpu" / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("irreplaceable")
    sentence = unchanged(*TUNE, "--devices", "cpu", "--output", "out")
    assert "in the way of a winner" in sentence
    assert mine.read_text() == "irreplaceable"


def test_a_store_that_is_none(farm: Command, unchanged) -> None:
    farm.store.write_text("a diary " * 999)
    assert "is not an SQLite database" in unchanged(*TUNE)


def test_a_store_that_is_a_folder(farm: Command, unchanged) -> None:
    farm.store.mkdir()
    assert str(farm.store) in unchanged(*TUNE)


def test_a_store_of_a_newer_program(farm: Command, unchanged) -> None:
    with Store.open(str(farm.store)):
        pass
    with sqlite3.connect(farm.store) as connection:
        connection.execute(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    connection.close()
    assert "newer" in farm.refused(*TUNE)


def test_a_store_that_another_program_locks(
    farm: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Store.open(str(farm.store)):
        pass
    holder = sqlite3.connect(farm.store, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    monkeypatch.setattr(Store.open.__func__, "__kwdefaults__", {"timeout": 0.1})
    try:
        assert "is locked by another program" in farm.refused(*TUNE)
    finally:
        holder.close()


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql+odd://x/y", "://"])
def test_a_store_of_another_kind(unchanged, url: str) -> None:
    assert "--store" in unchanged(*TUNE, "--store", url)


@pytest.mark.parametrize(
    "arguments",
    [
        ("results",),
        ("results", "best"),
        ("query", "SELECT 1"),
        ("compare", "a", "b"),
        ("bench", "--trial", "a"),
        ("tune", "--resume", "a"),
    ],
)
def test_what_needs_a_store_does_not_make_one(unchanged, arguments: tuple[str, ...]) -> None:
    assert unchanged(*arguments).startswith("There is no store yet at ")


# Resuming, measuring, asking


@pytest.fixture
def stored(farm: Command) -> Command:
    """A store without runs."""
    with Store.open(str(farm.store)):
        pass
    return farm


def test_resuming_an_unknown_run(stored: Command) -> None:
    assert "There is no tune run 'nobody'" in stored.refused("tune", "--resume", "nobody")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["model.onnx"], "MODEL"),
        (["--budget", "5m"], "--budget"),
        (["--devices", "gpu"], "--devices"),
        (["--seed", "0"], "--seed"),
    ],
)
def test_resuming_with_other_options(stored: Command, options: list[str], named: str) -> None:
    sentence = stored.refused("tune", *options, "--resume", "run")
    assert sentence.startswith(f"{named} cannot be given with --resume")


def test_trials_that_are_not_there(stored: Command) -> None:
    assert "There is no trial 'abc'" in stored.refused("bench", "--trial", "abc")
    assert "There is no trial 'abc'" in stored.refused("compare", "abc", "def")


def test_bench_needs_one_thing_to_measure(stored: Command) -> None:
    assert "Give the ONNX model" in stored.refused("bench")
    assert "Give either --trial" in stored.refused("bench", "model.onnx", "--trial", "abc")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not a candidate"),
        ('{"engine": {"kind": "abacus"}}', "is not a candidate"),
        ('{"speed": "high"}', "is not a candidate"),
        ('{"engine": {"kind": "fake"}}', "Device cpu has no engine 'fake'"),
    ],
)
def test_candidates_that_cannot_be_measured(
    farm: Command, unchanged, text: str, words: str
) -> None:
    (farm.folder / "candidate.json").write_text(text)
    assert words in unchanged("bench", "model.onnx", "--candidate", "candidate.json")


def test_a_missing_candidate_and_device(unchanged) -> None:
    told = "Cannot read candidate file none.json: No such file or directory."
    assert unchanged("bench", "model.onnx", "--candidate", "none.json") == told
    assert "cannot be measured here" in unchanged("bench", "model.onnx", "--device", "gpu")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM run",
        "INSERT INTO run VALUES (1)",
        "UPDATE run SET name = 'x'",
        "DROP TABLE run",
        "CREATE TABLE x (y)",
        "ATTACH '/tmp/other.db' AS other",
        "PRAGMA journal_mode = DELETE",
        "VACUUM",
        "SELECT nothing FROM run",
        "SELECT 1; DELETE FROM run",
        "",
    ],
)
def test_queries_that_are_refused(stored: Command, statement: str) -> None:
    before = stored.store.read_bytes()
    stored.refused("query", statement)
    assert stored.store.read_bytes() == before


def test_a_model_that_checks_but_cannot_run(farm: Command, unchanged) -> None:
    """An operator that the checker refuses: a type that does not fit."""
    proto = conv_net()
    proto.graph.node[0].op_type = "NoSuchOperator"
    onnx.save(proto, farm.folder / "model.onnx")
    assert "NoSuchOperator" in unchanged(*TUNE)


# A disk that may only be read


@pytest.fixture
def read_only(farm: Command) -> Iterator[Path]:
    """A read-only file system with a store that holds nothing."""
    with small_disk(farm.folder, "2m") as disk:
        with Store.open(str(disk / "farm.db")):
            pass
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        yield disk


def test_a_store_that_is_read_only(farm: Command, read_only: Path) -> None:
    store = read_only / "farm.db"
    assert f"The store at {store} cannot be opened" in farm.refused(*TUNE, "--store", store)
    ended = farm("results", "--store", store)
    assert (ended.code, ended.err) == (0, ""), "but it may be read"
    assert "cannot be" in farm.refused(*TUNE, "--store", read_only / "new" / "farm.db")


def test_an_output_that_is_read_only(farm: Command, unchanged, read_only: Path) -> None:
    sentence = unchanged(*TUNE, "--devices", "cpu", "--output", read_only / "out")
    assert sentence == (
        f"The winners cannot be written to {read_only}/out, because {read_only} is not writable "
        "(Read-only file system). Give another --output."
    )


def test_more_time_is_for_a_run_that_is_there(stored: Command) -> None:
    assert stored.refused("tune", "model.onnx", "--budget", "+30s") == (
        "--budget +30s adds time to a run that is there: name it with --resume RUN, or write "
        "--budget 30s for a new one."
    )
    assert stored.refused("tune", "--resume", "run", "--budget", "30s") == (
        "--budget cannot be given with --resume: a run keeps what it was started with. To give it "
        "more time per device, write --budget +30s."
    )
    nothing = stored.refused("tune", "--resume", "run", "--budget", "+0s")
    assert nothing == "--budget +0s adds no time; write for example --budget +30s."
    for wrong in ("+", "+-3s", "++3s", "+soon"):
        assert "is not a time" in stored.refused("tune", "--resume", "run", "--budget", wrong)
    assert "There is no tune run 'run'" in stored.refused(
        "tune", "--resume", "run", "--budget", "+3s"
    )
