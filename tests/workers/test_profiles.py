"""Profiles by real engines: what each kernel is mapped to, and what happens where that fails."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_graph, make_node

from farm.candidate import (
    Candidate,
    CPackage,
    CPackageEmulated,
    DynamicInt8,
    Engine,
    Fake,
    OnnxRuntimeCpu,
    OpenVino,
    OpenVinoRuntime,
    Precision,
    StaticInt8,
)
from farm.devices.profile import load_profiles
from farm.measurement import Method, Outcome
from farm.profile.kernels import OperatorProfile, unmapped_share
from farm.profile.tags import tags_in
from tests import models
from tests.openvino import require_openvino
from tests.workers.conftest import MakeWorker
from tests.workers.samples import det_net, job, named_conv_net, workload
from workers.jobs import ProfileJob
from workers.trials.process import ChildError
from workers.trials.worker import Worker

SHORT = 0.05  # seconds
INT8 = Precision(quantization=StaticInt8())


@pytest.fixture
def openvino() -> None:
    """OpenVINO by its own package; without it the test is skipped."""
    require_openvino("openvino-runtime")


def residual_net() -> ModelProto:
    """Two convolutions with a way around the second, then a product with a bias."""
    nodes = [
        make_node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        make_node("Relu", ["c1"], ["r1"], name="relu1"),
        make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        make_node("Add", ["r1", "c2"], ["s"], name="sum"),
        make_node("Relu", ["s"], ["r2"], name="relu2"),
        make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        make_node("Flatten", ["p"], ["f"], name="flatten"),
        make_node("MatMul", ["f", "w3"], ["m"], name="product"),
        make_node("Add", ["m", "b3"], ["a"], name="bias"),
        make_node("Softmax", ["a"], ["y"], name="share", axis=1),
    ]
    stored = models.weights(
        w1=(32, 16, 3, 3), b1=(32,), w2=(32, 32, 3, 3), b2=(32,), w3=(32, 8), b3=(8,)
    )
    return models.build(
        nodes, [models.value("x", [1, 16, 24, 24])], [models.value("y", [1, 8])], stored
    )


def branch_net() -> ModelProto:
    """A condition that is known, with a product in the branch that is taken, one level down."""
    out = models.value("inner", [1, 64])
    taken = make_node("MatMul", ["h", "w2"], ["inner"], name="taken")
    other = make_node("Neg", ["h"], ["inner"], name="left out")
    branches = [make_graph([node], "branch", [], [out]) for node in (taken, other)]
    ways = dict(zip(("then_branch", "else_branch"), branches, strict=True))
    nested = make_node("If", ["yes"], ["outer"], name="inside", **ways)
    end = models.value("outer", [1, 64])
    around = make_graph([nested], "c", [], [end])
    plain = make_graph([make_node("Abs", ["h"], ["outer"], name="never")], "d", [], [end])
    nodes = [
        make_node("MatMul", ["x", "w1"], ["h"], name="first"),
        make_node("If", ["yes"], ["z"], name="choice", then_branch=around, else_branch=plain),
        make_node("Tanh", ["z"], ["y"], name="last"),
    ]
    stored = models.weights(w1=(64, 64), w2=(64, 64)) | {"yes": np.array(True)}
    return models.build(nodes, [models.value("x", [1, 64])], [models.value("y", [1, 64])], stored)


def profile(
    worker: Worker,
    model: ModelProto,
    engine: Engine,
    precision: Precision = Precision(),  # noqa: B008
) -> tuple[OperatorProfile, ...]:
    worker.prepare(workload(model))
    return worker.run_profile(ProfileJob(job(Candidate(engine, precision)), SHORT))


def operators(rows: Sequence[OperatorProfile], kind: str) -> list[tuple[str, ...]]:
    return [row.operators for row in rows if row.kind == kind]


def test_onnxruntime_fuses_in_blocked_layout_and_every_kernel_is_mapped(worker: Worker) -> None:
    rows = profile(worker, residual_net(), OnnxRuntimeCpu(threads=1))
    assert operators(rows, "Conv") == [("conv1", "relu1"), ("conv2", "sum", "relu2")]
    assert operators(rows, "Gemm") == [("product", "bias")]
    assert operators(rows, "ReorderOutput") in ([("flatten",)], [("pool",)])
    assert unmapped_share(rows) == 0.0
    assert all(row.method is Method.MEASURED and row.packets is None for row in rows)
    assert {row.precision for row in rows} == {"float32"}
    assert any(row.kernel.startswith("relu1") for row in rows), "names are the model's"


def test_onnxruntime_in_integers(worker: Worker) -> None:
    rows = profile(worker, residual_net(), OnnxRuntimeCpu(threads=1), INT8)
    convolutions = [row for row in rows if row.kind == "QLinearConv"]
    assert [row.operators for row in convolutions] == [("conv1", "relu1"), ("conv2",)]
    assert {row.precision for row in convolutions} == {"int8"}
    assert unmapped_share(rows) == 0.0


def test_onnxruntime_with_weights_quantised_as_it_runs(worker: Worker) -> None:
    dynamic = Precision(quantization=DynamicInt8())
    rows = profile(worker, residual_net(), OnnxRuntimeCpu(threads=1), dynamic)
    (product,) = [row for row in rows if row.kind == "DynamicQuantizeMatMul"]
    assert product.operators == ("product", "bias")
    assert product.precision == "int8"


def test_a_graph_that_was_saved_optimised_is_mapped_to_the_given_one(worker: Worker) -> None:
    rows = profile(worker, residual_net(), OnnxRuntimeCpu(threads=1, saved_graph=True))
    assert operators(rows, "Conv") == [("conv1", "relu1"), ("conv2", "sum", "relu2")]


def test_kernels_in_a_branch_that_was_inlined_are_those_of_the_branch(worker: Worker) -> None:
    rows = profile(worker, branch_net(), OnnxRuntimeCpu(threads=1))
    assert [name for row in rows for name in row.operators if name == "taken"] == ["taken"]
    assert "first" in operators(rows, "MatMul")[0]
    assert unmapped_share(rows) == 0.0


def test_openvino_tells_most_and_the_rest_lies_between(worker: Worker, openvino: None) -> None:
    rows = profile(worker, residual_net(), OpenVinoRuntime(threads=1))
    first, second = operators(rows, "Convolution")
    assert first == ("conv1", "relu1")
    assert second[:1] == ("conv2",)
    assert set(second) <= {"conv2", "sum", "relu2"}
    assert unmapped_share(rows) == 0.0
    assert all(row.seconds for row in rows)


def test_openvino_in_integers(worker: Worker, openvino: None) -> None:
    rows = profile(worker, residual_net(), OpenVinoRuntime(threads=1), INT8)
    assert [row.precision for row in rows if row.kind == "Convolution"] == ["int8", "int8"]
    assert unmapped_share(rows) == 0.0


def test_openvino_takes_a_scalar(worker: Worker, openvino: None) -> None:
    nodes = [make_node("Mul", ["x", "factor"], ["y"], name="scale")]
    inputs = [models.value("x", [1, 8]), models.value("factor", [], TensorProto.FLOAT)]
    worker.prepare(workload(models.build(nodes, inputs, [models.value("y", [1, 8])], {})))
    report = worker.run_trial(job(Candidate(OpenVinoRuntime(threads=1))))
    assert report.outcome is Outcome.OK, report.message


@pytest.mark.parametrize("precision", [Precision(), INT8], ids=["float32", "int8"])
def test_steps_of_a_package_are_timed(worker: Worker, precision: Precision) -> None:
    rows = profile(worker, residual_net(), CPackage(), precision)
    found = {name for row in rows for name in row.operators}
    assert found >= {"conv1", "relu1", "conv2", "sum", "relu2", "pool", "product", "bias"}
    assert all(row.seconds is not None and row.method is Method.MEASURED for row in rows)
    assert sum(row.cost for row in rows) > 0.0
    if precision == INT8:
        assert ("conv2", "sum", "relu2") in [row.operators for row in rows]


def test_a_package_is_not_compiled_twice_to_be_profiled(worker: Worker, tmp_path: Path) -> None:
    """Compiling is most of what a calibration spends on packages."""

    def artifacts() -> int:
        return len(list((tmp_path / "cache" / "artifacts").glob("*")))

    profile(worker, named_conv_net(), CPackage())
    assert artifacts() == 0
    profile(worker, named_conv_net(), OnnxRuntimeCpu(threads=1))
    assert artifacts() == 1, "of an engine that loads one"


def test_packets_of_steps_add_up_to_those_of_a_run(make_worker: MakeWorker, emulator: str) -> None:
    worker = make_worker(load_profiles()["dsp"])
    candidate = Candidate(CPackageEmulated(target="hexagon-v67"), INT8)
    worker.prepare(workload(named_conv_net()))
    rows = worker.run_profile(ProfileJob(job(candidate), SHORT))
    report = worker.run_trial(job(candidate))
    whole = {m.metric: m.value for m in report.measurements}["packets"]
    assert {row.method for row in rows} == {Method.EMULATED}
    assert sum(row.cost for row in rows) == pytest.approx(whole, rel=0.05)
    assert unmapped_share(rows) == 0.0


def test_the_fake_engine_has_no_kernels(fake_worker: Worker) -> None:
    fake_worker.prepare(workload(named_conv_net()))
    assert fake_worker.run_profile(ProfileJob(job(Candidate(Fake())), SHORT)) == ()


def test_one_kernel_for_the_whole_model_is_no_profile(worker: Worker) -> None:
    with pytest.raises(ChildError, match="runs the model as one kernel"):
        profile(worker, residual_net(), OpenVino())


def test_a_model_that_cannot_run_fails_with_its_sentence(worker: Worker, openvino: None) -> None:
    with pytest.raises(ChildError, match="Det"):
        profile(worker, det_net(), OpenVinoRuntime())


def test_what_fails_while_it_is_timed_is_called_as_in_the_model(worker: Worker) -> None:
    """And not by the tags of the copy that is timed."""
    nodes = [
        make_node("Mul", ["x", "zero"], ["m"], name="nothing"),
        make_node("Add", ["m", "nine"], ["a"], name="beyond"),
        make_node("Cast", ["a"], ["at"], name="where", to=TensorProto.INT64),
        make_node("Gather", ["x", "at"], ["y"], name="out of reach"),
    ]
    stored = {"zero": np.array(0.0, np.float32), "nine": np.array(9.0, np.float32)}
    model = models.build(nodes, [models.value("x", [4])], [models.value("y", [4])], stored)
    with pytest.raises(ChildError, match="out of reach") as failed:
        profile(worker, model, OnnxRuntimeCpu(threads=1))
    assert not tags_in(str(failed.value))
