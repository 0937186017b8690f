"""Pipelines as candidates: tried, measured in blocks and in detail, delivered as files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from farm.artifact.folder import PIPELINE_FILE
from farm.candidate import (
    Candidate,
    CPackageEmulated,
    FloatType,
    OnnxRuntimeCpu,
    OpenVinoRuntime,
    PartEngine,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.delivery.pipeline import sessions_of, write_pipeline
from farm.devices.profile import DeviceProfile, load_profiles
from farm.errors import CompileError
from farm.measurement import Measurement, Method, Metric, Outcome
from farm.model.model import load_model
from tests import models
from tests.farm.compile import graphs
from tests.workers import samples
from tests.workers.samples import job
from workers.jobs import BlockJob, DetailJob, ProfileJob, TrialReport
from workers.trials.worker import Worker

PROFILES = load_profiles()
ORT, EMULATED = OnnxRuntimeCpu(threads=1), CPackageEmulated()
INT8 = Precision(quantization=StaticInt8())
FRONT = ("stem", "norm", "stem_relu")
BACK = ("body", "join", "join_relu", "pool", "flat", "head")


def halves(
    first: PartEngine, second: PartEngine, device: str = "cpu", *, overlapped: bool = False
) -> Pipeline:
    """device: of the first half."""
    parts = (PipelinePart(device, first, FRONT), PipelinePart("cpu", second, BACK))
    return Pipeline(parts, overlapped=overlapped)


TWO = Candidate(halves(ORT, ORT))
MIXED = Candidate(halves(EMULATED, ORT, "dsp"), INT8)


def by_metric(report: TrialReport) -> dict[Metric, Measurement]:
    return {m.metric: m for m in report.measurements}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all: what one test compiled, another one need not."""
    return tmp_path_factory.mktemp("cache")


@contextmanager
def working(cache: Path, **others: DeviceProfile) -> Iterator[Worker]:
    """A worker of the cpu device that knows others, and the residual network."""
    made = Worker(samples.cpu_profile(), cache, others)
    try:
        made.prepare(samples.workload(graphs.residual_net()))
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def pipelines(cache: Path) -> Iterator[Worker]:
    """A worker that knows all profiles."""
    with working(cache, **PROFILES) as made:
        yield made


def test_is_tried_and_races_like_every_other(pipelines):
    report = pipelines.run_trial(job(TWO, "two"))
    assert report.outcome is Outcome.OK, report.message
    found = by_metric(report)
    assert found[Metric.ACCURACY].value == pytest.approx(1.0)
    assert {m.method for m in found.values()} == {Method.MEASURED, Method.PLANNED}
    assert Metric.CPU_SECONDS in found
    assert report.split is not None
    assert all(part.seconds > 0 for part in report.split.parts)
    block = pipelines.run_block(BlockJob((job(TWO, "two"), job(Candidate(ORT), "whole"))))
    assert set(block.samples) == {"two", "whole"}
    details = {
        m.metric for m in pipelines.run_detail(DetailJob(job(TWO, "two"), 20, 0.1)).measurements
    }
    assert details >= {Metric.LATENCY_P50, Metric.THROUGHPUT}
    with pytest.raises(CompileError) as caught:
        pipelines.run_profile(ProfileJob(job(TWO, "two")))
    assert "are not timed: they are of several engines" in str(caught.value)


def test_with_an_emulated_part_is_modelled_as_a_whole(pipelines):
    report = pipelines.run_trial(job(MIXED))
    assert report.outcome is Outcome.OK, report.message
    found = by_metric(report)
    assert found[Metric.LATENCY].method is Method.MODELLED
    assert not {Metric.CPU_SECONDS, Metric.FIRST_RESULT, Metric.PACKETS} & set(found)
    assert report.split is not None
    assert [part.method for part in report.split.parts] == ["modelled", "measured"]
    assert report.split.parts[0].packets > 100
    (rate,) = pipelines.run_detail(DetailJob(job(MIXED), 20, 0.1)).measurements
    assert (rate.metric, rate.method) == (Metric.THROUGHPUT, Method.MODELLED)
    block = pipelines.run_block(BlockJob((job(MIXED),)))
    assert block.samples["t"].seconds > report.split.parts[0].seconds


def test_overlapped_has_several_samples_under_way(pipelines):
    report = pipelines.run_trial(job(Candidate(halves(ORT, ORT, overlapped=True))))
    assert report.outcome is Outcome.OK, report.message
    found = by_metric(report)
    assert found[Metric.LATENCY].method is Method.MEASURED
    assert found[Metric.CPU_SECONDS].value > 0, "its processes are counted"


_WRONG = {
    "A part of the pipeline is at device 'moon', which this worker does not know; it knows ": (
        Candidate(halves(ORT, ORT, "moon"))
    ),
    "Device dsp has no engine 'onnxruntime-cpu', which a part of the pipeline asks for; it has ": (
        Candidate(halves(ORT, ORT, "dsp"))
    ),
    "An overlapped pipeline has no emulated part like that at dsp/cpackage-emulated: how long ": (
        Candidate(halves(EMULATED, ORT, "dsp", overlapped=True))
    ),
    "A pipeline with a part at cpu/openvino-runtime does not compute in float16: its operators ": (
        Candidate(halves(ORT, OpenVinoRuntime()), Precision(FloatType.FLOAT16))
    ),
    "No part of the pipeline has 'body', 'join', 'join_relu', 'pool', 'flat' and 1 more; every ": (
        Candidate(Pipeline((PipelinePart("cpu", ORT, FRONT),)))
    ),
}


@pytest.mark.parametrize("message", _WRONG)
def test_what_cannot_be_compiled_says_why(pipelines, message):
    report = pipelines.run_trial(job(_WRONG[message]))
    assert report.outcome is Outcome.COMPILE_ERROR
    assert report.message.startswith(message)


def test_a_part_that_breaks_a_limit_of_its_device_is_rejected(cache):
    figures = PROFILES["dsp"].package
    assert figures is not None
    small = replace(PROFILES["dsp"], package=replace(figures, arena_bytes=128))
    with working(cache, dsp=small) as worker:
        report = worker.run_trial(job(MIXED))
    assert report.outcome is Outcome.REJECTED
    assert report.message.startswith("The part at dsp/cpackage-emulated: Its arena and scratch ")


def test_an_interpreter_of_a_part_is_that_of_its_device(cache):
    other = replace(PROFILES["cpu"], name="other", interpreter=sys.executable)
    with working(cache, other=other) as worker:
        report = worker.run_trial(job(Candidate(halves(ORT, ORT, "other"))))
    assert report.outcome is Outcome.OK, report.message
    assert report.assignment == {
        "other/onnxruntime-cpu: CPUExecutionProvider": 2,
        "cpu/onnxruntime-cpu: CPUExecutionProvider": 6,
    }
    assert report.split is not None
    assert report.split.transfer_seconds > 1e-6


@pytest.mark.parametrize("candidate", [Candidate(halves(ORT, OpenVinoRuntime())), MIXED])
def test_runs_as_it_is_delivered(pipelines, tmp_path: Path, candidate: Candidate):
    files = pipelines.artifact_files(job(candidate))
    assert {PIPELINE_FILE, "part-2/model.onnx"} <= set(files)
    model = load_model(models.save(graphs.residual_net(), tmp_path))
    folder = tmp_path / "delivered"
    write_pipeline(
        folder,
        files,
        sessions_of(candidate, files[PIPELINE_FILE]),
        model.inputs,
        json.dumps({}),
        {},
        confirmed=True,
    )
    given = tmp_path / "given.npz"
    np.savez(given, image=graphs.feeds(graphs.residual_net(), 1)[0]["image"])
    done = subprocess.run(
        [sys.executable, "-I", str(folder / "run.py"), str(given)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout, done.returncode) == ("y (1, 4) float32\n", 0), done.stderr
    told = "part-1 was made for hexagon-v67-hvx; here its code for this machine runs.\n"
    assert done.stderr == (told if candidate is MIXED else "")
