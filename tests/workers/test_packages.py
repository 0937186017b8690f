"""Compiled packages as candidates: timed on the host, counted under emulation, delivered."""

from __future__ import annotations

import io
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from farm.candidate import Candidate, CPackage, CPackageEmulated, Precision, StaticInt8
from farm.codegen.build.compilers import host_targets
from farm.codegen.package.manifest import Manifest
from farm.codegen.package.record import manifest_of, read_compiled
from farm.devices.profile import DeviceProfile, load_profiles
from farm.measurement import Measurement, Method, Metric, Outcome
from tests import models
from tests.workers import samples
from tests.workers.processes import children
from tests.workers.samples import job
from workers.jobs import BlockJob, DetailJob, TrialJob, TrialReport
from workers.trials.worker import Worker

INT8 = Precision(quantization=StaticInt8())
HOST = Candidate(CPackage(), INT8)
EMULATED = Candidate(CPackageEmulated(), INT8)
DSP = load_profiles()["dsp"]


def by_metric(report: TrialReport) -> Mapping[Metric, Measurement]:
    return {m.metric: m for m in report.measurements}


def with_limits(**limits: int) -> DeviceProfile:
    assert DSP.package is not None
    return replace(DSP, package=replace(DSP.package, **limits))


def the_runner() -> int:
    """The process that runs the only package."""
    found = [each for child in children() for each in psutil.Process(child).children()]
    (runner,) = (each.pid for each in found if each.name() == "runner")
    return runner


@pytest.fixture
def dsp(make_worker) -> Worker:
    """A worker of the DSP that knows the convolutional network."""
    made = make_worker(DSP)
    made.prepare(samples.workload(samples.named_conv_net()))
    return made


@pytest.fixture
def no_emulator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A search path with nothing on it: Zig comes with Python."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("qemu-hexagon") is None


class TestHost:
    def test_is_timed_in_its_runner(self, worker):
        worker.prepare(samples.workload(samples.named_conv_net()))
        report = worker.run_trial(job(HOST))
        assert report.outcome is Outcome.OK, report.message
        found = by_metric(report)
        assert found[Metric.ACCURACY].value > 0.5
        assert found[Metric.LATENCY].method is Method.MEASURED
        assert 1e-7 < found[Metric.LATENCY].value < 1e-2
        assert 1 << 16 < found[Metric.PEAK_MEMORY].value < 64 << 20
        assert found[Metric.PEAK_MEMORY].method is Method.MEASURED
        assert found[Metric.ARENA].method is Method.PLANNED
        assert report.assignment["cpackage"] >= 4
        assert Metric.PACKETS not in found

    def test_races_and_is_measured_in_detail(self, worker):
        worker.prepare(samples.workload(samples.named_conv_net()))
        baseline = Candidate()
        members = (job(baseline, "a"), job(HOST, "b"))
        reports = [worker.run_block(BlockJob(members)) for _ in range(5)]
        assert {len(report.failures) for report in reports} == {0}
        found = [report.samples["b"] for report in reports]
        # It may wait for a busy processor, or lose its caches, which is seldom so in all blocks.
        least = min(sample.seconds for sample in found)
        assert min(s.cpu_seconds for s in found) > 0.4 * least, "its own process is counted"
        assert min(s.cpu_seconds / s.seconds for s in found) < 1.6, "it has one thread"
        details = {
            m.metric: m.value
            for m in worker.run_detail(DetailJob(members[1], seconds=0.1)).measurements
        }
        one_caller = 1.0 / details[Metric.LATENCY_P50]
        assert 0.3 * one_caller < details[Metric.THROUGHPUT] < 4 * one_caller

    def test_best_target_and_portable_give_the_same_bits(self, worker, tmp_path):
        worker.prepare(samples.workload(samples.named_conv_net()))
        best = Candidate(CPackage(target=str(host_targets()[0])), INT8)  # type: ignore[arg-type]
        accuracies = {
            by_metric(worker.run_trial(job(c, f"t{i}")))[Metric.ACCURACY].value
            for i, c in enumerate((HOST, best))
        }
        assert len(accuracies) == 1

    def test_a_runner_that_dies_ends_its_trial_only(self, worker):
        worker.prepare(samples.workload(samples.named_conv_net()))
        worker.run_trial(job(HOST))
        os.kill(the_runner(), signal.SIGSEGV)
        report = worker.run_block(BlockJob((job(HOST), job(Candidate(), "other"))))
        assert report.failures["t"].outcome is Outcome.RUN_ERROR
        assert "SIGSEGV" in report.failures["t"].message
        assert "other" in report.samples

    def test_a_runner_that_is_killed_from_outside_is_no_fault_of_its_trial(self, worker):
        worker.prepare(samples.workload(samples.named_conv_net()))
        worker.run_trial(job(HOST))
        os.kill(the_runner(), signal.SIGKILL)
        report = worker.run_block(BlockJob((job(HOST),)))
        assert report.failures == {}
        assert "t" in report.samples

    def test_what_the_generator_does_not_support_is_a_compile_error(self, worker):
        worker.prepare(samples.workload(models.rnn_net()))
        report = worker.run_trial(job(Candidate(CPackage())))
        assert report.outcome is Outcome.COMPILE_ERROR
        assert "does not support operator 'rnn' (RNN)" in report.message


class TestEmulated:
    def test_packets_are_counted_and_the_rest_follows(self, emulator, dsp):
        report = dsp.run_trial(job(EMULATED))
        assert report.outcome is Outcome.OK, report.message
        found = by_metric(report)
        packets = found[Metric.PACKETS]
        assert packets.method is Method.EMULATED
        assert 1_000 < packets.value < 1_000_000
        assert found[Metric.VECTOR_INSTRUCTIONS].value > 0
        assert found[Metric.LATENCY].method is Method.MODELLED
        assert DSP.package is not None
        seconds = DSP.package.seconds(int(packets.value))
        assert found[Metric.LATENCY].value == pytest.approx(seconds, rel=1e-3)
        assert found[Metric.PEAK_MEMORY].method is Method.PLANNED
        assert found[Metric.PEAK_MEMORY].value > found[Metric.ARENA].value

    def test_every_block_is_alike(self, emulator, dsp):
        members = (job(EMULATED, "a"), job(Candidate(CPackageEmulated()), "b"))
        reports = [dsp.run_block(BlockJob(members, restart=i == 2)) for i in range(3)]
        for trial in "ab":
            assert len({r.samples[trial].seconds for r in reports}) == 1
            assert len({r.peaks[trial] for r in reports}) == 1
        assert not any(r.disturbed for r in reports)

    def test_detail_is_modelled(self, emulator, dsp):
        latency = by_metric(dsp.run_trial(job(EMULATED)))[Metric.LATENCY].value
        (throughput,) = dsp.run_detail(DetailJob(job(EMULATED))).measurements
        assert throughput.method is Method.MODELLED
        assert throughput.value == pytest.approx(1 / latency, rel=1e-3)

    def test_without_the_emulator_packets_are_modelled(self, no_emulator, dsp):
        report = dsp.run_trial(job(EMULATED))
        assert report.outcome is Outcome.OK, report.message
        found = by_metric(report)
        assert found[Metric.PACKETS].method is Method.MODELLED
        assert found[Metric.ACCURACY].value > 0.5, "by the same code on the host"
        assert found[Metric.LATENCY].method is Method.MODELLED

    def test_a_limit_rejects_with_a_sentence_and_what_was_measured(self, make_worker):
        before = children()
        small = make_worker(with_limits(arena_bytes=4096))
        small.prepare(samples.workload(samples.named_conv_net()))
        report = small.run_trial(job(EMULATED))
        assert report.outcome is Outcome.REJECTED
        assert (
            "bytes more than the device's 4.00 KiB; most is needed at operator" in report.message
        )
        assert by_metric(report)[Metric.ACCURACY].value > 0.5
        assert report.artifact_key
        assert len(children() - before) == 1, "only the compiler lives on"

    def test_facts_name_the_engines(self, dsp, worker):
        assert dsp.describe().packages == (CPackageEmulated(),)
        assert {e.kind for e in worker.describe().packages} == {"cpackage"}


class TestDelivery:
    def manifest(self, worker: Worker, compiled: TrialJob, folder: Path, vectors: int) -> Manifest:
        folder.mkdir()
        for name, content in worker.artifact_files(compiled).items():
            (folder / name).write_bytes(content)
        return manifest_of(
            read_compiled(folder),
            model_sha256="0" * 64,
            profile="dsp",
            precision="int8",
            packets=None,
            accuracy=None,
            vectors=vectors,
        )

    def test_a_package_is_completed(self, emulator, dsp, tmp_path):
        manifest = self.manifest(dsp, job(EMULATED), tmp_path / "a", vectors=20)
        files = dsp.complete_package(job(EMULATED), manifest)
        assert {"model.c", "Makefile", "README.md", "libmodel.a", "model.elf"} <= files.keys()
        assert "kernels/common.h" in files
        assert "runtime/runner.c" in files
        assert not {"runner", "artifact.json", "package.json"} & files.keys()
        bytes_in = 4 * 3 * 16 * 16
        requests = files["test_vectors/requests.bin"]
        assert len(requests) == 20 * (1 + bytes_in) + 1, "18 samples, and made-up ones"
        given = samples.workload(samples.named_conv_net()).parts
        (first,) = np.load(io.BytesIO(given["confirmation"])).values()
        assert requests[1 : 1 + bytes_in] == first[0].tobytes()
        assert dsp.complete_package(job(EMULATED), manifest) == files, "the same every time"
