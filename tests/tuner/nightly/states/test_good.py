"""The last good state: what tells it from others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.candidate import (
    Candidate,
    CPackage,
    Fake,
    OnnxRuntimeCpu,
    OnnxRuntimeCuda,
    OnnxRuntimeTensorRt,
    OnnxRuntimeWebGpu,
    OpenVinoGpu,
    Pipeline,
    PipelinePart,
    to_json,
)
from farm.errors import StoreError
from tuner.nightly.states.good import GoodState, changed_versions, engine_versions, read_good

STATE = GoodState(to_json(Candidate(Fake())), "abc", {"onnxruntime": "1.31.1"}, "run-1")


def test_it_is_read_back() -> None:
    assert read_good(STATE.to_json()) == STATE
    assert read_good("") is None
    assert STATE.read_candidate() == Candidate(Fake())


def test_of_another_version_of_the_farm_it_is_refused() -> None:
    with pytest.raises(StoreError, match="cannot be read by this version"):
        read_good('{"something": "else"}')


def test_its_key_is_what_runs_and_not_when() -> None:
    assert STATE.key == replace(STATE, run="run-2").key
    others = [
        replace(STATE, artifact="abd"),
        replace(STATE, versions={"onnxruntime": "1.32.0"}),
        replace(STATE, candidate=to_json(Candidate(Fake(seconds=0.5)))),
    ]
    assert len({STATE.key, *(other.key for other in others)}) == 4


def test_the_versions_of_an_environment_go_before_the_farms_own() -> None:
    software = {"python": "3.11", "onnxruntime": "1.31.1", "openvino": "2026.4", "numpy": "2.4"}
    runtime = Candidate(OnnxRuntimeCpu())
    assert engine_versions(runtime, software) == {"onnxruntime": "1.31.1"}
    inside = {
        "onnxruntime-cpu: onnxruntime": "1.24.1",
        "onnxruntime-cpu: environment": "old 0123",
    }
    assert engine_versions(runtime, software | inside) == {
        "onnxruntime": "1.24.1",
        "environment": "old 0123",
    }


@pytest.mark.parametrize("engine", [OnnxRuntimeCuda(), OnnxRuntimeTensorRt()])
def test_on_nvidias_gpus_libraries_and_the_driver_count_too(
    engine: OnnxRuntimeCuda | OnnxRuntimeTensorRt,
) -> None:
    software = {
        "onnxruntime": "1.31.1",
        f"{engine.kind}: onnxruntime-gpu": "1.31.1",
        f"{engine.kind}: nvidia-cudnn-cu13": "9.28",
        f"{engine.kind}: environment": "gpu 0123",
        "nvidia driver": "580.1",
    }
    found = engine_versions(Candidate(engine), software)
    assert found == {
        "onnxruntime-gpu": "1.31.1",
        "nvidia-cudnn-cu13": "9.28",
        "nvidia driver": "580.1",
        "environment": "gpu 0123",
    }
    assert changed_versions(found, found | {"nvidia driver": "590.2"}) == (
        "nvidia driver 580.1 -> 590.2",
    )


@pytest.mark.parametrize(
    ("engine", "package", "driver"),
    [
        (OpenVinoGpu(), "openvino", "intel driver"),
        (OnnxRuntimeWebGpu(), "onnxruntime-webgpu", "vulkan driver"),
    ],
)
def test_on_other_gpus_the_driver_counts_too(
    engine: OpenVinoGpu | OnnxRuntimeWebGpu, package: str, driver: str
) -> None:
    software = {"numpy": "2.3", package: "1.27", driver: "24.1"}
    assert engine_versions(Candidate(engine), software) == {package: "1.27", driver: "24.1"}


def test_of_a_pipeline_those_of_all_its_engines_count() -> None:
    parts = (
        PipelinePart("cpu", OnnxRuntimeCpu(), ("a",)),
        PipelinePart("gpu", OnnxRuntimeCuda(), ("b",)),
    )
    software = {"onnxruntime": "1.31.1", "onnxruntime-cuda: onnxruntime-gpu": "1.30.0"}
    assert engine_versions(Candidate(Pipeline(parts)), software) == {
        "onnxruntime": "1.31.1",
        "onnxruntime-gpu": "1.30.0",
    }


def test_a_package_is_compiled_already() -> None:
    assert engine_versions(Candidate(CPackage()), {"onnxruntime": "1.31.1"}) == {}


def test_changes_of_versions_are_named() -> None:
    before, now = {"onnxruntime": "1.31.1", "numpy": "2"}, {"onnxruntime": "1.32.0", "numpy": "2"}
    assert changed_versions(before, now) == ("onnxruntime 1.31.1 -> 1.32.0",)
    assert changed_versions(now, now) == ()
    assert changed_versions({}, {"openvino": "2026.4"}) == ("openvino none -> 2026.4",)
