"""``farm nightly bisect``: with real processes in real environments, and what it refuses."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import pytest

from db.store import Store
from farm.candidate import Candidate, OnnxRuntimeCpu, to_json
from tests.tools.command import Command
from tests.tools.wheels import build_wheel
from tuner.nightly.bisect import measure
from workers.trials import children

SLOWER = """
import time
import onnxruntime

run = onnxruntime.InferenceSession.run

def slower(*arguments, **named):
    end = time.perf_counter() + 2e-3
    while time.perf_counter() < end:
        pass
    return run(*arguments, **named)

onnxruntime.InferenceSession.run = slower
"""


@pytest.fixture
def suite(farm: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """A suite, and versions of ONNX Runtime of which the second spins before each run."""
    (farm.folder / "candidate.json").write_text(to_json(Candidate(OnnxRuntimeCpu(threads=1))))
    (farm.folder / "suite.toml").write_text(
        'name = "shop"\n[[case]]\nname = "digits"\nmodel = "model.onnx"\n'
        'candidate = "candidate.json"\n'
    )
    index = farm.folder / "index"
    index.mkdir()
    for name, value in {
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
    }.items():
        monkeypatch.setenv(name, value)
    build_wheel(index, "numpy", importlib.metadata.version("numpy"), empty=True)
    build_wheel(index, "onnxruntime", "98.1", empty=True)
    spinning = build_wheel(index, "slower_onnxruntime", "1.0", SLOWER, starts=True)
    needs = f"{spinning.name}=={spinning.version}"
    build_wheel(index, "onnxruntime", "98.2", empty=True, requires=needs)
    return farm


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_the_guilty_version_from_end_to_end(
    suite: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "BLOCKS", 8)  # as few as can be significant
    monkeypatch.setattr(measure, "_PROFILES", 1)
    monkeypatch.setattr(children, "_WARMUP_SECONDS", 0.05)
    versions = ("--good", "onnxruntime==98.1", "--bad", "onnxruntime==98.2")
    ended = suite("nightly", "bisect", "digits", "--suite", "suite.toml", *versions, "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    assert (told["last_good"], told["first_bad"]) == ("98.1", "98.2")
    assert told["ratio"]["low"] > 2.0
    assert told["operators"][0]["operators"] == [], "it spins outside of all operators"
    assert told["operators"][0]["bad_seconds"] > 1e-3
    assert "; most of it outside of all operators: " in told["sentence"]
    assert "onnxruntime 98.2: " in ended.err
    with Store.open(str(suite.store)) as store:
        software = {
            json.loads(store.software(trial.software_id).versions)["onnxruntime-cpu: onnxruntime"]
            for trial in store.trials(run=told["run"])
        }
    assert software == {"98.1", "98.2"}
    listed = suite("devices", "environments").out
    assert "onnxruntime-98.1-" in listed
    assert "(by name)" in listed


def test_what_is_refused(suite: Command) -> None:
    def refused(*words: str) -> str:
        return suite.refused_after_start("nightly", "bisect", *words, "--suite", "suite.toml")

    assert refused("digit") == (
        "Suite shop has no case 'digit'. Did you mean digits? Cases: digits."
    )
    assert refused("digits").startswith("Which version of onnxruntime was good is not known; ")
    assert refused("digits", "--metric", "speed").startswith("--metric takes one of latency, ")
    sentence = refused("digits", "--good", "onnxruntime==1.0", "--bad", "onnxruntime==98.2")
    assert sentence == (
        "onnxruntime 1.0 is not among the versions that pip can install here; the newest of 2 are "
        "98.1, 98.2."
    )


def test_a_version_that_cannot_be_installed(suite: Command) -> None:
    for wheel in Path(suite.folder / "index").glob("numpy*"):
        wheel.unlink()
    ended = suite(
        *("nightly", "bisect", "digits", "--suite", "suite.toml"),
        *("--good", "onnxruntime==98.1", "--bad", "onnxruntime==98.2"),
    )
    assert ended.code == 2
    assert ended.err.splitlines()[-1] == (
        "farm: Nothing can be found out: No environment of onnxruntime==98.1, numpy can be made. "
        "pip says: Could not find a version that satisfies the requirement numpy (from versions: "
        "none)."
    )
