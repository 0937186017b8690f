"""Trials on a GPU, from the candidate to its measurements.

Both NVML and CUDA's provider are stand-ins, so that no number here is one of a GPU: what is tested
is what becomes of what they say.
"""

from __future__ import annotations

import pytest

from farm.candidate import Candidate, FloatType, OnnxRuntimeCuda, OnnxRuntimeTensorRt, Precision
from farm.devices.profile import load_profiles
from farm.measurement import Method, Metric, Outcome
from tests import models
from tests.nvidia import cpu_as_gpu
from tests.nvidia.pretended import PretendedGpus
from tests.workers import samples
from tests.workers.conftest import MakeWorker
from workers.jobs import BlockJob, DetailJob
from workers.meters.disturbance import MachineReading
from workers.trials.worker import Worker

GPU = load_profiles()["gpu"]


@pytest.fixture
def gpu_worker(gpus: PretendedGpus, make_worker: MakeWorker) -> Worker:
    gpus.install()
    worker = make_worker(GPU)
    worker.prepare(samples.workload(models.mlp()))
    return worker


def test_what_is_measured(gpu_worker):
    report = gpu_worker.run_trial(samples.job(Candidate(OnnxRuntimeCuda())))
    assert report.outcome is Outcome.OK, report.message
    found = {each.metric: each for each in report.measurements}
    assert found[Metric.DEVICE_MEMORY].value == 300 << 20
    assert found[Metric.WITH_TRANSFERS].value > 0.0
    assert found[Metric.LATENCY].method is Method.MEASURED
    assert set(report.assignment) == {"CUDAExecutionProvider"}
    assert report.accuracy is not None
    assert report.accuracy.value == 1.0


def test_memory_where_the_driver_sees_no_single_processes(gpus, gpu_worker):
    """As in a container with process ids of its own; the stand-in's use grows by 7 MiB a look."""
    gpus.tell(gpus=[{"used": None, "grows": 7 << 20}])
    report = gpu_worker.run_trial(samples.job(Candidate(OnnxRuntimeCuda())))
    assert report.outcome is Outcome.OK, report.message
    found = {each.metric: each.value for each in report.measurements}
    assert found[Metric.DEVICE_MEMORY] > 0
    assert found[Metric.DEVICE_MEMORY] % (7 << 20) == 0
    assert any("does not tell here what single processes have" in note for note in report.notes)


def test_on_the_host_there_is_neither(worker):
    worker.prepare(samples.workload(models.mlp()))
    report = worker.run_trial(samples.job(Candidate()))
    metrics = {each.metric for each in report.measurements}
    assert not metrics & {Metric.WITH_TRANSFERS, Metric.DEVICE_MEMORY}


@pytest.mark.parametrize(
    "candidate",
    [
        Candidate(OnnxRuntimeCuda(), Precision(FloatType.FLOAT16)),
        Candidate(OnnxRuntimeTensorRt(cuda_graph=True)),
        Candidate(OnnxRuntimeCuda(layout="nhwc", cuda_graph=True), batch=2),
    ],
    ids=lambda candidate: candidate.label(),
)
def test_candidates_of_other_kinds(gpu_worker, candidate):
    report = gpu_worker.run_trial(samples.job(candidate))
    assert report.outcome is Outcome.OK, report.message


@pytest.mark.parametrize(
    ("variable", "value", "outcome", "message"),
    [
        (
            cpu_as_gpu.REFUSES,
            "*",
            Outcome.RUN_ERROR,
            "CUDAExecutionProvider took none of the",
        ),
        (
            cpu_as_gpu.FAILS,
            "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);",
            Outcome.OUT_OF_MEMORY,
            "CUDA failure 2: out of memory",
        ),
        (
            cpu_as_gpu.FAILS,
            "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer",
            Outcome.OUT_OF_MEMORY,
            "Failed to allocate memory",
        ),
    ],
)
def test_what_fails(gpu_worker, monkeypatch, variable, value, outcome, message):
    monkeypatch.setenv(variable, value)
    report = gpu_worker.run_trial(samples.job(Candidate(OnnxRuntimeCuda())))
    assert report.outcome is outcome
    assert message in report.message
    assert report.measurements == ()


def test_a_driver_that_is_gone_by_then(gpus, gpu_worker):
    gpus.tell(init=9)
    report = gpu_worker.run_trial(samples.job(Candidate(OnnxRuntimeCuda())))
    assert report.outcome is Outcome.RUN_ERROR
    assert report.message.startswith("No NVIDIA GPU can be used: the NVIDIA driver is not there")


def test_a_block_on_a_gpu_that_was_slowed_down_is_discarded(gpus, gpu_worker, monkeypatch):
    monkeypatch.setattr(MachineReading, "disturbed_since", lambda self, before: "")
    job = samples.job(Candidate(OnnxRuntimeCuda()))
    assert gpu_worker.run_trial(job).outcome is Outcome.OK
    gpus.tell(gpus=[{"violations": None}])
    assert gpu_worker.run_block(BlockJob((job,))).disturbed == ""
    gpus.tell(gpus=[{"violations": None, "reasons": 0x40}])
    slowed = gpu_worker.run_block(BlockJob((job,)))
    assert slowed.samples.keys() == {"t"}
    assert slowed.disturbed == "the GPU was slowed down by heat at its end"


@pytest.mark.slow
def test_energy_is_that_of_the_gpus_counter(gpu_worker):
    job = samples.job(Candidate(OnnxRuntimeCuda()))
    assert gpu_worker.run_trial(job).outcome is Outcome.OK
    found = {m.metric: m for m in gpu_worker.run_detail(DetailJob(job, 20, 0.1))}
    assert found[Metric.ENERGY].method is Method.MEASURED
    assert found[Metric.ENERGY].value > 0.0
    assert found[Metric.ENERGY_WINDOW].value >= 5.0
    assert found[Metric.IDLE_POWER].value == pytest.approx(40.0, rel=0.2)


def test_without_a_counter_there_is_no_energy(gpus, gpu_worker):
    gpus.tell(gpus=[{"energy": False}])
    job = samples.job(Candidate(OnnxRuntimeCuda()))
    assert gpu_worker.run_trial(job).outcome is Outcome.OK
    found = {m.metric for m in gpu_worker.run_detail(DetailJob(job, 20, 0.1))}
    assert Metric.THROUGHPUT in found
    assert Metric.ENERGY not in found


def test_what_trials_are_recorded_with(gpu_worker):
    software = gpu_worker.describe().software
    assert software["nvidia gpu"] == "NVIDIA Stand-in"
    assert software["onnxruntime-cuda: environment"].startswith("stand-in ")
