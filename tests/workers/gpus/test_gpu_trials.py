"""Trials on a GPU, from the candidate to its measurements.

Both NVML and CUDA's provider are stand-ins, so that no number here is one of a GPU: what is tested
is what becomes of what they say.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from farm.artifact.folder import PIPELINE_FILE
from farm.candidate import (
    Candidate,
    FloatType,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeTensorRt,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.delivery.pipeline import sessions_of, write_pipeline
from farm.devices.profile import load_profiles
from farm.measurement import Method, Metric, Outcome
from farm.model.model import load_model
from tests import models
from tests.farm.compile import graphs
from tests.nvidia import cpu_as_gpu
from tests.nvidia.pretended import PretendedGpus
from tests.workers import samples
from tests.workers.conftest import MakeWorker
from workers.gpus.numbers import delivered_numbers, delivered_variables
from workers.jobs import BlockJob, DetailJob, ProfileJob
from workers.meters.disturbance import MachineReading
from workers.nvidia.meter import GpuEnergyCounter
from workers.trials.worker import Worker

PROFILES = load_profiles()
GPU = PROFILES["gpu"]
FRONT = ("stem", "norm", "stem_relu")
BACK = ("body", "join", "join_relu", "pool", "flat", "head")


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
    assert found[Metric.DEVICE_CLOCK].value == 1980e6
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
        (
            cpu_as_gpu.FAILS,
            "[GPU] Exceeded max size of memory object allocation: requested 25600122880 bytes",
            Outcome.OUT_OF_MEMORY,
            "requested 25600122880 bytes",
        ),
        (
            cpu_as_gpu.FAILS,
            "Requested amount of GPU memory (4294967296 bytes) could not be allocated.",
            Outcome.OUT_OF_MEMORY,
            "could not be allocated",
        ),
        (
            cpu_as_gpu.FAILS,
            "Error Code 2: OutOfMemory (Requested size was 3450470400 bytes.)",
            Outcome.OUT_OF_MEMORY,
            "Requested size was 3450470400 bytes",
        ),
        (
            cpu_as_gpu.FAILS,
            "Buffer size (4294967296) exceeds the max buffer size limit (1073741824).",
            Outcome.OUT_OF_MEMORY,
            "Buffer size (4294967296)",
        ),
        (
            cpu_as_gpu.FAILS,
            "vkAllocateMemory failed with VK_ERROR_OUT_OF_DEVICE_MEMORY",
            Outcome.OUT_OF_MEMORY,
            "VK_ERROR_OUT_OF_DEVICE_MEMORY",
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
    assert slowed.disturbed.startswith("the GPU was slowed down by heat ")


def test_a_state_that_lasts_is_no_disturbance(gpus, gpu_worker, monkeypatch):
    monkeypatch.setattr(MachineReading, "disturbed_since", lambda self, before: "")
    job = samples.job(Candidate(OnnxRuntimeCuda()))
    told = []
    for bits in (0x04, 0x04, 0x40, 0x40, 0x01, 0x40):
        gpus.tell(gpus=[{"violations": None, "reasons": bits}])
        report = gpu_worker.run_block(BlockJob((job,)))
        told.append((bool(report.disturbed), report.lasts))
    first, again, none = (True, False), (True, True), (False, False)
    assert told == [first, again, first, again, none, first]
    how = "in one block after the other: that is how it runs here, and such blocks were kept."
    assert gpu_worker.take_remarks() == (
        f"The GPU was slowed down by its power limit {how}",
        f"The GPU was slowed down by heat {how}",
    )
    assert gpu_worker.take_remarks() == ()
    monkeypatch.setattr(MachineReading, "disturbed_since", lambda self, before: "steal")
    assert not gpu_worker.run_block(BlockJob((job,))).lasts, "another program ran, too"


@pytest.mark.slow
def test_energy_is_that_of_the_gpus_counter(gpu_worker):
    job = samples.job(Candidate(OnnxRuntimeCuda()))
    assert gpu_worker.run_trial(job).outcome is Outcome.OK
    found = {m.metric: m for m in gpu_worker.run_detail(DetailJob(job, 20, 0.1)).measurements}
    assert found[Metric.ENERGY].method is Method.MEASURED
    assert found[Metric.ENERGY].value > 0.0
    assert found[Metric.ENERGY_WINDOW].value >= 5.0
    assert found[Metric.IDLE_POWER].value == pytest.approx(40.0, rel=0.2)


def test_energy_by_block(gpu_worker, monkeypatch):
    monkeypatch.setattr(GpuEnergyCounter, "least_seconds", 0.4)
    jobs = tuple(
        replace(
            samples.job(Candidate(OnnxRuntimeCuda(cuda_graph=graph)), name), counts_energy=True
        )
        for name, graph in (("a", False), ("b", True))
    )
    told = gpu_worker.run_block(BlockJob(jobs, counts_energy=True)).energies
    assert told.keys() == {"a", "b"}
    assert len({each.idle_watts for each in told.values()}) == 1
    assert all(each.window_seconds >= 0.4 for each in told.values())


def test_single_runs_of_a_gpu_that_was_slowed_down_are_measured_again(gpus, gpu_worker):
    job = samples.job(Candidate(OnnxRuntimeCuda()))
    assert gpu_worker.run_trial(job).outcome is Outcome.OK
    gpus.tell(gpus=[{"energy": False}])
    child = gpu_worker._children.of_trial("t")
    asked, single_runs = [], child.single_runs

    def slowed_but_the_third_time(count: int, seconds: float) -> list[float]:
        asked.append(count)
        hot = len(asked) - (len(asked) == 3)
        gpus.tell(gpus=[{"violations": {"1": hot * 10**10}, "energy": False}])
        return single_runs(count, seconds)

    child.single_runs = slowed_but_the_third_time
    assert gpu_worker.run_detail(DetailJob(job, 20, 0.1)).notes == ()
    assert len(asked) == 3
    (note,) = gpu_worker.run_detail(DetailJob(job, 20, 0.1)).notes
    assert note.startswith("Single runs were measured while the GPU was slowed down by heat ")


@pytest.mark.parametrize("told", [False, 2])  # 2: when it is looked for and begun, and no more
def test_without_a_counter_there_is_no_energy(gpus, gpu_worker, told):
    gpus.tell(gpus=[{"energy": told}])
    job = samples.job(Candidate(OnnxRuntimeCuda()))
    assert gpu_worker.run_trial(job).outcome is Outcome.OK
    report = gpu_worker.run_detail(DetailJob(job, 20, 0.1))
    found = {m.metric for m in report.measurements}
    assert Metric.THROUGHPUT in found
    assert Metric.ENERGY not in found
    stopped = "The energy was not counted: the NVIDIA driver no longer tells of the GPU's energy."
    assert report.notes == ((stopped,) if told else ())


def test_what_trials_are_recorded_with(gpu_worker):
    software = gpu_worker.describe().software
    assert software["nvidia gpu"] == "NVIDIA Stand-in"
    assert software["onnxruntime-cuda: environment"].startswith("stand-in ")


def test_what_each_kernel_takes_one_after_the_other(gpu_worker, tmp_path):
    candidate = Candidate(OnnxRuntimeCuda(cuda_graph=True))
    rows = gpu_worker.run_profile(ProfileJob(samples.job(candidate), 0.05))
    assert {name for row in rows for name in row.operators} >= {"first", "second"}
    assert all(row.seconds is not None for row in rows)


def test_of_tensorrt_one_kernel_is_all(gpu_worker):
    with pytest.raises(Exception, match="runs the model as one kernel"):
        gpu_worker.run_profile(ProfileJob(samples.job(Candidate(OnnxRuntimeTensorRt())), 0.05))


class TestSplit:
    """The first half of a model on the processor, the rest on the GPU."""

    @pytest.fixture(params=["cpu", "gpu"])
    def either(self, request, gpus, tmp_path) -> Iterator[Worker]:
        """A worker of either device, which knows the other one."""
        gpus.install()
        yield from self.made(request.param, tmp_path)

    @pytest.fixture
    def worker(self, gpus, tmp_path) -> Iterator[Worker]:
        gpus.install()
        yield from self.made("cpu", tmp_path)

    def made(self, device: str, folder: Path) -> Iterator[Worker]:
        worker = Worker(PROFILES[device], folder / "cache", PROFILES)
        worker.prepare(samples.workload(graphs.residual_net()))
        yield worker
        worker.close()

    def candidate(
        self, engine: OnnxRuntimeCuda | OnnxRuntimeTensorRt | None = None, **more: object
    ) -> Candidate:
        parts = (
            PipelinePart("cpu", OnnxRuntimeCpu(threads=1), FRONT),
            PipelinePart("gpu", engine or OnnxRuntimeCuda(), BACK),
        )
        return Candidate(Pipeline(parts), **more)  # type: ignore[arg-type]

    def test_it_is_tried_like_every_other(self, either):
        report = either.run_trial(samples.job(self.candidate()))
        assert report.outcome is Outcome.OK, report.message
        assert report.assignment.keys() == {
            "cpu/onnxruntime-cpu: CPUExecutionProvider",
            "gpu/onnxruntime-cuda: CUDAExecutionProvider",
        }
        assert report.split is not None
        assert [part.place for part in report.split.parts] == [
            "cpu/onnxruntime-cpu",
            "gpu/onnxruntime-cuda",
        ]
        assert report.accuracy is not None
        assert report.accuracy.value == pytest.approx(1.0)

    @pytest.mark.parametrize("overlapped", [False, True])
    def test_tensorrt(self, worker, overlapped):
        plain = self.candidate(OnnxRuntimeTensorRt(cuda_graph=True))
        engine = replace(plain.engine, overlapped=overlapped)  # type: ignore[type-var]
        report = worker.run_trial(samples.job(replace(plain, engine=engine)))
        assert report.outcome is Outcome.OK, report.message
        assert "gpu/onnxruntime-tensorrt: TensorrtExecutionProvider" in report.assignment

    def test_a_part_that_the_gpu_refuses_is_no_silent_mix(self, worker, monkeypatch):
        monkeypatch.setenv(cpu_as_gpu.REFUSES, "Gemm")
        report = worker.run_trial(samples.job(self.candidate()))
        assert report.outcome is Outcome.RUN_ERROR
        assert report.message.startswith("The part at gpu/onnxruntime-cuda cannot be loaded: CUDA")
        assert "did not take" in report.message

    def test_memory_of_the_gpu_that_ran_out_is_an_outcome(self, worker, monkeypatch):
        monkeypatch.setenv(cpu_as_gpu.FAILS, "CUDA failure 2: out of memory ; GPU=0")
        report = worker.run_trial(samples.job(self.candidate()))
        assert report.outcome is Outcome.OUT_OF_MEMORY
        assert report.message == (
            "The part at gpu/onnxruntime-cuda failed in a run: CUDA failure 2: out of memory ; "
            "GPU=0."
        )

    def test_operators_in_int8_are_not_put_on_a_gpu(self, worker):
        int8 = self.candidate(precision=Precision(quantization=StaticInt8()))
        report = worker.run_trial(samples.job(int8))
        assert report.outcome is Outcome.COMPILE_ERROR
        assert report.message == (
            "The part at gpu/onnxruntime-cuda has quantised operators, and that engine computes "
            "in floats; keep them in float, or put them elsewhere."
        )

    def test_a_block_with_a_gpu_that_was_slowed_down_is_discarded(self, gpus, worker, monkeypatch):
        monkeypatch.setattr(MachineReading, "disturbed_since", lambda self, before: "")
        job = samples.job(self.candidate())
        assert worker.run_trial(job).outcome is Outcome.OK
        gpus.tell(gpus=[{"violations": None, "reasons": 0x40}])
        told = worker.run_block(BlockJob((job,))).disturbed
        assert told.startswith("the GPU was slowed down by heat ")

    @pytest.mark.parametrize("number", [0, 1])
    def test_it_runs_as_it_is_delivered(self, worker, tmp_path, number):
        proto, candidate = graphs.residual_net(), self.candidate()
        files = worker.artifact_files(samples.job(candidate))
        folder, model = tmp_path / "delivered", load_model(models.save(proto, tmp_path))
        profiles = [PROFILES["cpu"], GPU, replace(GPU, name="other", gpu=1)]
        numbers = delivered_numbers(profiles)
        assert numbers == {"cpu": 0, "gpu": 0, "other": 1}
        variables = delivered_variables(profiles)
        assert variables == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0,1"}
        write_pipeline(
            folder,
            files,
            sessions_of(candidate, files[PIPELINE_FILE], {"gpu": number}),
            model.inputs,
            json.dumps({}),
            {},
            confirmed=True,
            variables=variables,
        )
        np.savez(tmp_path / "given.npz", image=graphs.feeds(proto, 1)[0]["image"])
        done = subprocess.run(
            [sys.executable, str(folder / "run.py"), str(tmp_path / "given.npz")],
            env=os.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.stdout, done.returncode) == ("y (1, 4) float32\n", 0), done.stderr
