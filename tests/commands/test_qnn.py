"""Qualcomm's compiler by the commands: accuracy and a context binary, and never a latency."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from db.reader import StoreReader
from farm.artifact.folder import CONTEXT_FILE, GRAPH_FILE
from farm.candidate import to_json
from tests.qnn import QUANTISED, require_qnn
from tests.tools.command import Command

UNKNOWN = "Its latency, memory and energy are unknown"
UNTIMED = (
    "The latency of onnxruntime-qnn SM8650 int8 per-channel min-max + float16 is unknown: it runs "
    "in an emulator, and what that takes says nothing about the chip. `farm bench --candidate` "
    "tells its accuracy."
)


@pytest.fixture
def candidate(farm: Command) -> str:
    """The name of a file with a candidate, in the folder of the command."""
    (farm.folder / "qnn.json").write_text(to_json(QUANTISED))
    return "qnn.json"


@pytest.fixture
def benched(farm: Command, candidate: str) -> Path:
    """The folder of what was measured of it."""
    require_qnn()
    ended = farm("bench", "model.onnx", "--device", "dsp", "--candidate", candidate, "-o", "out")
    assert ended.code == 0, ended.err
    assert UNKNOWN in " ".join(ended.out.split())
    assert "latency  " not in ended.out
    return farm.folder / "out" / "dsp"


def test_accuracy_and_size_are_told_and_no_time(farm: Command, candidate: str) -> None:
    require_qnn()
    data = ("--data", "data.npz")
    ended = farm(
        "bench", "model.onnx", "--device", "dsp", "--candidate", candidate, *data, "--json"
    )
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["measurements"].keys() == {"accuracy", "model_size"}
    assert found["accuracy"]["value"] == found["measurements"]["accuracy"]["value"]
    assert found["notes"][0].startswith(UNKNOWN)
    assert found["output"] is None


def test_several_callers_are_refused_where_nothing_is_timed(farm: Command) -> None:
    (farm.folder / "four.json").write_text(to_json(replace(QUANTISED, callers=4)))
    assert farm.refused("bench", "model.onnx", "--device", "dsp", "--candidate", "four.json") == (
        "The candidate has 4 callers, and onnxruntime-qnn runs in an emulator, where nothing "
        "tells its throughput. Leave out its `callers`."
    )


def test_what_is_delivered_is_verified(farm: Command, benched: Path) -> None:
    delivered = {path.name for path in benched.iterdir()}
    assert delivered == {
        *("model.onnx", CONTEXT_FILE, GRAPH_FILE, "session.json", "run.py"),
        *("provenance.json", "SHA256SUMS"),
    }
    record = json.loads((benched / "provenance.json").read_text())
    assert (record["kind"], record["ratio"], record["gain"]) == ("bench", None, None)
    ended = farm("verify", "out/dsp", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["verdict"] == "holds"
    assert found["reason"] == "it was benched, so that no speed was claimed"
    assert found["accuracy"]["measured"] == found["accuracy"]["claimed"]
    (benched / CONTEXT_FILE).write_bytes(b"another")
    ended = farm("verify", "out/dsp", "--json")
    assert f"{CONTEXT_FILE} is not the file that was delivered" in ended.out


@pytest.mark.usefixtures("benched")
def test_nothing_compares_explains_or_predicts_it(farm: Command, candidate: str) -> None:
    with StoreReader.open(str(farm.store)) as reader:
        (trial,) = reader.trials()
    assert farm.refused("compare", trial.id, trial.id) == UNTIMED
    assert farm.refused("compare", trial.id, trial.id, "--measure") == UNTIMED
    assert farm.refused("explain", trial.id) == UNTIMED
    asked = ("--device", "dsp", "--candidate", candidate)
    assert farm.refused("predict", "model.onnx", *asked) == UNTIMED
    shown = farm("results", "--format", "json")
    (row,) = json.loads(shown.out)
    assert row["latency"] is None
    assert row["outcome"] == "ok"


@pytest.mark.usefixtures("benched")
def test_its_trial_is_run_again(farm: Command) -> None:
    with StoreReader.open(str(farm.store)) as reader:
        (trial,) = reader.trials()
    ended = farm("bench", "--trial", trial.id)
    assert ended.code == 0, ended.err
    assert UNKNOWN in " ".join(ended.out.split())
    assert "It lies in" not in ended.out, "where it was delivered then"


@pytest.mark.usefixtures("candidate")
def test_no_night_watches_it(farm: Command) -> None:
    case = 'name = "words"\nmodel = "model.onnx"\ndevice = "dsp"\ncandidate = "qnn.json"\n'
    (farm.folder / "suite.toml").write_text(f'name = "shop"\n[[case]]\n{case}')
    ended = farm("nightly", "run", "suite.toml")
    assert UNTIMED in " ".join((ended.out + ended.err).split())


def test_a_device_that_does_not_have_it(farm: Command, candidate: str) -> None:
    sentence = farm.refused("bench", "model.onnx", "--device", "cpu", "--candidate", candidate)
    assert sentence.startswith("Device cpu has no engine 'onnxruntime-qnn'")


def test_where_the_package_is_missing(
    farm: Command, candidate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.discovery.sys.platform", "linux")
    monkeypatch.setattr("workers.discovery.platform.machine", lambda: "x86_64")
    monkeypatch.setattr("workers.discovery.importlib.util.find_spec", lambda name: None)
    assert farm.refused("bench", "model.onnx", "--device", "dsp", "--candidate", candidate) == (
        "Device dsp cannot be measured here: the Python package onnxruntime-qnn is not installed. "
        "Remedy: pip install 'onnxruntime-qnn>=2.7'."
    )
