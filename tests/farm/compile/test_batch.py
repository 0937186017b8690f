"""A batch: the same outputs for each sample, or a sentence on why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.artifact.compiler import compile_candidate
from farm.candidate import Candidate, OnnxRuntimeCpu, Precision, StaticInt8
from farm.compile.batch import Batched, batch_obstacle
from farm.errors import CompileError
from farm.model.model import load_model
from tests import models


def flat_net(shape: tuple[int, ...]) -> onnx.ModelProto:
    """[1, 6] to [1, 2] by way of [1, 2, 3], with a constant for the shape."""
    nodes = [
        make_node("Reshape", ["x", "shape"], ["r"]),
        make_node("ReduceSum", ["r", "axes"], ["y"], keepdims=0),
    ]
    stored = {"shape": np.array(shape, np.int64), "axes": np.array([2], np.int64)}
    return models.build(nodes, [models.value("x", [1, 6])], [models.value("y", [1, 2])], stored)


def run(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})[0]


def assert_batched(model: onnx.ModelProto, x: np.ndarray) -> None:
    together = run(Batched(len(x))(model).model, x)
    apart = np.concatenate([run(model, row[None]) for row in x])
    np.testing.assert_allclose(together, apart, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 2, 3), (1, -1, 3), (-1, 2, 3), (0, 2, 3)])
def test_a_constant_shape_follows(shape):
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    assert_batched(flat_net(shape), x)


def test_a_convolutional_net(tmp_path):
    model = load_model(models.save(models.conv_net("batch"), tmp_path)).proto
    x = np.random.default_rng(0).standard_normal((3, 3, 16, 16)).astype(np.float32)
    assert_batched(model, x)


def test_the_model_itself_stays_as_it_was():
    model = flat_net((1, 2, 3))
    before = model.SerializeToString(deterministic=True)
    assert Batched(8)(model).changed
    assert model.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize("precision", [Precision(), Precision(quantization=StaticInt8())])
@pytest.mark.parametrize("saved_graph", [False, True])
def test_every_candidate_has_its_batch(tmp_path, precision, saved_graph):
    proto = load_model(models.save(models.conv_net(), tmp_path)).proto
    random = np.random.default_rng(0)
    x = random.standard_normal((4, 3, 16, 16)).astype(np.float32)
    name = proto.graph.input[0].name
    outputs = []
    for batch in (1, 4):
        engine = OnnxRuntimeCpu(threads=1, saved_graph=saved_graph)
        folder = tmp_path / str(batch)
        folder.mkdir()
        calibration = [{name: row[None]} for row in x]
        compile_candidate(proto, Candidate(engine, precision, batch=batch), calibration, folder)
        model = onnx.load(folder / "model.onnx")
        parts = [x] if batch == 4 else [row[None] for row in x]
        outputs.append(np.concatenate([run(model, part) for part in parts]))
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-3, atol=1e-4)


def test_ends_that_do_not_agree_are_named():
    ends = [models.value("x", [1, 4]), models.value("state", [2, 4])], [models.value("y", [1, 4])]
    nodes = [make_node("ReduceSum", ["state", "axes"], ["s"]), make_node("Add", ["x", "s"], ["y"])]
    model = models.build(nodes, *ends, {"axes": np.array([0], np.int64)})
    told = (
        "All inputs and outputs must begin with the same dimension, and input 'state' begins with "
        "a dimension of 2"
    )
    assert batch_obstacle(model) == told
    with pytest.raises(CompileError, match="input 'state' begins"):
        Batched(2)(model)


def test_a_scalar_output_has_no_samples():
    node = make_node("ReduceSum", ["x"], ["y"], keepdims=0)
    model = models.build([node], [models.value("x", [1, 4])], [models.value("y", [])], {})
    assert batch_obstacle(model).endswith("output 'y' begins with nothing fixed")


def test_operators_that_fix_the_batch_say_so():
    node = make_node("Tile", ["x", "repeats"], ["t"])
    last = make_node("Reshape", ["t", "shape"], ["y"])
    stored = {"repeats": np.array([3, 1], np.int64), "shape": np.array([4, 3], np.int64)}
    model = models.build(
        [node, last], [models.value("x", [4, 1])], [models.value("y", [4, 3])], stored
    )
    assert batch_obstacle(model) == "", "a shape that begins with the batch follows"
    stored["shape"] = np.array([2, 6], np.int64)
    last.input[0], end = "t", make_node("Reshape", ["r", "end"], ["y"])
    last.output[0] = "r"
    stored["end"] = np.array([4, 3], np.int64)
    model = models.build(
        [node, last, end], [models.value("x", [4, 1])], [models.value("y", [4, 3])], stored
    )
    assert batch_obstacle(model).startswith("Pass batched failed: ")


def test_a_model_without_an_obstacle(tmp_path: Path):
    assert batch_obstacle(load_model(models.save(models.mlp(), tmp_path)).proto) == ""


@pytest.mark.parametrize("size", [0, 10**10, 10**20])
def test_a_batch_that_no_dimension_can_be(size: int) -> None:
    with pytest.raises(CompileError, match=f"must have 1 to 2147483647 samples here, got {size}"):
        Batched(size)(models.mlp())
