"""Trials that run in an environment they name, and from an artifact that is kept."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from farm.candidate import Candidate, CPackage, GraphLevel, OnnxRuntimeCpu, OpenVinoRuntime
from farm.codegen.build.compilers import find_compilers, host_targets
from farm.devices.environment import Environment, parse_environment
from farm.errors import CompileError, DeviceError
from farm.measurement import Outcome
from tests.tools.wheels import build_wheel, environment_toml, pretend_installed
from tests.workers import samples
from tests.workers.samples import fake, job
from workers.environments.install import remove
from workers.jobs import BlockJob, DetailJob, Pinned, ProfileJob, TrialJob
from workers.trials.process import ChildError
from workers.trials.stored.keep import keep
from workers.trials.worker import Worker

BASELINE = Candidate(OnnxRuntimeCpu(threads=1))
SAVED = Candidate(OnnxRuntimeCpu(threads=1, saved_graph=True, graph_level=GraphLevel.EXTENDED))


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def other(tmp_path: Path) -> Environment:
    """An installed environment that runs only what names it."""
    text = environment_toml(build_wheel(tmp_path), name="other") + "by_name_only = true\n"
    environment = parse_environment(text, "here")
    pretend_installed(environment)
    return environment


@pytest.fixture
def ready(worker: Worker) -> Iterator[Worker]:
    worker.prepare(samples.workload(samples.named_conv_net()))
    return worker


def pinned(given: TrialJob, trial_id: str, environment: str = "", artifact: str = "") -> TrialJob:
    return replace(given, trial_id=trial_id, pinned=Pinned(environment, artifact))


def interpreters() -> set[str]:
    """The Pythons of the living children that have something loaded."""
    return {child.cmdline()[0] for child in psutil.Process().children()}


def kept(worker: Worker, candidate: Candidate) -> str:
    """The folder of the artifact of a candidate, of which the cache has nothing any more."""
    folder = keep(worker.artifact_files(job(candidate)))
    shutil.rmtree(worker._cache.root / "artifacts")
    return str(folder)


class TestEnvironment:
    def test_one_candidate_in_two_interpreters_in_one_block(self, ready, other, data):
        here = job(BASELINE, "here")
        there = pinned(here, "there", "other")
        for each in (here, there):
            report = ready.run_trial(each)
            assert report.outcome is Outcome.OK, report.message
            assert report.accuracy is not None
        python = str(data / "farm" / "environments" / "other" / "bin" / "python")
        assert interpreters() >= {sys.executable, python}
        block = ready.run_block(BlockJob((there, here), restart=True))
        assert block.failures == {}
        assert block.samples.keys() == {"here", "there"}
        assert interpreters() >= {sys.executable, python}
        with pytest.raises(DeviceError, match=r"^Environment other is in use: "):
            remove("other")

    def test_it_gives_its_engines_to_nobody_else(self, ready, other):
        assert ready.run_trial(job(BASELINE)).outcome is Outcome.OK
        assert not any("other" in python for python in interpreters())
        facts = ready.describe()
        assert not any("other" in version for version in facts.software.values())
        assert facts.environments["other"] == {
            "environment": f"other {other.digest}",
            "python": "3",
            "tiny": "1.0",
        }

    def test_details_and_profiles_run_in_it_too(self, ready, other, data):
        starts = data / "starts"
        python = data / "farm" / "environments" / "other" / "bin" / "python"
        python.unlink()
        python.write_text(f'#!/bin/sh\necho x >> {starts}\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
        given = pinned(job(BASELINE), "t", "other")
        assert ready.run_detail(DetailJob(given, single_runs=3, seconds=0.1)).measurements
        assert starts.read_text() == "x\n"
        rows = ready.run_profile(ProfileJob(given, 0.1))
        assert starts.read_text() == "x\nx\n"
        assert {name for row in rows for name in row.operators} >= {"Conv_0"}

    def test_the_fake_engine_runs_in_it(self, fake_worker, other):
        given = replace(fake(), pinned=Pinned("other"))
        assert fake_worker.run_trial(given).outcome is Outcome.OK
        assert any("other" in python for python in interpreters())

    def test_one_that_is_not_installed_says_nothing_about_the_candidate(self, ready, other):
        given = pinned(job(BASELINE), "t", "gone")
        report = ready.run_trial(given)
        assert (report.outcome, report.message) == (
            Outcome.INFRASTRUCTURE_ERROR,
            "Environment gone is not installed. Installed environments: other.",
        )
        block = ready.run_block(BlockJob((job(BASELINE, "here"), given)))
        assert block.samples.keys() == {"here"}
        assert block.failures["t"].outcome is Outcome.INFRASTRUCTURE_ERROR

    def test_one_whose_python_is_gone(self, ready, other, data):
        (data / "farm" / "environments" / "other" / "bin" / "python").unlink()
        report = ready.run_trial(pinned(job(BASELINE), "t", "other"))
        assert report.message == (
            "Environment other cannot be used: the Python that environment other was made with is "
            "gone; `farm devices remove other` first, then have it made again."
        )

    def test_one_without_the_engine(self, ready, other):
        report = ready.run_trial(pinned(job(Candidate(OpenVinoRuntime())), "t", "other"))
        assert (report.outcome, report.message) == (
            Outcome.COMPILE_ERROR,
            "Environment other gives onnxruntime-cpu, and not openvino-runtime.",
        )

    def test_a_saved_graph_is_saved_by_the_engine_that_loads_it(self, ready, other):
        here = ready.run_trial(job(SAVED, "here"))
        there = ready.run_trial(pinned(job(SAVED), "there", "other"))
        assert (here.outcome, there.outcome) == (Outcome.OK, Outcome.OK), there.message
        assert here.artifact_key != there.artifact_key
        again = ready.run_trial(pinned(job(SAVED), "again", "other"))
        assert again.artifact_key == there.artifact_key
        assert there.assignment == here.assignment, "as much was fused"
        plain = ready.run_trial(pinned(job(BASELINE), "plain", "other"))
        assert plain.artifact_key == ready.run_trial(job(BASELINE)).artifact_key


class TestArtifact:
    def test_it_is_run_as_it_lies_there(self, ready):
        place = kept(ready, BASELINE)
        given = pinned(job(BASELINE), "t", artifact=place)
        report = ready.run_trial(given)
        assert report.outcome is Outcome.OK, report.message
        assert report.artifact_key == Path(place).name
        assert ready.run_block(BlockJob((given,), restart=True)).failures == {}
        assert ready.run_profile(ProfileJob(given, 0.1))
        assert not (ready._cache.root / "artifacts").exists(), "nothing was compiled"
        assert ready.artifact_files(given)["model.onnx"]

    def test_in_an_environment(self, ready, other):
        place = kept(ready, SAVED)
        report = ready.run_trial(pinned(job(SAVED), "t", "other", place))
        assert report.outcome is Outcome.OK, report.message
        assert any("other" in python for python in interpreters())
        assert not (ready._cache.root / "artifacts").exists()

    @pytest.mark.parametrize(
        ("harm", "why"),
        [
            (shutil.rmtree, "it has no hashes.json"),
            (lambda place: (place / "model.onnx").unlink(), "its model.onnx is gone"),
            (
                lambda place: (place / "model.onnx").write_bytes(b"no"),
                "its model.onnx is not what was written",
            ),
        ],
    )
    def test_one_that_is_not_whole(self, ready, harm, why):
        place = Path(kept(ready, BASELINE))
        given = pinned(job(BASELINE), "t", artifact=str(place))
        assert ready.run_trial(given).outcome is Outcome.OK
        harm(place)
        report = ready.run_trial(given)
        assert (report.outcome, report.message) == (
            Outcome.COMPILE_ERROR,
            f"The kept artifact {place} cannot be run: {why}.",
        )

    def test_one_of_another_engine(self, ready):
        place = kept(ready, BASELINE)
        report = ready.run_trial(pinned(job(Candidate(CPackage())), "t", artifact=place))
        assert (report.outcome, report.message) == (
            Outcome.COMPILE_ERROR,
            f"The kept artifact {place} cannot be run: it is none of the engine cpackage.",
        )

    @pytest.mark.skipif(not find_compilers(host_targets()[0]), reason="there is no C compiler")
    def test_a_package_runs_and_its_steps_are_not_told(self, ready):
        candidate = Candidate(CPackage())
        given = pinned(job(candidate), "t", artifact=kept(ready, candidate))
        report = ready.run_trial(given)
        assert report.outcome is Outcome.OK, report.message
        with pytest.raises(CompileError, match="it is run as it was kept"):
            ready.run_profile(ProfileJob(given, 0.1))


def test_what_is_pinned_is_asked_for_by_the_trial_alone(ready, other):
    """Of one worker, each trial has its own."""
    ready.run_trial(pinned(job(BASELINE), "there", "other"))
    ready.release(["there"])
    ready.run_trial(job(BASELINE, "here"))
    assert not any("other" in python for python in interpreters())
    with pytest.raises(ChildError, match="Environment gone is not installed"):
        ready.run_detail(DetailJob(pinned(job(BASELINE), "t", "gone")))
