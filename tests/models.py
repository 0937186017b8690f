"""Small ONNX models for the tests, built in memory and the same on every call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto
from onnx.helper import (
    make_graph,
    make_model,
    make_node,
    make_opsetid,
    make_tensor_value_info,
)
from onnx.numpy_helper import from_array

Dims = Sequence[int | str | None]
Weights = dict[str, np.ndarray]


def value(name: str, dims: Dims, element: int = TensorProto.FLOAT) -> ValueInfoProto:
    return make_tensor_value_info(name, element, dims)


def build(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    weights: Weights,
    opset: int = 17,
    ir_version: int = 8,
    domains: Sequence[str] = (),
) -> ModelProto:
    stored = [from_array(array, name) for name, array in weights.items()]
    graph = make_graph(nodes, "test", inputs, outputs, stored)
    opsets = [make_opsetid("", opset), *(make_opsetid(domain, 1) for domain in domains)]
    return make_model(graph, opset_imports=opsets, ir_version=ir_version)


def weights(**shapes: tuple[int, ...]) -> Weights:
    """Normal weights, scaled so that signals neither vanish nor explode."""
    random = np.random.default_rng(7)
    return {
        name: (random.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def conv_net(batch: int | str = 1) -> ModelProto:
    """Image [batch, 3, 16, 16] to the probabilities of 4 classes; its nodes have no names."""
    nodes = [
        make_node("Conv", ["image", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1]),
        make_node("Relu", ["c1"], ["r1"]),
        make_node("Conv", ["r1", "w2"], ["c2"], pads=[1, 1, 1, 1], group=8),
        make_node("Relu", ["c2"], ["r2"]),
        make_node("GlobalAveragePool", ["r2"], ["p"]),
        make_node("Flatten", ["p"], ["f"]),
        make_node("Gemm", ["f", "w3", "b3"], ["logits"], transB=1),
        make_node("Softmax", ["logits"], ["scores"], axis=1),
    ]
    stored = weights(w1=(8, 3, 3, 3), b1=(8,), w2=(8, 1, 3, 3), w3=(4, 8), b3=(4,))
    return build(
        nodes, [value("image", [batch, 3, 16, 16])], [value("scores", [batch, 4])], stored
    )


def mlp(width: int = 64) -> ModelProto:
    """A vector [1, 32] to a vector [1, 10] by two matrix products."""
    nodes = [
        make_node("MatMul", ["x", "w1"], ["m1"], name="first"),
        make_node("Add", ["m1", "b1"], ["a1"], name="bias"),
        make_node("Relu", ["a1"], ["r1"], name="relu"),
        make_node("MatMul", ["r1", "w2"], ["y"], name="second"),
    ]
    stored = weights(w1=(32, width), b1=(width,), w2=(width, 10))
    return build(nodes, [value("x", [1, 32])], [value("y", [1, 10])], stored)


def cache_net() -> ModelProto:
    """One step of attention over a cache of "past_len" earlier steps, and the longer cache."""
    nodes = [
        make_node("MatMul", ["x", "wk"], ["key"], name="key"),
        make_node("Concat", ["past", "key"], ["present"], name="append", axis=1),
        make_node("Transpose", ["present"], ["keys"], name="transpose", perm=[0, 2, 1]),
        make_node("MatMul", ["x", "keys"], ["scores"], name="score"),
        make_node("Softmax", ["scores"], ["shares"], name="share", axis=-1),
        make_node("MatMul", ["shares", "present"], ["mixed"], name="mix"),
        make_node("MatMul", ["mixed", "wo"], ["y"], name="project"),
    ]
    inputs = [value("x", ["batch", 1, 16]), value("past", ["batch", "past_len", 16])]
    outputs = [value("y", ["batch", 1, 16]), value("present", ["batch", "total", 16])]
    return build(nodes, inputs, outputs, weights(wk=(16, 16), wo=(16, 16)))


def dynamic_net(dims: Dims = ("batch", "sequence", 8), outputs: Dims = ()) -> ModelProto:
    """A sequence of vectors of 8 to vectors of 4; dims: of the input."""
    nodes = [make_node("MatMul", ["tokens", "w"], ["y"], name="project")]
    out = value("y", outputs or (*dims[:-1], 4))
    return build(nodes, [value("tokens", dims)], [out], weights(w=(8, 4)))


def reshape_net() -> ModelProto:
    """Shapes computed from shapes: flattens [batch, length, 4] by Shape, Gather and Concat."""
    nodes = [
        make_node("Shape", ["x"], ["s"]),
        make_node("Gather", ["s", "zero"], ["n"]),
        make_node("Concat", ["n", "rest"], ["to"], axis=0),
        make_node("Reshape", ["x", "to"], ["y"]),
    ]
    stored = {"zero": np.array([0]), "rest": np.array([-1])}
    return build(nodes, [value("x", ["batch", "length", 4])], [value("y", ["u", "v"])], stored)


def branching_net() -> ModelProto:
    """An If whose larger branch has a matrix product; both read the outer ``x``."""
    out = value("branch", [1, 4])
    product = make_graph([make_node("MatMul", ["x", "w"], ["branch"])], "then", [], [out])
    slice_ = make_graph(
        [make_node("Slice", ["x", "zero", "four", "one"], ["branch"])], "else", [], [out]
    )
    nodes = [
        make_node("Greater", ["level", "limit"], ["high"], name="compare"),
        make_node("If", ["high"], ["y"], name="choose", then_branch=product, else_branch=slice_),
    ]
    stored = weights(w=(8, 4)) | {
        "limit": np.array(3, dtype=np.int64),
        "zero": np.array([0]),
        "four": np.array([4]),
        "one": np.array([1]),
    }
    inputs = [value("x", [1, 8]), value("level", [], TensorProto.INT64)]
    return build(nodes, inputs, [value("y", [1, "k"])], stored)


def custom_net(domain: str = "acme.ops", op_type: str = "Fold") -> ModelProto:
    """A model with an operator of another domain."""
    nodes = [make_node(op_type, ["x"], ["y"], domain=domain)]
    return build(nodes, [value("x", [1, 8])], [value("y", [1, 8])], {}, domains=[domain])


def old_net() -> ModelProto:
    """IR version 3, opset 9: weights are listed as inputs, one is made by ConstantOfShape."""
    nodes = [
        make_node(
            "ConstantOfShape", ["w__SHAPE"], ["w"], value=from_array(np.ones(1, np.float32))
        ),
        make_node("Conv", ["x", "w", "b"], ["y"]),
    ]
    stored = {"w__SHAPE": np.array([2, 1, 3, 3]), "b": np.zeros(2, np.float32)}
    inputs = [
        value("x", [1, 1, 8, 8]),
        value("w__SHAPE", [4], TensorProto.INT64),
        value("b", [2]),
    ]
    return build(nodes, inputs, [value("y", [1, 2, 6, 6])], stored, opset=9, ir_version=3)


def lstm_net(steps: int = 5, features: int = 6, hidden: int = 3) -> ModelProto:
    """One LSTM over a sequence [steps, 1, features]."""
    nodes = [make_node("LSTM", ["x", "w", "r"], ["y"], name="lstm", hidden_size=hidden)]
    stored = weights(w=(1, 4 * hidden, features), r=(1, 4 * hidden, hidden))
    out = value("y", [steps, 1, 1, hidden])
    return build(nodes, [value("x", [steps, 1, features])], [out], stored)


def rnn_net(steps: int = 5, features: int = 6, hidden: int = 3) -> ModelProto:
    """One plain recurrent network over a sequence: ONNX Runtime has it, generated code has not."""
    nodes = [make_node("RNN", ["x", "w", "r"], ["y"], name="rnn", hidden_size=hidden)]
    stored = weights(w=(1, hidden, features), r=(1, hidden, hidden))
    out = value("y", [steps, 1, 1, hidden])
    return build(nodes, [value("x", [steps, 1, features])], [out], stored)


def save(proto: ModelProto, folder: Path, name: str = "model.onnx") -> Path:
    path = folder / name
    onnx.save_model(proto, path)
    return path


def save_external(proto: ModelProto, folder: Path, location: str = "model.data") -> Path:
    """Save with every weight in one external file beside the model."""
    path = folder / "model.onnx"
    copy = ModelProto()
    copy.CopyFrom(proto)
    onnx.save_model(copy, path, save_as_external_data=True, location=location, size_threshold=0)
    return path


def relocate(path: Path, location: str) -> None:
    """Make a model that ``save_external`` wrote look for its data elsewhere."""
    proto = onnx.load_model(path, load_external_data=False)
    for tensor in proto.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(proto.SerializeToString())
