"""The engine that was asked for is the engine that ran, or the trial has failed.

ONNX Runtime goes on with its CPU provider when another one does not start. Each test here makes
a provider fail for real and expects a failed trial with a reason, and no CPU measurement.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from pathlib import Path

import pytest
from onnx import ModelProto

from farm.candidate import Candidate, OnnxRuntimeCpu, OpenVino
from farm.measurement import Metric, Outcome
from farm.session.spec import SessionSpec
from tests import models
from tests.openvino import require_openvino
from tests.workers import samples
from workers.jobs import TrialReport
from workers.trials.children import Children, Loading
from workers.trials.process import ChildError
from workers.trials.worker import Worker

pytest.importorskip("onnxruntime_ep_openvino")


def trial(worker: Worker, proto: ModelProto, engine: OpenVino | OnnxRuntimeCpu) -> TrialReport:
    worker.prepare(samples.workload(proto))
    return worker.run_trial(samples.job(Candidate(engine)))


def assert_failed(report: TrialReport, reason: str) -> None:
    assert report.outcome is Outcome.RUN_ERROR
    assert reason in report.message
    assert report.measurements == (), "a failed trial has no latency"
    assert report.assignment == {}


class TestTrials:
    def test_operators_that_the_provider_refuses_are_named(self, worker):
        require_openvino()
        report = trial(worker, samples.det_net(), OpenVino())
        assert_failed(
            report,
            "OpenVINOExecutionProvider did not take 1 of 3 operators: Det determinant.",
        )

    def test_a_mix_that_was_asked_for_is_recorded(self, worker):
        require_openvino()
        report = trial(worker, samples.det_net(), OpenVino(cpu_operators=True))
        assert report.outcome is Outcome.OK, report.message
        assert report.assignment == {"OpenVINOExecutionProvider": 2, "CPUExecutionProvider": 1}

    def test_even_a_mix_needs_the_provider_to_take_something(self, worker):
        require_openvino()
        report = trial(worker, samples.only_det_net(), OpenVino(cpu_operators=True))
        assert_failed(
            report,
            "OpenVINOExecutionProvider took none of the 1 operators; they would have run on "
            "CPUExecutionProvider.",
        )

    def test_the_assignment_of_an_honest_engine_is_whole(self, worker):
        require_openvino()
        report = trial(worker, models.mlp(), OpenVino())
        assert report.outcome is Outcome.OK, report.message
        assert set(report.assignment) == {"OpenVINOExecutionProvider"}
        assert Metric.LATENCY in {m.metric for m in report.measurements}

    def test_a_provider_that_is_not_installed(self, worker, tmp_path, monkeypatch):
        shadow(tmp_path, monkeypatch, "raise ImportError")
        report = trial(worker, models.mlp(), OpenVino())
        assert_failed(
            report,
            "OpenVINOExecutionProvider needs the Python package onnxruntime_ep_openvino, which "
            "is not installed: pip install onnxruntime-ep-openvino.",
        )

    def test_a_provider_whose_library_is_missing(self, worker, tmp_path, monkeypatch):
        shadow(tmp_path, monkeypatch, "def get_library_path(): return '/nowhere/lib.so'")
        assert_failed(trial(worker, models.mlp(), OpenVino()), "/nowhere/lib.so")

    def test_a_provider_whose_library_is_broken(self, worker, tmp_path, monkeypatch):
        shadow(tmp_path, monkeypatch, "def get_library_path(): return __file__")
        report = trial(worker, models.mlp(), OpenVino())
        assert_failed(report, "onnxruntime_ep_openvino.py")

    def test_a_provider_that_crashes_as_it_starts(self, worker, tmp_path, monkeypatch):
        shadow(tmp_path, monkeypatch, "import os\nos.kill(os.getpid(), 11)")
        report = trial(worker, models.mlp(), OpenVino())
        assert_failed(report, "the child ended by SIGSEGV in 'load'.")

    def test_the_next_trial_is_not_affected(self, worker, tmp_path, monkeypatch):
        require_openvino()
        with monkeypatch.context() as patch:
            shadow(tmp_path, patch, "raise ImportError")
            trial(worker, models.mlp(), OpenVino())
        report = worker.run_trial(samples.job(Candidate(OpenVino()), "again"))
        assert report.outcome is Outcome.OK, report.message

    def test_a_device_that_admits_to_the_wrong_engine(self, fake_worker):
        report = fake_worker.run_trial(samples.fake(fault="wrong-engine"))
        assert_failed(report, "the fake provider did not take 1 of 1 operators: Fake.")


class TestSessions:
    """Sessions that no candidate asks for today, but a device profile may tomorrow."""

    @pytest.mark.parametrize(
        ("spec", "reason"),
        [
            (
                SessionSpec("CUDAExecutionProvider"),
                "CUDAExecutionProvider is not in this build of ONNX Runtime, which has ",
            ),
            (
                SessionSpec("OpenVINOExecutionProvider"),
                "OpenVINOExecutionProvider is not in this build of ONNX Runtime",
            ),
            (
                SessionSpec("CUDAExecutionProvider", plugin="onnxruntime_ep_openvino"),
                "CUDAExecutionProvider found no device on this machine.",
            ),
            (
                SessionSpec(
                    "OpenVINOExecutionProvider",
                    plugin="onnxruntime_ep_openvino",
                    provider_options={"load_config": "{"},
                ),
                "Error creating execution provider: JSON parsing error",
            ),
            (
                SessionSpec(
                    "OpenVINOExecutionProvider",
                    plugin="onnxruntime_ep_openvino",
                    provider_options={
                        "load_config": '{"CPU": {"INFERENCE_PRECISION_HINT": "f4"}}'
                    },
                    allow_cpu_fallback=True,
                ),
                "Wrong value f4 for property key INFERENCE_PRECISION_HINT.",
            ),
        ],
        ids=["not-in-this-build", "not-registered", "no-device", "bad-option", "bad-value"],
    )
    def test_what_cannot_start_is_an_error_with_its_cause(self, tmp_path, spec, reason):
        if spec.provider_options:
            require_openvino()
        model = models.save(models.mlp(), tmp_path)
        inputs = tmp_path / "inputs.npz"
        inputs.write_bytes(next(iter(samples.workload(models.mlp()).parts.values())))
        children = Children("")
        try:
            with pytest.raises(ChildError) as caught:
                children.load(
                    "x",
                    Loading("onnxruntime", asdict(spec), str(model), str(inputs)),
                    samples.LIMITS,
                )
        finally:
            children.close()
        assert caught.value.outcome is Outcome.RUN_ERROR
        assert reason in caught.value.message


def shadow(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Give children another package in place of the OpenVINO plugin."""
    (folder / "onnxruntime_ep_openvino.py").write_text(textwrap.dedent(source))
    monkeypatch.setenv("PYTHONPATH", str(folder))
