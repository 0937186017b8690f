"""A limit of threads, from the option to the delivered folder."""

from __future__ import annotations

import json
import os

import pytest

from db.reader import StoreReader
from farm.candidate import ThreadedEngine, from_json
from tests.tools.command import Command

TUNE = ("tune", "model.onnx", "--data", "data.npz", "--local")
NOTE = "Every candidate has at most 1 thread, the baseline has 1 thread."


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_a_run_with_one_thread(farm: Command) -> None:
    # Of six trials some are of engines that have sessions, whose threads can be looked at.
    bounds = ("--trials", "6", "--budget", "10m")
    ended = farm(*TUNE, *bounds, "--threads", "1", "--output", "out", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    (cpu,) = found["devices"]
    assert found["threads"] == 1
    assert NOTE in cpu["notes"]
    assert cpu["baseline"]["label"] == "onnxruntime-cpu 1 thread float32"
    with StoreReader.open(str(farm.store)) as reader:
        tried = [from_json(reader.candidate(t.candidate_id).json) for t in reader.trials()]
    threads = [c.engine.threads for c in tried if isinstance(c.engine, ThreadedEngine)]
    assert len(threads) >= 2
    assert set(threads) == {1}
    delivered = farm.folder / "out" / "cpu"
    if (delivered / "session.json").exists():  # a package has no threads
        session = json.loads((delivered / "session.json").read_text())
        assert session["intra_op_num_threads"] == 1
    assert json.loads((delivered / "provenance.json").read_text())["request"]["threads"] == 1
    assert NOTE in farm("tune", "--resume", found["run"], "--local").out.replace("\n", " ")
    assert "--threads cannot be given with --resume" in farm.refused(
        "tune", "--resume", found["run"], "--threads", "1"
    )
    trial = cpu["baseline"]["trial"]
    assert "A trial has its own threads" in farm.refused(
        "bench", "--trial", trial, "--threads", "1"
    )


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_the_baseline_is_measured_with_as_many_threads(farm: Command) -> None:
    ended = farm("bench", "model.onnx", "--threads", "1", "--json")
    assert ended.code == 0, ended.err
    found = json.loads(ended.out)
    assert found["candidate"]["engine"]["threads"] == found["threads"] == 1
    assert NOTE in found["notes"]


@pytest.mark.parametrize("command", ["tune", "bench"])
def test_limits_that_cannot_be(farm: Command, command: str) -> None:
    for threads in (0, -1):
        assert farm.refused(command, "model.onnx", "--threads", threads) == (
            f"--threads must be 1 or more, got {threads}."
        )
    most = len(os.sched_getaffinity(0))
    for threads in (most + 1, 1 << 70):
        told = farm.refused(command, "model.onnx", "--threads", threads)
        assert told.startswith("--threads must not be above the ")
        assert told.endswith(f" of this machine, got {threads}.")
    assert not farm.store.exists()


def test_a_candidate_that_does_not_keep_to_it(farm: Command) -> None:
    (farm.folder / "candidate.json").write_text('{"engine": {"kind": "onnxruntime-cpu"}}')
    options = ("--candidate", "candidate.json", "--threads", "1")
    assert farm.refused("bench", "model.onnx", *options) == (
        "The candidate's engine onnxruntime-cpu has no limit of threads, and --threads allows 1. "
        "Change its `threads`, or leave out --threads."
    )
