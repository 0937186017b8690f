"""Splits as candidates: those that a plan proposes, and those that a device needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_node, make_tensor_value_info

from db.store import Store
from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    PartEngine,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.devices.profile import load_profiles
from farm.measurement import Outcome
from farm.model.graph import Graph, build_graph
from farm.model.model import Model, load_model
from farm.profile.kernels import OperatorProfile
from farm.units import Seconds
from tests import models
from tests.models import save
from tests.tuner.calibrating.timed import FEW, TimedExecutor
from tuner.calibrating.calibrate import calibrate
from tuner.placing.candidates import in_one_session, unavoidable, worthwhile
from tuner.placing.plans import folded_before
from tuner.placing.spaces import what_became
from tuner.runs.history import Entry
from workers.jobs import ProfileJob

CPU, DSP, SMALL, GPU = (
    load_profiles()[name] for name in ("cpu", "dsp", "dsp-small", "gpu-software")
)
HVX = CPackageEmulated(target="hexagon-v67-hvx")
FLOAT, INT8 = Precision(), Precision(quantization=StaticInt8())


def best_three() -> ModelProto:
    """A convolution, and the three best of its channels, which generated code cannot tell."""
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        make_node("Relu", ["a"], ["b"], name="relu"),
        make_node("GlobalAveragePool", ["b"], ["c"], name="pool"),
        make_node("Flatten", ["c"], ["d"], name="flat"),
        make_node("TopK", ["d", "k"], ["v", "i"], name="best"),
    ]
    stored = models.weights(w=(8, 3, 3, 3)) | {"k": np.array([3], np.int64)}
    outputs = [models.value("v", [1, 3]), make_tensor_value_info("i", TensorProto.INT64, [1, 3])]
    return models.build(nodes, [models.value("x", [1, 3, 16, 16])], outputs, stored)


def loaded(proto: ModelProto, folder: Path) -> tuple[Model, Graph]:
    save(proto, folder)
    model = load_model(folder / "model.onnx")
    return model, build_graph(model)


def parts(engine: object) -> list[tuple[str, tuple[str, ...]]]:
    assert isinstance(engine, Pipeline)
    return [(part.place, part.operators) for part in engine.parts]


def test_what_a_device_can_run_runs_there_and_the_rest_beside_it(tmp_path: Path) -> None:
    model, graph = loaded(best_three(), tmp_path)
    found = unavoidable(model, graph, DSP, HVX, CPU, [INT8, FLOAT])
    first = found.candidates[0]
    assert first.precision == INT8
    assert parts(first.engine) == [
        ("dsp/cpackage-emulated", ("conv", "relu", "pool", "flat")),
        ("cpu/onnxruntime-cpu", ("best",)),
    ]
    assert {c.precision for c in found.candidates} == {INT8, FLOAT}
    (why,) = found.notes
    assert why.startswith("dsp cannot run the whole model, so parts of it run beside it: ")
    assert "(TopK)" in why


def test_engines_beside_each_other_do_not_spin(tmp_path: Path) -> None:
    model, graph = loaded(best_three(), tmp_path)
    (first, *_) = unavoidable(model, graph, DSP, HVX, CPU, [FLOAT]).candidates
    assert isinstance(first.engine, Pipeline)
    assert first.engine.parts[1].engine == OnnxRuntimeCpu(threads=1, spin_microseconds=20)


def test_a_part_fits_into_the_arena_of_its_device(tmp_path: Path) -> None:
    model, graph = loaded(models.conv_net(), tmp_path)
    assert SMALL.package is not None
    tight = replace(SMALL, package=replace(SMALL.package, arena_bytes=4096))
    found = unavoidable(model, graph, tight, HVX, CPU, [FLOAT])
    for candidate in found.candidates:
        shares = dict(parts(candidate.engine))
        assert len(shares) >= 2, "the whole model needs more than 4 KiB"
    assert found.candidates, "some of it fits"
    assert not found.notes, "no operator is refused"


def test_a_device_that_can_run_nothing_has_no_split(tmp_path: Path) -> None:
    nodes = [make_node("TopK", ["x", "k"], ["v", "i"], name="best")]
    outputs = [models.value("v", [1, 3]), make_tensor_value_info("i", TensorProto.INT64, [1, 3])]
    stored = {"k": np.array([3], np.int64)}
    proto = models.build(nodes, [models.value("x", [1, 8])], outputs, stored)
    model, graph = loaded(proto, tmp_path)
    assert not unavoidable(model, graph, DSP, HVX, CPU, [FLOAT]).candidates


def test_without_a_calibration_nothing_is_planned(tmp_path: Path) -> None:
    model, graph = loaded(models.conv_net(), tmp_path)
    facts = {"cpu": TimedExecutor().describe("cpu")}
    with Store.open(":memory:") as store:
        found = worthwhile(store, facts, model, graph, [CPU])
    assert not found.planned
    assert not found.candidates
    (note,) = found.notes
    assert note.startswith("No split over cpu was planned: Device cpu was never calibrated")


def test_a_limit_of_threads_needs_a_calibration_of_its_own(tmp_path: Path) -> None:
    model, graph = loaded(models.conv_net(), tmp_path)
    executor = TimedExecutor()
    facts = {"cpu": executor.describe("cpu")}
    with Store.open(":memory:") as store:
        calibrate(store, executor, CPU, 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
        assert worthwhile(store, facts, model, graph, [CPU]).planned
        (note,) = worthwhile(store, facts, model, graph, [CPU], 1).notes
    assert note.endswith("farm devices calibrate cpu --threads 1.")


def test_folded_operators_go_with_whoever_needs_them_first(tmp_path: Path) -> None:
    nodes = [
        make_node("Neg", ["w"], ["n"], name="folded"),
        make_node("Relu", ["x"], ["a"], name="first"),
        make_node("Add", ["a", "n"], ["y"], name="second"),
    ]
    stored = models.weights(w=(4,))
    proto = models.build(nodes, [models.value("x", [4])], [models.value("y", [4])], stored)
    assert folded_before(loaded(proto, tmp_path)[1]) == {"second": ("folded",)}


def test_it_is_said_what_became_of_a_split() -> None:
    split = Candidate(Pipeline((PipelinePart("cpu", OnnxRuntimeCpu(), ("a",)),)))
    other = Entry("1", Candidate(OnnxRuntimeCpu()), Outcome.OK, ratio=1.0)
    failed = Entry("2", split, Outcome.RUN_ERROR, "it crashed.")
    raced = Entry("3", split, Outcome.OK, ratio=1.25)
    assert what_became((), [other]) == ()
    assert what_became((split,), [other]) == (
        "There was no time to try that split: give a longer --budget.",
    )
    assert what_became((split,), [other, failed]) == (
        "That split could not be measured: it crashed.",
    )
    assert what_became((split,), [other, raced]) == (
        "In its trial that split took 1.25 times as long as the baseline.",
    )
    shared = Candidate(OnnxRuntimeWebGpu(on_cpu=("a",)))
    last = Entry("4", shared, Outcome.OK, ratio=0.5)
    assert what_became((split, shared), [other, raced, last])[1:] == (
        "In its trial that split in one session took 0.50 times as long as the baseline.",
    )


class Uneven(TimedExecutor):
    """A GPU that convolves a thousand times as fast as a processor, and averages as slowly."""

    def run_profile(self, device: str, job: ProfileJob) -> tuple[OperatorProfile, ...]:
        rows = super().run_profile(device, job)
        faster = 1e-3 if "webgpu" in self.engines[0] else 1.0
        return tuple(
            replace(
                row, seconds=Seconds((faster if row.kind == "Conv" else 1 / faster) * row.seconds)
            )
            for row in rows
            if row.seconds is not None
        )


def test_a_split_over_a_gpu_and_the_processor_is_tried_in_one_session_too(tmp_path: Path) -> None:
    nodes = [
        make_node("Conv", ["x", "v"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        make_node("Conv", ["a", "w"], ["b"], name="wide", strides=[16, 16], pads=[1, 1, 1, 1]),
        make_node("GlobalAveragePool", ["b"], ["y"], name="pool"),
    ]
    stored = models.weights(v=(256, 3, 3, 3), w=(64, 256, 3, 3))
    ends = [models.value("x", [1, 3, 224, 224])], [models.value("y", [1, 64, 1, 1])]
    model, graph = loaded(models.build(nodes, *ends, stored), tmp_path)
    executors = {"cpu": Uneven(("onnxruntime-cpu",)), GPU.name: Uneven(("onnxruntime-webgpu",))}
    facts = {name: each.describe(name) for name, each in executors.items()}
    with Store.open(":memory:") as store:
        for profile in (CPU, GPU):
            calibrate(store, executors[profile.name], profile, 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
        split, shared = worthwhile(store, facts, model, graph, [CPU, GPU]).candidates
        (alone,) = worthwhile(store, facts, model, graph, [GPU, CPU]).candidates
    assert parts(split.engine) == [
        ("gpu-software/onnxruntime-webgpu", ("conv", "wide")),
        ("cpu/onnxruntime-cpu", ("pool",)),
    ]
    assert shared == Candidate(OnnxRuntimeWebGpu(on_cpu=("pool",)))
    assert alone == split, "the processor has no such session"


def test_in_one_session_the_processor_has_the_threads_that_it_had() -> None:
    parts = (
        PipelinePart(GPU.name, OnnxRuntimeWebGpu(), ("a",)),
        PipelinePart("cpu", OnnxRuntimeCpu(threads=2), ("b",)),
    )
    shared = in_one_session(Candidate(Pipeline(parts)), GPU.name)
    assert shared == Candidate(OnnxRuntimeWebGpu(on_cpu=("b",), cpu_threads=2))


@pytest.mark.parametrize(
    "engines",
    [
        (OnnxRuntimeWebGpu(), CPackage()),
        (OnnxRuntimeCpu(), OnnxRuntimeCpu()),
    ],
)
def test_what_cannot_run_in_one_session(engines: tuple[PartEngine, PartEngine]) -> None:
    ends = zip((GPU.name, "cpu"), engines, "ab", strict=True)
    split = Pipeline(tuple(PipelinePart(device, engine, (op,)) for device, engine, op in ends))
    assert in_one_session(Candidate(split), GPU.name) is None
    assert in_one_session(Candidate(engines[0]), GPU.name) is None
