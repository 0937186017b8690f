"""The command from end to end: a real model tuned once, and what is done with the result."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import cli
from db.reader import StoreReader
from db.records import Phase, RunStatus
from farm.candidate import (
    Candidate,
    CPackageEmulated,
    OnnxRuntimeCpu,
    Pipeline,
    PipelinePart,
    to_json,
)
from farm.measurement import Metric, Outcome
from farm.model.model import load_model
from tests.conftest import furnish
from tests.tools.command import Command, start_few_blocks
from tuner import bench
from tuner.delivery.record import read_record

COMMANDS = (
    *(
        "tune",
        "bench",
        "verify",
        "compare",
        "runs",
        "show",
        "results",
        "query",
        "devices",
        "doctor",
    ),
    *("package build", "package verify", "plan memory"),
)
# The baseline is measured and confirmed however short the time is.
BASELINE = ("--trials", "1", "--budget", "2s")
TUNE = ("tune", "model.onnx", "--data", "data.npz", "--local")


@dataclass(frozen=True)
class Tuned:
    """A folder in which `farm tune` ran, and what it printed."""

    folder: Path
    found: dict[str, Any]
    err: str


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """A small model, tuned for real with three trials, on two devices of which one is missing."""
    folder = tmp_path_factory.mktemp("tuned")
    furnish(folder)
    # Time enough for three trials on the slowest machine; they end the search, not the time.
    bounds = ("--trials", "3", "--budget", "10m")
    process = start_few_blocks(
        folder, *TUNE, *bounds, "--devices", "cpu,gpu", "--output", "out", "--json"
    )
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    return Tuned(folder, json.loads(out), err)


@pytest.fixture
def farm_there(tuned: Tuned, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(tuned.folder, capsys)


@pytest.fixture
def reader(tuned: Tuned) -> Iterator[StoreReader]:
    with StoreReader.open(str(tuned.folder / "farm.db")) as opened:
        yield opened


def test_only_the_object_is_on_standard_output(tuned: Tuned) -> None:
    keys = ["run", "model", "devices", "output", "interrupted", "threads", "objective"]
    assert list(tuned.found) == keys
    assert "\x1b" not in tuned.err
    assert tuned.err.splitlines()[0] == f"Run {tuned.found['run']}"
    assert len(tuned.err.splitlines()) < 15, "quiet without a terminal"


def test_the_object_says_what_was_found(tuned: Tuned) -> None:
    cpu, gpu = tuned.found["devices"]
    assert (cpu["status"], gpu["status"]) == ("tuned", "unavailable")
    assert "GPU" in gpu["remedy"]
    for side in ("baseline", "winner"):
        latency = cpu[side]["latency"]
        assert latency["unit"] == "s"
        assert latency["method"] == "measured"
        assert 1e-7 < latency["value"] < 1e-1
        low, high = latency["ci"]
        assert low <= latency["value"] <= high
        assert cpu[side]["energy"]["method"] in ("measured", "modelled")
    if cpu["ratio"] is not None:
        assert cpu["ratio"]["estimate"] > 1
    assert cpu["accuracy"]["samples"] == 10, "the confirmation part of 24 samples"
    assert cpu["accuracy"]["on_real_data"] is True
    assert sum(cpu["trials"].values()) == 3


def test_the_winner_runs_as_delivered(tuned: Tuned) -> None:
    (cpu, _) = tuned.found["devices"]
    folder = Path(cpu["output"])
    names = {path.name for path in folder.iterdir()}
    is_package = "manifest.json" in names
    own = {"model.c", "Makefile"} if is_package else {"model.onnx", "session.json", "run.py"}
    assert names >= {*own, "provenance.json"}
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["run"] == tuned.found["run"]
    assert provenance["trial"] == cpu["winner"]["trial"]
    assert provenance["model_sha256"] == tuned.found["model"]["sha256"]
    verify = [str(Path(cli.__file__)), "package", "verify", str(folder)]
    command = verify if is_package else [str(folder / "run.py")]
    ran = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_everything_is_in_the_store(tuned: Tuned, reader: StoreReader) -> None:
    (run,) = reader.runs()
    assert run.name == tuned.found["run"]
    assert run.status is RunStatus.FINISHED
    assert run.active_seconds > 1
    trials = reader.trials(run=run.name)
    assert {t.phase for t in trials} == {Phase.SEARCH, Phase.CONFIRM}
    assert sum(t.phase is Phase.SEARCH for t in trials) == 3
    baseline = reader.trial(tuned.found["devices"][0]["baseline"]["trial"])
    details = json.loads(baseline.details)
    assert set(details["assignment"]) == {"CPUExecutionProvider"}
    assert details["warmup"]["values"] > 0
    metrics = {m.metric for m in reader.measurements(baseline.id)}
    assert {Metric.LATENCY, Metric.LATENCY_P50, Metric.THROUGHPUT, Metric.ACCURACY} <= metrics
    blocks = reader.blocks(run.name, "cpu")
    assert sum(block.kept for block in blocks) >= 11
    assert all(block.sentinel_seconds for block in blocks)


@pytest.mark.usefixtures("few_blocks")
def test_a_finished_run_resumed_says_the_same(tuned: Tuned, farm_there: Command) -> None:
    ended = farm_there("tune", "--resume", tuned.found["run"], "--json", "--local")
    assert ended.code == 0, ended.err
    again, before = json.loads(ended.out)["devices"], tuned.found["devices"]
    for said, found in zip(again, before, strict=True):
        assert said.keys() == found.keys()
        assert {key: (said[key], found[key]) for key in said if said[key] != found[key]} == {}


def test_the_run_is_listed_and_shown(tuned: Tuned, farm_there: Command) -> None:
    name, (cpu, gpu) = tuned.found["run"], tuned.found["devices"]
    listed = json.loads(farm_there("runs", "--json").out)[-1]
    assert (listed["run"], listed["status"], listed["devices"]) == (
        name,
        "finished",
        ["cpu", "gpu"],
    )
    assert name in farm_there("runs").out
    for called in (name, name[:-1], f"runs/{name}"):
        shown = json.loads(farm_there("show", called, "--json").out)
        assert shown["run"] == name
    assert shown["model"] == {"name": "model"} | tuned.found["model"]
    assert shown["resume"] == f"farm tune --resume {name} --budget +TIME"
    assert (shown["resumable"], shown["lease"], shown["gone"]) == (False, None, None)
    known, missing = shown["devices"]
    for key in ("device", "status", "verdict", "ratio", "trials", "output"):
        assert known[key] == cpu[key], key
    assert known["winner"]["trial"] == cpu["winner"]["trial"]
    assert known["budget"]["used"] > 0
    assert (missing["status"], missing["reason"]) == ("unavailable", gpu["reason"])
    text = farm_there("show", name).out
    assert f"delivered to {cpu['output']}" in text
    assert "There is no run 'nosuch'" in farm_there.refused("show", "nosuch")


def test_results_in_every_format(tuned: Tuned, farm_there: Command) -> None:
    table = farm_there("results", "--outcome", "ok").out
    assert tuned.found["devices"][0]["winner"]["trial"][:8] in table
    rows = list(csv.DictReader(io.StringIO(farm_there("results", "--format", "csv").out)))
    objects = json.loads(farm_there("results", "--format", "json").out)
    assert len(rows) == len(objects) >= 4
    assert rows[0]["trial"] == objects[0]["trial"]
    assert json.loads(rows[0]["candidate"])["engine"]
    filtered = farm_there("results", "--device", "dsp")
    assert filtered.code == 0
    assert "No trial fits." in filtered.out
    either = farm_there("results", "--devices", "cpu,dsp", "--format", "json")
    assert {row["device"] for row in json.loads(either.out)} == {"cpu"}
    assert "There is no run 'nosuch'" in farm_there.refused("results", "--run", "nosuch")
    assert len(json.loads(farm_there("results", "--limit", "1", "--format", "json").out)) == 1


def test_queries(farm_there: Command) -> None:
    statement = "SELECT phase, count(*) AS n FROM trial WHERE device = 'cpu' GROUP BY phase"
    found = json.loads(farm_there("query", statement, "--format", "json").out)
    assert {"phase": "search", "n": 3} in found
    assert farm_there("query", statement, "--format", "csv").out.startswith("phase,n\n")
    assert "search" in farm_there("query", statement).out
    for statement in ("SELECT '[/x]' AS \"[b]\"", "SELECT 1 LIMIT 0", "SELECT 9e999 AS x"):
        for form in ("table", "csv", "json"):
            assert farm_there("query", statement, "--format", form).code == 0


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_recorded_comparison(farm: Command) -> None:
    """On the fake device one engine is twice as fast as the baseline, on every machine."""
    options = ("--devices", "fake", "--budget", "10m", "--trials", "3", "--json")
    ended = farm("tune", "model.onnx", "--local", *options)
    assert ended.code == 0, ended.err
    with StoreReader.open(str(farm.store)) as reader:
        confirmed = [t.id for t in reader.trials(phase=Phase.CONFIRM, outcome=Outcome.OK)]
        alone = next(t.id for t in reader.trials(phase=Phase.SEARCH))
    pair = confirmed[:2]
    found = json.loads(farm("compare", *pair, "--json").out)
    assert found["pairs"] >= 11
    assert found["ratio"]["ci"][0] <= found["ratio"]["estimate"] <= found["ratio"]["ci"][1]
    assert "95 % interval" in farm("compare", pair[0][:8], pair[1][:8]).out
    assert "--measure" in farm.refused("compare", pair[0], alone)


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_measured_comparison(tuned: Tuned, farm_there: Command, reader: StoreReader) -> None:
    trials = reader.trials(run=tuned.found["run"], phase=Phase.SEARCH, outcome=Outcome.OK)
    ended = farm_there("compare", trials[0].id, trials[1].id, "--measure", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["pairs"] == bench.BLOCKS


def test_bench_of_the_fake_baseline(farm: Command) -> None:
    ended = farm("bench", "model.onnx", "--device", "fake", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    facts = ["run", "device", "trial", "candidate"]
    assert list(found) == [
        *facts,
        "measurements",
        "predicted",
        "accuracy",
        "notes",
        "threads",
        "output",
    ]
    assert found["measurements"]["latency"]["value"] == pytest.approx(1e-3, rel=0.05)
    assert found["measurements"]["latency"]["ci"] is not None


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_bench_of_a_candidate_and_of_its_trial(farm: Command) -> None:
    candidate = Candidate(OnnxRuntimeCpu(threads=1, spinning=False))
    (farm.folder / "candidate.json").write_text(to_json(candidate))
    first = farm("bench", "model.onnx", "--candidate", "candidate.json", "-o", "out", "--json")
    assert first.code == 0, first.err
    found = json.loads(first.out)
    assert found["output"] == str(farm.folder / "out" / "cpu")
    record = read_record(farm.folder / "out" / "cpu")
    assert (record.candidate, record.baseline, record.claim) == (candidate, candidate, None)
    assert str(record.origin) == f"what was measured of model.onnx (run {found['run']})"
    assert found["candidate"] == json.loads(to_json(candidate))
    again = farm("bench", "--trial", found["trial"][:10])
    assert again.code == 0, again.err
    assert "onnxruntime-cpu 1 thread no-spin float32 on cpu" in again.out
    (farm.folder / "model.onnx").write_bytes(
        (farm.folder / "model.onnx").read_bytes().replace(b"test", b"best")
    )
    assert "is not the model" in farm.refused("bench", "--trial", found["trial"])


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_bench_of_a_pipeline_over_two_devices(farm: Command) -> None:
    """The run is of the cpu; what packets of the dsp's part take is in the dsp's profile."""
    names = [node.name for node in load_model(farm.folder / "model.onnx").proto.graph.node]
    parts = (
        PipelinePart("dsp", CPackageEmulated(), tuple(names[:4])),
        PipelinePart("cpu", OnnxRuntimeCpu(threads=1), tuple(names[4:])),
    )
    (farm.folder / "pipeline.json").write_text(to_json(Candidate(Pipeline(parts))))
    ended = farm("bench", "model.onnx", "--candidate", "pipeline.json", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["measurements"]["latency"]["method"] == "modelled"
    assert {"cpu_seconds", "energy", "packets"} & set(found["measurements"]) == set()
    (note,) = found["notes"]
    assert note.startswith("Of a run take: dsp/cpackage-emulated ")
    assert " packets, " in note
    assert "cpu/onnxruntime-cpu" in note
    assert note.endswith("(measured, in this machine's memory).")


def test_a_candidate_that_fails_says_why(farm: Command) -> None:
    fault = '{"engine": {"kind": "fake", "fault": "crash"}}'
    (farm.folder / "crash.json").write_text(fault)
    sentence = farm.refused_after_start(
        "bench", "model.onnx", "--device", "fake", "--candidate", "crash.json"
    )
    assert "SIGSEGV" in sentence
    assert "run-error" in sentence
    with StoreReader.open(str(farm.store)) as reader:
        (run,) = reader.runs()
        assert run.status is RunStatus.FAILED


def test_devices(farm: Command) -> None:
    table = farm("devices").out
    assert "cpu" in table
    assert "fake" not in table
    found = {d["device"]: d for d in json.loads(farm("devices", "--json").out)}
    assert found["cpu"]["available"] is True
    assert found["dsp"]["available"] is True
    assert found["gpu"]["available"] is False
    assert found["gpu"]["reason"]
    assert found["gpu"]["remedy"]


def test_doctor(farm: Command) -> None:
    ended = farm("doctor")
    assert ended.code == 0
    assert "onnxruntime" in ended.out
    assert not farm.store.exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(farm: Command, command: str) -> None:
    ended = farm(*command.split(), "--help")
    assert ended.code == 0
    shown = command.removesuffix(" build")  # a word that can be left out
    assert re.search(rf"Example:\s+farm {shown}", ended.out), ended.out


def test_help_and_version(farm: Command) -> None:
    out = farm("--help").out
    assert all(command.split()[0] in out for command in COMMANDS)
    assert re.fullmatch(r"farm \d+\.\d+\.\d+\S*\n", farm("--version").out)


def test_devices_that_are_not_there(farm: Command) -> None:
    ended = farm("tune", "model.onnx", "--devices", "gpu", "--local")
    assert ended.code == 1, "nothing could be tuned"
    assert "unavailable" in ended.out
    assert "gpu: to tune it, " in ended.out


@pytest.mark.usefixtures("few_blocks")
def test_a_metric_of_the_user(farm: Command) -> None:
    (farm.folder / "mine.py").write_text(
        "def half(outputs, labels):\n    assert outputs[0].shape[1:] == (1, 4)\n    return 0.5\n"
        "def broken(outputs, labels):\n    raise ValueError('no idea')\n"
    )
    options = (*BASELINE, "--output", "out")
    ended = farm(*TUNE, *options, "--metric", "mine:half", "--json")
    assert ended.code == 0, ended.err
    accuracy = json.loads(ended.out)["devices"][0]["accuracy"]
    assert (accuracy["metric"], accuracy["baseline"]) == ("mine:half", 0.5)
    ended = farm(*TUNE, *options, "--metric", "mine:broken", "--json")
    assert ended.code == 1
    (device,) = json.loads(ended.out)["devices"]
    assert device["reason"] == (
        "the baseline cannot be measured (run-error): Metric 'mine:broken' raised "
        "ValueError('no idea')."
    )


def test_labels_that_do_not_suit_the_outputs(farm: Command) -> None:
    import numpy as np

    arrays = dict(np.load(farm.folder / "data.npz"))
    np.savez(farm.folder / "data.npz", **arrays, label=np.full(24, 77))
    assert "labels up to 77" in farm.refused_after_start(*TUNE, *BASELINE)
    with StoreReader.open(str(farm.store)) as reader:
        assert [run.status for run in reader.runs()] == [RunStatus.FAILED]


@pytest.mark.ray
@pytest.mark.slow
def test_a_metric_of_the_user_with_ray(tmp_path: Path) -> None:
    furnish(tmp_path)
    (tmp_path / "mine.py").write_text("def half(outputs, labels):\n    return 0.5\n")
    options = (*BASELINE, "--metric", "mine:half", "--json", "--output", "out")
    arguments = [a for a in TUNE if a != "--local"]
    process = start_few_blocks(tmp_path, *arguments, *options)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    (device,) = json.loads(out)["devices"]
    assert device["accuracy"]["metric"] == "mine:half"
