"""The graph view: work, bytes and lifetimes, checked by hand on small models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto
from onnx.helper import make_node

from farm.model.flops import count_work
from farm.model.graph import Graph, TensorKind, build_graph, tensor_bytes
from farm.model.model import load_model
from tests import models

REAL_MODELS = Path(__file__).parents[4] / "shared" / "models"


@pytest.fixture
def view(tmp_path):
    def build(proto: ModelProto, **shapes: int) -> Graph:
        return build_graph(load_model(models.save(proto, tmp_path), shapes))

    return build


def test_work_of_a_convolutional_network(view):
    graph = view(models.conv_net())
    macs = {op.op_type: op.macs for op in graph.operators if op.op_type != "Conv"}
    convolutions = [op for op in graph.operators if op.op_type == "Conv"]
    pixels = 16 * 16
    assert [op.macs for op in convolutions] == [pixels * 8 * 27, pixels * 8 * 9]
    assert convolutions[0].flops == 2 * pixels * 8 * 27 + pixels * 8, "with its bias"
    assert convolutions[1].flops == 2 * pixels * 8 * 9, "without a bias"
    assert macs["Gemm"] == 8 * 4
    assert macs["Relu"] == macs["GlobalAveragePool"] == 0
    assert graph.macs == pixels * 8 * 36 + 32
    assert graph.complete


def test_bytes_of_an_operator(view):
    graph = view(models.conv_net())
    first = graph.operators[0]
    assert first.name == "Conv_0"
    assert first.weight_bytes == 4 * (8 * 27 + 8)
    assert first.activation_bytes == 4 * (3 * 256 + 8 * 256)
    assert graph.operator("Conv_0") == first
    with pytest.raises(KeyError):
        graph.operator("none")
    assert graph.weight_bytes == sum(op.weight_bytes for op in graph.operators)


def test_a_shared_weight_counts_once(view):
    nodes = [
        make_node("MatMul", ["x", "w"], ["a"]),
        make_node("MatMul", ["a", "w"], ["y"]),
    ]
    graph = view(
        models.build(
            nodes,
            [models.value("x", [1, 8])],
            [models.value("y", [1, 8])],
            models.weights(w=(8, 8)),
        )
    )
    assert [op.weight_bytes for op in graph.operators] == [256, 256]
    assert graph.weight_bytes == 256


def test_lifetimes(view):
    graph = view(models.mlp())
    alive = {t.name: (t.start, t.end) for t in graph.tensors.values() if t.kind != "weight"}
    assert alive == {"x": (0, 1), "m1": (0, 2), "a1": (1, 3), "r1": (2, 4), "y": (3, 5)}
    assert graph.live_bytes() == (4 * 96, 4 * 128, 4 * 128, 4 * 74, 4 * 10)
    assert (graph.inputs, graph.outputs) == (("x",), ("y",))


def test_an_output_lives_to_the_end(view):
    nodes = [make_node("Relu", ["x"], ["y"]), make_node("Neg", ["x"], ["z"])]
    outputs = [models.value("y", [1, 8]), models.value("z", [1, 8])]
    graph = view(models.build(nodes, [models.value("x", [1, 8])], outputs, {}))
    assert (graph.tensors["y"].start, graph.tensors["y"].end) == (0, 3)
    assert (graph.tensors["z"].start, graph.tensors["z"].end) == (1, 3)
    assert graph.live_bytes() == (64, 96, 64)


def test_an_input_that_is_an_output_lives_to_the_end(view):
    nodes = [make_node("Relu", ["x"], ["y"]), make_node("Neg", ["y"], ["z"])]
    outputs = [models.value("x", [1, 8]), models.value("z", [1, 8])]
    graph = view(models.build(nodes, [models.value("x", [1, 8])], outputs, {}))
    assert (graph.tensors["x"].start, graph.tensors["x"].end) == (0, 3)


def test_what_depends_on_weights_alone_is_folded(view):
    graph = view(models.old_net())
    made, convolution = graph.operators
    assert made.folded
    assert not convolution.folded
    assert (made.flops, convolution.macs) == (0, 2 * 36 * 9)
    assert graph.tensors["w"].kind is TensorKind.WEIGHT
    assert convolution.weight_bytes == 4 * (18 + 2)
    assert graph.weight_bytes == 4 * (18 + 2), "the shape that made the weight is not loaded"


def test_branches_count_the_larger_and_are_marked(view):
    graph = view(models.branching_net())
    choose = graph.operator("choose")
    assert set(choose.inputs) == {"high", "x", "w", "zero", "four", "one"}
    assert choose.macs == 8 * 4
    assert not choose.complete
    assert not graph.complete
    assert graph.tensors["x"].end == 2, "the branches read x"


def test_a_recurrent_layer(view):
    lstm = view(models.lstm_net(steps=5, features=6, hidden=3)).operator("lstm")
    assert lstm.macs == 5 * 4 * 3 * (6 + 3)


def test_unknown_shapes_count_nothing_and_are_marked(view):
    nodes = [
        make_node("NonZero", ["x"], ["where"], name="find"),
        make_node("Cast", ["where"], ["floats"], name="cast", to=TensorProto.FLOAT),
        make_node("MatMul", ["w", "floats"], ["y"], name="product"),
    ]
    proto = models.build(
        nodes, [models.value("x", [1, 8])], [models.value("y", [3, "k"])], models.weights(w=(3, 2))
    )
    graph = view(proto)
    assert (graph.operator("product").macs, graph.operator("product").complete) == (0, False)
    assert graph.tensors["y"].shape is None
    assert graph.tensors["y"].bytes == 0
    assert not graph.complete


@pytest.mark.parametrize(
    ("node", "shapes", "macs"),
    [
        (
            make_node("ConvTranspose", ["x", "w"], ["y"]),
            {"x": (1, 4, 5, 5), "w": (4, 6, 3, 3), "y": (1, 6, 7, 7)},
            100 * 54,
        ),
        (
            make_node("Gemm", ["a", "b"], ["y"], transA=1, transB=1),
            {"a": (7, 2), "b": (3, 7), "y": (2, 3)},
            2 * 3 * 7,
        ),
        (
            make_node("MatMul", ["a", "b"], ["y"]),
            {"a": (5, 1, 4, 8), "b": (6, 8, 3), "y": (5, 6, 4, 3)},
            5 * 6 * 4 * 3 * 8,
        ),
        (make_node("MatMul", ["a", "b"], ["y"]), {"a": (8,), "b": (8,), "y": ()}, 8),
        (
            make_node("Einsum", ["a", "b"], ["y"], equation="bij, bjk -> bik"),
            {"a": (2, 3, 4), "b": (2, 4, 5), "y": (2, 3, 5)},
            2 * 3 * 4 * 5,
        ),
        (
            make_node("QLinearConv", ["x", "s", "z", "w", "s", "z", "s", "z"], ["y"]),
            {"x": (1, 3, 4, 4), "w": (8, 3, 1, 1), "y": (1, 8, 4, 4), "s": (), "z": ()},
            128 * 3,
        ),
        (
            make_node("MatMulNBits", ["x", "w", "s"], ["y"], domain="com.microsoft", N=10, K=32),
            {"x": (2, 32), "w": (10, 1, 16), "s": (10,), "y": (2, 10)},
            2 * 32 * 10,
        ),
        (
            make_node("GRU", ["x", "w", "r"], ["", "h"]),
            {"x": (5, 2, 6), "w": (2, 9, 6), "r": (2, 9, 3), "h": (2, 2, 3)},
            5 * 2 * 2 * 9 * (6 + 3),
        ),
    ],
    ids=lambda value: value.op_type if hasattr(value, "op_type") else "",
)
def test_macs(node, shapes, macs):
    work = count_work(node, shapes)
    assert (work.macs, work.flops, work.known) == (macs, 2 * macs, True)


@pytest.mark.parametrize(
    ("node", "flops"),
    [
        (make_node("Relu", ["x"], ["y"]), 96),
        (make_node("Reshape", ["x", "s"], ["y"]), 0),
        (make_node("ReduceMean", ["x"], ["z"]), 96),
        (make_node("MaxPool", ["x"], ["z"], kernel_shape=[2, 2]), 24 * 4),
        (make_node("Sum", ["x", "x", "x"], ["y"]), 2 * 96),
    ],
    ids=lambda value: getattr(value, "op_type", ""),
)
def test_flops_of_other_operators(node, flops):
    shapes = {"x": (1, 6, 4, 4), "y": (1, 6, 4, 4), "z": (1, 6, 2, 2), "s": (4,)}
    work = count_work(node, shapes)
    assert (work.macs, work.flops, work.known) == (0, flops, True)


@pytest.mark.parametrize(
    "node",
    [
        make_node("Einsum", ["a", "a"], ["a"], equation="...i,...j->...ij"),
        make_node("GroupQueryAttention", ["a", "a", "a"], ["a"], domain="com.microsoft"),
        make_node("MatMul", ["a", "unknown"], ["a"]),
    ],
    ids=lambda node: node.op_type,
)
def test_work_that_cannot_be_counted(node):
    assert not count_work(node, {"a": (2, 2)}).known


@settings(max_examples=50, deadline=None)
@given(
    batch=st.integers(1, 4),
    rows=st.integers(1, 9),
    inner=st.integers(1, 9),
    columns=st.integers(1, 9),
)
def test_a_matrix_product_and_its_einsum_need_the_same(batch, rows, inner, columns):
    shapes = {"a": (batch, rows, inner), "b": (inner, columns), "y": (batch, rows, columns)}
    product = count_work(make_node("MatMul", ["a", "b"], ["y"]), shapes)
    einsum = count_work(make_node("Einsum", ["a", "b"], ["y"], equation="bij,jk->bik"), shapes)
    assert product == einsum


def test_an_empty_tensor_has_no_bytes_and_needs_no_work(view):
    graph = view(models.cache_net(), past_len=0)
    assert graph.complete
    assert graph.tensors["past"].bytes == 0
    assert graph.operator("score").macs == 16
    nothing = view(models.cache_net(), past_len=0, batch=0)
    assert (nothing.macs, nothing.flops, nothing.complete) == (0, 0, True)


def test_bytes_of_packed_and_unknown_types():
    assert tensor_bytes((3, 3), TensorProto.INT4) == 5
    assert tensor_bytes((3, 3), TensorProto.BFLOAT16) == 18
    assert tensor_bytes((), TensorProto.INT64) == 8
    assert tensor_bytes((0, 3), TensorProto.FLOAT) == 0
    assert tensor_bytes(None, TensorProto.FLOAT) == 0


def test_constant_nodes_are_weights(view):
    nodes = [
        make_node("Constant", [], ["c"], value_floats=np.ones(8, np.float32).tolist()),
        make_node("Add", ["x", "c"], ["y"]),
    ]
    proto = models.build(nodes, [models.value("x", [1, 8])], [models.value("y", [1, 8])], {})
    graph = view(proto)
    assert graph.tensors["c"].kind is TensorKind.WEIGHT
    assert graph.weight_bytes == 32
    assert graph.operators[0].folded


@pytest.mark.parametrize(
    ("name", "macs"),
    [("mlperf_tiny_kws_dscnn", 2_656_768), ("mlperf_tiny_ic_resnet8", 12_501_632)],
)
def test_published_macs_of_real_models(name, macs):
    path = REAL_MODELS / f"{name}.onnx"
    if not path.exists():
        pytest.skip(f"{path.name} is not part of the repository")
    assert build_graph(load_model(path)).macs == macs
