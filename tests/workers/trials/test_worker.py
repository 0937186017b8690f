"""A worker with real models and engines: trials, blocks, details, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import psutil
import pytest
from onnx.helper import make_node

from farm.candidate import (
    Candidate,
    DynamicInt8,
    FloatType,
    GraphLevel,
    OnnxRuntimeCpu,
    OpenVino,
    OpenVinoRuntime,
    Precision,
    StaticInt8,
)
from farm.errors import InfrastructureError
from farm.measurement import Measurement, Method, Metric, Outcome
from tests import models
from tests.openvino import require_openvino
from tests.workers import samples
from tests.workers.processes import children, small_disk, wait_until
from tests.workers.samples import fake, job
from workers.jobs import BlockJob, DetailJob, Limits, Part, TrialReport
from workers.trials.worker import Worker

BASELINE = Candidate(OnnxRuntimeCpu())
INT8 = Candidate(OnnxRuntimeCpu(threads=1), Precision(quantization=StaticInt8()))


def by_metric(report: TrialReport) -> dict[Metric, Measurement]:
    return {m.metric: m for m in report.measurements}


def clipped_doubles():
    """In float64 ONNX Runtime fails where it fuses Relu with the Clip behind it."""
    double = onnx.TensorProto.DOUBLE
    nodes = [
        make_node("MatMul", ["x", "w"], ["a"], name="product"),
        make_node("Relu", ["a"], ["r"], name="relu"),
        make_node("Clip", ["r", "low", "high"], ["y"], name="clip"),
    ]
    stored = {"w": np.eye(8), "low": np.array(-1.0), "high": np.array(1.0)}
    ends = [models.value("x", [1, 8], double)], [models.value("y", [1, 8], double)]
    return models.build(nodes, *ends, stored)


class TestTrial:
    def test_of_the_baseline(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        report = worker.run_trial(job(BASELINE))
        assert report.outcome is Outcome.OK, report.message
        found = by_metric(report)
        assert found[Metric.ACCURACY].value == pytest.approx(1.0), "it is its own reference"
        assert 0 < found[Metric.LATENCY].value < 0.1
        assert len(found[Metric.LATENCY].samples) == 3
        assert found[Metric.LOAD_TIME].value > 0
        assert len(found[Metric.CPU_SECONDS].samples) == 3
        assert found[Metric.CPU_SECONDS].value > 0
        assert 0 < found[Metric.PEAK_MEMORY].value < 500e6
        assert found[Metric.MODEL_SIZE].method is Method.PLANNED
        assert report.assignment.keys() == {"CPUExecutionProvider"}
        assert report.warmup is not None
        assert report.warmup.values >= 3
        assert report.worker_seconds >= report.child_seconds > 0

    @pytest.mark.parametrize(
        "candidate",
        [
            Candidate(OpenVino(threads=1)),
            Candidate(OnnxRuntimeCpu(threads=1, spinning=False, memory_pattern=False)),
            Candidate(OnnxRuntimeCpu(saved_graph=True, graph_level=GraphLevel.EXTENDED)),
            INT8,
            Candidate(OnnxRuntimeCpu(), Precision(quantization=DynamicInt8())),
        ],
        ids=lambda candidate: candidate.label(),
    )
    def test_of_a_convolutional_network(self, worker, candidate):
        if isinstance(candidate.engine, OpenVino):
            require_openvino()
        worker.prepare(samples.workload(samples.named_conv_net()))
        report = worker.run_trial(job(candidate))
        assert report.outcome is Outcome.OK, report.message
        assert by_metric(report)[Metric.ACCURACY].value > 0.5
        assert report.artifact_key

    def test_of_a_model_that_runs_without_optimisation_only(self, worker):
        worker.prepare(samples.workload(clipped_doubles()))
        report = worker.run_trial(job(BASELINE))
        assert report.outcome is Outcome.RUN_ERROR
        assert report.message == (
            "Exception during initialization: Unexpected data type for Clip 'min' input of 11"
        )
        plain = Candidate(OnnxRuntimeCpu(graph_level=GraphLevel.NONE))
        report = worker.run_trial(job(plain))
        assert report.outcome is Outcome.OK, report.message
        assert by_metric(report)[Metric.ACCURACY].value == pytest.approx(1.0)

    def test_accuracy_is_against_labels_where_there_are_some(self, worker):
        proto = samples.named_conv_net()
        classes = samples.classes(proto)
        labels = np.r_[(classes[:2] + 1) % 4, classes[2:]]
        worker.prepare(samples.workload(proto, labels=labels))
        report = worker.run_trial(job(BASELINE))
        assert by_metric(report)[Metric.ACCURACY].value == pytest.approx(4 / 6)
        assert report.accuracy is not None
        assert report.accuracy.metric == "top1"

    def test_a_metric_of_the_users_that_fails_is_the_trials_message(
        self, worker, tmp_path, monkeypatch
    ):
        (tmp_path / "picky.py").write_text("def score(*_):\n    raise ValueError('no way')\n")
        monkeypatch.syspath_prepend(tmp_path)
        given = samples.workload(models.mlp())
        worker.prepare(replace(given, metric="picky:score"))
        report = worker.run_trial(job(BASELINE))
        assert report.outcome is Outcome.RUN_ERROR
        assert "picky:score" in report.message
        assert "no way" in report.message

    def test_a_compile_error_keeps_its_sentence(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        precision = Precision(FloatType.BFLOAT16)
        report = worker.run_trial(job(Candidate(OnnxRuntimeCpu(), precision)))
        assert report.outcome is Outcome.COMPILE_ERROR
        assert report.message == (
            "ONNX Runtime's CPU provider has no bfloat16 kernels for this processor; use bfloat16 "
            "with an engine of OpenVINO."
        )
        assert report.measurements == ()

    def test_a_compile_error_does_not_end_the_compiler(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        worker.run_trial(job(Candidate(OnnxRuntimeCpu(), Precision(FloatType.BFLOAT16))))
        (compiler,) = children()
        worker.run_trial(job(INT8))
        assert compiler in children()

    @pytest.mark.parametrize(
        ("fault", "outcome"),
        [
            ("crash", Outcome.RUN_ERROR),
            ("error", Outcome.RUN_ERROR),
            ("hang", Outcome.TIMEOUT),
            ("out-of-memory", Outcome.OUT_OF_MEMORY),
        ],
    )
    def test_a_fault_is_an_outcome_and_leaves_no_process(self, fake_worker, fault, outcome):
        patience = 0.5 if outcome is Outcome.TIMEOUT else 60.0  # no other is told by lateness
        limits = Limits(load_seconds=patience, memory_bytes=200 << 20)
        report = fake_worker.run_trial(fake(limits=limits, fault=fault))
        assert report.outcome is outcome
        assert report.message
        assert report.measurements == ()
        assert not children()

    def test_a_child_killed_from_outside_is_tried_again(self, fake_worker):
        """The first child is killed while it hangs; so are the others."""
        stop = threading.Event()

        def kill_children() -> None:
            while not stop.wait(0.2):
                for pid in children():
                    os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill_children)
        killer.start()
        report = fake_worker.run_trial(fake(fault="hang"))
        stop.set()
        killer.join()
        assert report.outcome is Outcome.INFRASTRUCTURE_ERROR
        assert "killed from outside" in report.message

    def test_a_trial_that_is_run_again_replaces_its_child(self, fake_worker):
        fake_worker.run_trial(fake())
        fake_worker.run_trial(fake())
        assert len(children()) == 1

    def test_without_a_reference_the_message_says_whose_fault_it_is(self, worker):
        """A model that no engine runs: the index is out of range."""
        require_openvino()
        indices = {"far": np.array([99])}
        node = onnx.helper.make_node("Gather", ["x", "far"], ["y"], name="pick", axis=1)
        proto = models.build(
            [node], [models.value("x", [1, 4])], [models.value("y", [1, 1])], indices
        )
        worker.prepare(samples.workload(proto))
        report = worker.run_trial(job(Candidate(OpenVino())))
        assert report.outcome is Outcome.RUN_ERROR
        assert report.message.startswith(
            "the model as it was given, on ONNX Runtime's CPU provider, gives no reference "
            "outputs: Non-zero status code returned while running Gather node."
        )


class TestArtifacts:
    def test_candidates_that_differ_in_run_time_options_share_one(self, worker):
        require_openvino()
        worker.prepare(samples.workload(models.mlp()))
        engines = (
            OnnxRuntimeCpu(threads=1),
            OnnxRuntimeCpu(threads=2, spinning=False),
            OpenVino(),
        )
        keys = {
            worker.run_trial(job(Candidate(e), f"t{i}")).artifact_key
            for i, e in enumerate(engines)
        }
        assert len(keys) == 1

    def test_it_is_compiled_once(self, make_worker):
        first, second = make_worker(), make_worker()
        first.prepare(samples.workload(models.mlp()))
        second.prepare(samples.workload(models.mlp()))
        report = first.run_trial(job(INT8))
        first.close()
        assert second.run_trial(job(INT8)).artifact_key == report.artifact_key
        assert len(children()) == 1, "no compile child was needed"

    def test_its_files_are_the_model_and_its_record(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        files = worker.artifact_files(job(INT8))
        assert len(files) == 2
        graph = onnx.load_from_string(files["model.onnx"]).graph
        assert any(node.op_type == "DequantizeLinear" for node in graph.node)

    def test_one_that_was_deleted_is_compiled_again(self, worker, tmp_path):
        worker.prepare(samples.workload(models.mlp()))
        before = worker.artifact_files(job(INT8))
        shutil.rmtree(tmp_path / "cache" / "artifacts")
        assert worker.artifact_files(job(INT8)) == before

    def test_a_damaged_one_is_compiled_again_and_no_candidate_is_blamed(self, make_worker):
        first = make_worker()
        first.prepare(samples.workload(models.mlp()))
        report = first.run_trial(job(INT8))
        before = first.artifact_files(job(INT8))
        first.close()
        model = first._cache.artifact(report.artifact_key) / "model.onnx"
        model.write_bytes(before["model.onnx"][:-100] + bytes(100))
        second = make_worker()
        second.prepare(samples.workload(models.mlp()))
        assert second.run_trial(job(INT8)).outcome is Outcome.OK
        assert second.artifact_files(job(INT8)) == before
        (remark,) = second.take_remarks()
        assert "was damaged and was made anew: its model.onnx is not what was written" in remark

    def test_damaged_references_are_written_again(self, make_worker):
        first = make_worker()
        first.prepare(samples.workload(models.mlp()))
        first.run_trial(job(INT8))
        first.close()
        outputs = first._cache.references("w", Part.SEARCH) / "first.npz"
        outputs.write_bytes(outputs.read_bytes()[:-30])
        second = make_worker()
        second.prepare(samples.workload(models.mlp()))
        assert second.run_trial(job(INT8)).outcome is Outcome.OK
        assert len(second.take_remarks()) == 1

    def test_a_full_disk_is_no_fault_of_the_candidate(self, tmp_path):
        large = models.mlp(width=4096)
        with small_disk(tmp_path) as folder:
            worker = Worker(samples.cpu_profile(), folder)
            try:
                worker.prepare(samples.workload(large))
                with pytest.raises(InfrastructureError) as caught:
                    worker.run_trial(job(BASELINE))
                message = str(caught.value)
                assert message.startswith("Compiling needs 2.0")
                assert f" in {folder}, and its disk has " in message
                assert message.endswith(" KiB left; make room there.")
                with pytest.raises(InfrastructureError, match=r"cannot be written.*Make room"):
                    worker.prepare(samples.workload(large, key="other"))
            finally:
                worker.close()
            assert not list(folder.glob("*/.draft-*"))


class TestOperators:
    def test_quantizable_by_kind(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        found = worker.quantizable(job(BASELINE))
        assert set(found["static-int8"]) >= {"first", "second"}
        assert found["weight-only-int4"] == found["products"] == ("first", "second")

    def test_the_fake_engine_has_none(self, fake_worker):
        assert fake_worker.quantizable(fake()) == {}

    def test_sensitivity_ranks_what_is_quantised(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        assert {"first", "second"} <= set(worker.rank_sensitivity(job(INT8)).operators)

    def test_a_compiler_that_was_killed_is_started_anew(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        found = worker.quantizable(job(BASELINE))
        (compiler,) = children()
        os.kill(compiler, signal.SIGKILL)
        assert wait_until(lambda: not children())
        assert worker.quantizable(job(BASELINE)) == found

    def test_a_compiler_that_is_killed_at_work_is_asked_again(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        worker.quantizable(job(BASELINE))
        (compiler,) = children()
        os.kill(compiler, signal.SIGSTOP)
        threading.Timer(0.3, os.kill, (compiler, signal.SIGKILL)).start()
        assert worker.quantizable(job(BASELINE))["static-int8"]


class TestCallers:
    """More than one thread calls a candidate while it is sampled."""

    @pytest.mark.parametrize(
        "engine", [OnnxRuntimeCpu(threads=1), OpenVinoRuntime(threads=1, hint="throughput")]
    )
    def test_are_measured_together(self, worker, engine):
        if isinstance(engine, OpenVinoRuntime):
            require_openvino("openvino-runtime")
        worker.prepare(samples.workload(models.mlp()))
        jobs = [
            replace(job(Candidate(engine, callers=callers)), trial_id=f"t{callers}")
            for callers in (1, 2)
        ]
        for each in jobs:
            report = worker.run_trial(each)
            assert report.outcome is Outcome.OK, report.message
        for restart in (False, True):
            report = worker.run_block(BlockJob(tuple(jobs), restart=restart))
            assert not report.failures
            one, two = (report.samples[name] for name in ("t1", "t2"))
            assert two.seconds > 0
            assert 2 / two.seconds > 0.3 / one.seconds, "two callers, two results"
            assert two.cpu_seconds > 0


class TestBatches:
    @pytest.mark.parametrize("engine", [OnnxRuntimeCpu(threads=1), OpenVinoRuntime(threads=1)])
    def test_are_compared_sample_by_sample(self, worker, engine):
        if isinstance(engine, OpenVinoRuntime):
            require_openvino("openvino-runtime")
        worker.prepare(samples.workload(models.conv_net()))
        report = worker.run_trial(job(Candidate(engine, batch=4)))
        assert report.outcome is Outcome.OK, report.message
        assert report.accuracy.samples == worker.run_trial(job(Candidate(engine))).accuracy.samples
        assert by_metric(report)[Metric.ACCURACY].value == pytest.approx(1.0)

    def test_that_mix_their_samples_are_found_out(self, worker):
        """The mean over the batch is that of one sample, where there is no other."""
        nodes = [
            make_node("ReduceMean", ["x"], ["m"], axes=[0], keepdims=1),
            make_node("Expand", ["m", "shape"], ["e"]),
            make_node("Add", ["x", "e"], ["y"]),
        ]
        ends = [models.value("x", [1, 6])], [models.value("y", [1, 6])]
        proto = models.build(nodes, *ends, {"shape": np.array([1, 1], np.int64)})
        worker.prepare(samples.workload(proto))
        report = worker.run_trial(job(Candidate(OnnxRuntimeCpu(threads=1), batch=4)))
        assert report.outcome is Outcome.OK, report.message
        assert by_metric(report)[Metric.ACCURACY].value < 0.95

    def test_that_cannot_be_are_compile_errors(self, worker):
        ends = [models.value("x", [1, 4])], [models.value("y", [])]
        node = make_node("ReduceSum", ["x"], ["y"], keepdims=0)
        worker.prepare(samples.workload(models.build([node], *ends, {})))
        report = worker.run_trial(job(Candidate(OnnxRuntimeCpu(threads=1), batch=4)))
        assert report.outcome is Outcome.COMPILE_ERROR
        assert "output 'y' begins with nothing fixed" in report.message


class TestBlock:
    def test_every_member_has_a_sample_in_the_order_of_the_job(self, fake_worker):
        jobs = [fake(f"t{i}", seconds=(i + 1) * 1e-3) for i in range(3)]
        for member in jobs:
            fake_worker.run_trial(member)
        report = fake_worker.run_block(BlockJob((jobs[2], jobs[0], jobs[1])))
        assert list(report.samples) == ["t2", "t0", "t1"]
        assert not report.failures
        assert report.samples["t2"].seconds == pytest.approx(3e-3, rel=0.1)
        assert report.samples["t2"].loops * report.samples["t2"].seconds >= 0.009
        assert set(report.peaks) == set(report.samples)
        assert report.sentinel_seconds > 0

    def test_members_that_have_no_child_are_loaded(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        report = worker.run_block(BlockJob((job(BASELINE, "a"), job(INT8, "b"))))
        assert report.samples.keys() == {"a", "b"}

    def test_a_restart_begins_with_fresh_processes(self, fake_worker):
        member = fake()
        fake_worker.run_block(BlockJob((member,)))
        before = children()
        fake_worker.run_block(BlockJob((member,)))
        assert children() == before
        fake_worker.run_block(BlockJob((member,), restart=True))
        after = children()
        assert len(after) == len(before)
        assert len(after & before) == 1, "the sentinel stays, the member is new"

    @pytest.mark.parametrize("fault", ["crash", "wrong-engine"])
    def test_a_member_that_fails_does_not_take_the_others_with_it(self, fake_worker, fault):
        bad = fake("bad", fault=fault)
        report = fake_worker.run_block(BlockJob((fake("a"), bad, fake("b"))))
        assert report.samples.keys() == report.peaks.keys() == {"a", "b"}
        assert report.failures["bad"].outcome is Outcome.RUN_ERROR
        assert report.failures["bad"].message

    def test_a_candidate_that_does_not_compile_fails_as_such(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        bfloat = job(Candidate(OnnxRuntimeCpu(), Precision(FloatType.BFLOAT16)), "bad")
        report = worker.run_block(BlockJob((bfloat, job(BASELINE, "good"))))
        assert report.failures["bad"].outcome is Outcome.COMPILE_ERROR
        assert report.samples.keys() == {"good"}

    def test_members_take_turns(self, fake_worker):
        jobs = (fake("a"), fake("b"))
        once = fake_worker.run_block(BlockJob(jobs))
        report = fake_worker.run_block(BlockJob(jobs, turns=4))
        assert report.samples.keys() == {"a", "b"}
        for trial_id, sample in report.samples.items():
            assert sample.loops == 4 * once.samples[trial_id].loops
            assert sample.seconds == pytest.approx(once.samples[trial_id].seconds, rel=0.5)

    def test_a_member_killed_between_blocks_is_loaded_again(self, fake_worker):
        jobs = (fake("a"), fake("b"))
        fake_worker.run_block(BlockJob(jobs))
        for pid in children():  # the sentinel as well
            os.kill(pid, signal.SIGKILL)
        report = fake_worker.run_block(BlockJob(jobs))
        assert report.samples.keys() == {"a", "b"}
        assert not report.failures


class TestDetail:
    def test_distribution_and_throughput(self, worker):
        worker.prepare(samples.workload(models.mlp()))
        measured = worker.run_detail(
            DetailJob(job(BASELINE), single_runs=50, seconds=0.5)
        ).measurements
        found = {m.metric: m for m in measured}
        singles = found[Metric.LATENCY_P50].samples
        assert 0 < len(singles) <= 50
        assert found[Metric.LATENCY_P50].value == pytest.approx(np.median(singles))
        assert found[Metric.THROUGHPUT].value > 1
        has_rapl = Path("/sys/class/powercap/intel-rapl:0/energy_uj").exists()
        assert (Metric.ENERGY in found) <= has_rapl
        told = {Metric.ENERGY, Metric.ENERGY_WINDOW, Metric.IDLE_POWER} & found.keys()
        assert len(told) in (0, 3)


class TestSlowModels:
    """Deadlines come from the limits and from how slow the artifact itself is."""

    def test_runs_longer_than_a_sample_are_measured(self, worker):
        limits = Limits(evaluate_seconds=60, measure_seconds=0.2)
        worker.prepare(samples.workload(samples.slow_net(), count=1))
        slow = job(Candidate(OnnxRuntimeCpu(threads=1)), limits=limits)
        report = worker.run_trial(slow)
        assert report.outcome is Outcome.OK, report.message
        assert by_metric(report)[Metric.LATENCY].value > 0.01, "else this test shows nothing"
        assert worker.run_block(BlockJob((slow,))).samples["t"].loops == 1

    def test_what_is_too_slow_to_be_checked_is_a_timeout(self, worker):
        worker.prepare(samples.workload(samples.slow_net(4)))
        limits = Limits(evaluate_seconds=0.1)
        report = worker.run_trial(job(Candidate(OnnxRuntimeCpu(threads=1)), limits=limits))
        assert report.outcome is Outcome.TIMEOUT
        assert "'evaluate' within 0.1 s" in report.message

    def test_what_is_waited_for_may_take_as_long_as_its_first_run_explains(self, worker):
        worker.prepare(samples.workload(samples.slow_net(4)))
        limits = Limits(evaluate_seconds=0.1, patient=True)
        report = worker.run_trial(job(Candidate(OnnxRuntimeCpu(threads=1)), limits=limits))
        assert report.outcome is Outcome.OK, report.message

    def test_a_loaded_child_that_stops_answering_ends_soon(self, fake_worker):
        member = fake(limits=Limits(measure_seconds=0.5))
        fake_worker.run_trial(member)
        (pid,) = children()
        os.kill(pid, signal.SIGSTOP)
        report = fake_worker.run_block(BlockJob((member,)))
        assert report.failures["t"].outcome is Outcome.TIMEOUT
        assert not psutil.pid_exists(pid)


class TestEnd:
    def test_release_ends_the_children_of_these_trials_only(self, fake_worker):
        for name in ("a", "b"):
            fake_worker.run_trial(fake(name))
        assert len(children()) == 2
        fake_worker.release(["a", "unknown"])
        assert len(children()) == 1
        fake_worker.release(["b"])
        assert not children()

    def test_close_leaves_no_process_and_no_file(self, worker, tmp_path, monkeypatch):
        worker.prepare(samples.workload(models.mlp()))
        worker.run_trial(job(INT8))
        worker.run_block(BlockJob((job(INT8),)))
        assert len(children()) == 3, "trial, compiler and sentinel"
        scratch = set(Path(tempfile.gettempdir()).glob("farm-worker-*"))
        worker.close()
        assert not children()
        assert len(scratch - set(Path(tempfile.gettempdir()).glob("farm-worker-*"))) == 1
