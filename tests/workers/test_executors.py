"""The executors' contract, over both of them, and what the Ray one survives."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from farm.candidate import Candidate, CPackage, OnnxRuntimeCpu, OpenVino, Precision, StaticInt8
from farm.codegen.package.record import manifest_of, parse_compiled
from farm.errors import InfrastructureError
from farm.measurement import Metric, Outcome
from tests import models
from tests.workers import samples
from tests.workers.processes import children, runs, wait_until
from tests.workers.samples import fake, job
from workers.cluster.pool import MAX_ATTEMPTS, MAX_IN_FLIGHT, RayExecutor
from workers.executor import Executor, LocalExecutor
from workers.jobs import BlockJob, DetailJob, Limits, ProfileJob, TrialJob
from workers.trials.process import ChildError

PROFILES = (
    samples.fake_profile(),
    replace(samples.cpu_profile(), engines=("onnxruntime-cpu",)),
)
# A plugin package for candidates that kill the worker that started them.
_KILLER = "import os\nos.kill(os.getppid(), 9)\nimport time\ntime.sleep(9)\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Cache of the executors; children find the killer in place of the OpenVINO plugin."""
    folder = tmp_path_factory.mktemp("executors")
    (folder / "onnxruntime_ep_openvino.py").write_text(_KILLER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        yield folder


@pytest.fixture(scope="module")
def pool(folder: Path) -> Iterator[RayExecutor]:
    """The one cluster of these tests."""
    with RayExecutor(PROFILES, folder / "ray") as executor:
        yield executor


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def executor(request: pytest.FixtureRequest, folder: Path) -> Iterator[Executor]:
    if request.param == "ray":
        yield request.getfixturevalue("pool")
    else:
        with LocalExecutor(PROFILES, folder / "local") as local:
            yield local


class TestContract:
    def test_every_job_has_one_report(self, executor):
        faults = ("none", "crash", "none", "error", "wrong-engine")
        jobs = [fake(f"t{i}", fault=fault) for i, fault in enumerate(faults)]
        reports = list(executor.run_trials("fake", jobs))
        assert [r.trial_id for r in reports] == ["t0", "t1", "t2", "t3", "t4"]
        assert [str(r.outcome) for r in reports] == [
            "ok",
            "run-error",
            "ok",
            "run-error",
            "run-error",
        ]
        executor.release("fake", ["t0", "t2"])

    def test_jobs_are_taken_as_they_are_needed(self, executor):
        taken: list[str] = []

        def jobs() -> Iterator[TrialJob]:
            for i in range(6):
                taken.append(f"t{i}")
                yield fake(f"t{i}", fault="error")

        reports = executor.run_trials("fake", jobs())
        next(reports)
        assert len(taken) <= MAX_IN_FLIGHT
        assert len(list(reports)) == 5

    def test_no_jobs_give_no_reports(self, executor):
        assert list(executor.run_trials("fake", [])) == []

    def test_a_block(self, executor):
        members = (fake("a", seconds=2e-3), fake("b"), fake("c", fault="crash"))
        report = executor.run_block("fake", BlockJob(members))
        assert list(report.samples) == ["a", "b"]
        assert report.failures["c"].outcome is Outcome.RUN_ERROR
        executor.release("fake", ["a", "b"])

    def test_a_real_model_from_trial_to_artifact(self, executor):
        executor.prepare("cpu", samples.workload(models.mlp()))
        int8 = job(Candidate(OnnxRuntimeCpu(threads=1), Precision(quantization=StaticInt8())))
        (report,) = executor.run_trials("cpu", [int8])
        assert report.outcome is Outcome.OK, report.message
        assert "model.onnx" in executor.artifact_files("cpu", int8)
        assert "first" in executor.quantizable("cpu", int8)["static-int8"]
        assert "first" in executor.rank_sensitivity("cpu", int8).operators
        detail = executor.run_detail(
            "cpu", DetailJob(int8, single_runs=20, seconds=0.2)
        ).measurements
        assert {Metric.LATENCY_P50, Metric.THROUGHPUT} <= {m.metric for m in detail}
        profile = executor.run_profile("cpu", ProfileJob(int8, seconds=0.05))
        assert ("second",) in [kernel.operators for kernel in profile]
        executor.release("cpu", ["t"])

    def test_a_package_from_trial_to_delivery(self, executor):
        executor.prepare("cpu", samples.workload(models.mlp()))
        package = job(Candidate(CPackage(), Precision(quantization=StaticInt8())), "p")
        (report,) = executor.run_trials("cpu", [package])
        assert report.outcome is Outcome.OK, report.message
        record = executor.artifact_files("cpu", package)["package.json"]
        manifest = manifest_of(
            parse_compiled(record),
            model_sha256="0" * 64,
            profile="cpu",
            precision="int8",
            packets=None,
            accuracy=None,
            vectors=16,
        )
        files = executor.complete_package("cpu", package, manifest)
        assert files["manifest.json"].decode() == manifest.to_json()
        assert {"libmodel.a", "test_vectors/replies.bin", "runtime/runner.c"} <= files.keys()
        executor.release("cpu", ["p"])

    def test_errors_of_the_worker_arrive_as_themselves(self, executor):
        with pytest.raises(InfrastructureError, match=r"fake 0\.001 s float32 has no artifact"):
            executor.artifact_files("fake", fake())
        with pytest.raises(ChildError) as caught:
            executor.run_detail("fake", DetailJob(fake("x", fault="crash")))
        assert caught.value.outcome is Outcome.RUN_ERROR

    def test_a_device_says_what_it_is(self, executor):
        facts = executor.describe("cpu")
        assert facts.engines == ("onnxruntime-cpu",)
        assert facts.machine.cores >= 1
        assert "onnxruntime" in facts.software
        assert executor.describe("fake").engines == ("fake",)

    def test_a_released_trial_has_no_child(self, executor):
        before = children()
        list(executor.run_trials("fake", [fake("r")]))
        assert len(children() - before) == 1
        executor.release("fake", ["r"])
        assert wait_until(lambda: children() <= before)


class TestLocal:
    def test_an_unknown_device(self, folder):
        message = "No worker was started for device gpu"
        with (
            LocalExecutor(PROFILES, folder / "local") as local,
            pytest.raises(InfrastructureError, match=message),
        ):
            local.run_trials("gpu", [])


@pytest.mark.ray
class TestLosses:
    """In the order of the damage; the last one ends the cluster."""

    def test_a_job_whose_actor_was_killed_runs_again_and_is_reported_once(self, pool):
        hang = fake("hang", limits=Limits(load_seconds=1.5), fault="hang")
        with killed_at_work("ray::Worker"):
            reports = list(pool.run_trials("fake", [hang, fake("after")]))
        assert [(r.trial_id, str(r.outcome)) for r in reports] == [
            ("hang", "timeout"),
            ("after", "ok"),
        ]
        pool.release("fake", ["after"])

    def test_a_job_that_always_kills_its_actor_is_given_up(self, pool):
        pool.prepare("cpu", samples.workload(models.mlp()))
        killer = job(Candidate(OpenVino()), "killer")
        good = job(Candidate(OnnxRuntimeCpu(threads=1)), "good")
        reports = list(pool.run_trials("cpu", [killer, good]))
        assert [(r.trial_id, str(r.outcome)) for r in reports] == [
            ("killer", "infrastructure-error"),
            ("good", "ok"),
        ]
        assert reports[0].message.startswith(
            f"the worker was lost {MAX_ATTEMPTS} times during this trial: "
        )
        pool.release("cpu", ["good"])

    def test_a_block_that_lost_its_actor_is_run_again(self, pool):
        list(pool.run_trials("fake", [fake("a"), fake("b")]))
        orphans = children()
        kill("ray::Worker")
        report = pool.run_block("fake", BlockJob((fake("a"), fake("b"))))
        assert report.samples.keys() == {"a", "b"}
        assert gone(orphans)

    def test_the_cluster_is_started_anew_when_its_raylet_was_killed(self, pool):
        before = children()
        hang = fake("hang", limits=Limits(load_seconds=1.5), fault="hang")
        with killed_at_work("raylet", "ray::Worker"):
            reports = list(pool.run_trials("fake", [hang, fake("after")]))
        assert [(r.trial_id, str(r.outcome)) for r in reports] == [
            ("hang", "timeout"),
            ("after", "ok"),
        ]
        assert descendants("raylet"), "a new one"
        assert gone(before), "no orphan of the old cluster"

    def test_close_leaves_no_process(self, pool):
        started = [process.pid for process in descendants("ray")]
        started += children()
        assert started
        pool.close()
        assert gone(started)
        assert not children()


def descendants(word: str) -> list[psutil.Process]:
    """This process's descendants whose name or first argument has a word in it."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            line = process.cmdline()
            if word in process.name() or (line and word in line[0]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def kill(*words: str) -> None:
    """Found before the first is killed, for then the others have another parent."""
    victims = [process for word in words for process in descendants(word)]
    assert len(victims) >= len(words)
    for victim in victims:
        victim.send_signal(signal.SIGKILL)


@contextmanager
def killed_at_work(*words: str) -> Iterator[None]:
    """Kill these processes as soon as a new child has got into its work."""
    before = children()

    def watch() -> None:
        if wait_until(lambda: bool(children() - before), 20.0):
            time.sleep(0.5)
            kill(*words)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()


def gone(pids: Iterable[int]) -> bool:
    """Whether all of them end soon, wherever they hang in the tree of processes by now."""
    waiting = list(pids)
    return wait_until(lambda: not any(runs(pid) for pid in waiting), 15.0)
