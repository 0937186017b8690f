"""Graphs that the compile passes have work to do on, and samples to run them with."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
from onnx import ModelProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array

from tests.models import build, value, weights

Feeds = dict[str, np.ndarray]


def residual_net(opset: int = 17, ir_version: int = 8) -> ModelProto:
    """Convolution with batch normalisation, a Sum around a second one, and a Gemm."""
    nodes = [
        make_node("Conv", ["image", "w1", "b1"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        make_node("BatchNormalization", ["c1", "s", "o", "m", "v"], ["n1"], name="norm"),
        make_node("Relu", ["n1"], ["r1"], name="stem_relu"),
        make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="body", pads=[1, 1, 1, 1]),
        make_node("Sum", ["c2", "r1"], ["sum"], name="join"),
        make_node("Relu", ["sum"], ["r2"], name="join_relu"),
        make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        make_node("Flatten", ["p"], ["f"], name="flat"),
        make_node("Gemm", ["f", "w3", "b3"], ["y"], name="head", transB=1),
    ]
    stored = weights(w1=(8, 3, 3, 3), b1=(8,), w2=(8, 8, 3, 3), b2=(8,), w3=(4, 8), b3=(4,))
    stored |= weights(s=(8,), o=(8,), m=(8,)) | {"v": np.full(8, 0.5, np.float32)}
    inputs, outputs = [value("image", [1, 3, 8, 8])], [value("y", [1, 4])]
    return build(nodes, inputs, outputs, stored, opset, ir_version)


def weights_behind_dequantize() -> ModelProto:
    """A convolution whose weights are stored as int8 behind DequantizeLinear."""
    stored = {
        "q": np.random.default_rng(0).integers(-127, 127, (4, 3, 3, 3), np.int8),
        "scale": np.full(4, 0.01, np.float32),
        "zero": np.zeros(4, np.int8),
    }
    nodes = [
        make_node("DequantizeLinear", ["q", "scale", "zero"], ["w"], name="weights", axis=0),
        make_node("Conv", ["image", "w"], ["y"], name="conv"),
    ]
    return build(nodes, [value("image", [1, 3, 8, 8])], [value("y", [1, 4, 6, 6])], stored)


def generated_weights() -> ModelProto:
    """Opset 9, IR 3: weights made in the graph from shapes that are graph inputs, too."""
    fill = from_array(np.array([0.25], np.float32))
    nodes = [
        make_node("ConstantOfShape", ["shape"], ["w"], name="fill", value=fill),
        make_node("Conv", ["image", "w"], ["y"], name="conv"),
    ]
    stored = {"shape": np.array([64, 3, 3, 3])}
    inputs = [value("image", [1, 3, 8, 8]), value("shape", [4], 7)]
    return build(nodes, inputs, [value("y", [1, 64, 6, 6])], stored, opset=9, ir_version=3)


def feeds(model: ModelProto, count: int = 8) -> list[Feeds]:
    """Standard normal samples for the inputs that are not initializers."""
    random = np.random.default_rng(1)
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [v for v in model.graph.input if v.name not in stored]
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inputs}
    return [
        {name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(count)
    ]


def run(model: ModelProto, sample: Feeds) -> np.ndarray:
    """The first output, by ONNX Runtime with one thread and no optimisation."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    providers = ["CPUExecutionProvider"]
    session = ort.InferenceSession(model.SerializeToString(), options, providers=providers)
    return session.run(None, sample)[0]


def error(exact: np.ndarray, other: np.ndarray) -> float:
    """Relative root-mean-square difference."""
    return float(np.linalg.norm(other - exact) / np.linalg.norm(exact))


def names(model: ModelProto) -> list[str]:
    return [node.name for node in model.graph.node]


def types(model: ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def detector_head() -> ModelProto:
    """Boxes in pixels, 0 to 640, and scores, 0 to 1, in one output; [1, positions, values]."""
    nodes = [
        make_node("Conv", ["image", "w1"], ["c1"], name="stem", pads=[1, 1, 1, 1]),
        make_node("Relu", ["c1"], ["r1"], name="stem_relu"),
        make_node("Conv", ["r1", "w2"], ["c2"], name="box"),
        make_node("Sigmoid", ["c2"], ["s2"], name="box_gate"),
        make_node("Mul", ["s2", "pixels"], ["b2"], name="box_pixels"),
        make_node("Conv", ["r1", "w3"], ["c3"], name="class"),
        make_node("Sigmoid", ["c3"], ["s3"], name="class_gate"),
        make_node("Concat", ["b2", "s3"], ["j"], name="join", axis=1),
        make_node("Reshape", ["j", "flat"], ["f"], name="flat"),
        make_node("Transpose", ["f"], ["y"], name="turn", perm=[0, 2, 1]),
    ]
    stored = weights(w1=(8, 3, 3, 3), w2=(4, 8, 1, 1), w3=(4, 8, 1, 1))
    stored |= {"pixels": np.array(640, np.float32), "flat": np.array([1, 8, 64])}
    return build(nodes, [value("image", [1, 3, 8, 8])], [value("y", [1, 64, 8])], stored)


def regression_far_from_zero() -> ModelProto:
    """A Gemm whose results lie around 1000, some units apart."""
    nodes = [
        make_node("Gemm", ["x", "w1"], ["a"], name="first"),
        make_node("Relu", ["a"], ["r"], name="relu"),
        make_node("Gemm", ["r", "w2", "b2"], ["y"], name="last"),
    ]
    stored = weights(w1=(16, 32), w2=(32, 1)) | {"b2": np.array([1000], np.float32)}
    return build(nodes, [value("x", [1, 16])], [value("y", [1, 1])], stored)


def masked_attention(mask: np.ndarray, sign: str = "Add") -> ModelProto:
    """Logits of 4 queries for 16 keys with a constant mask, and their softmax."""
    nodes = [
        make_node("Gemm", ["x", "w"], ["logits"], name="scores"),
        make_node(sign, ["logits", "mask"], ["masked"], name="mask"),
        make_node("Softmax", ["masked"], ["y"], name="softmax", axis=-1),
    ]
    stored = {"w": 2 * weights(w=(8, 16))["w"], "mask": mask.astype(np.float32)}
    return build(nodes, [value("x", [4, 8])], [value("y", [4, 16])], stored)


def causal_mask(lowest: float) -> np.ndarray:
    """[4, 16]: query i sees the first 8 + i keys."""
    return np.where(np.arange(16) < 8 + np.arange(4)[:, None], 0.0, lowest)


def attention_net(mask: tuple[int, ...] | None = None) -> ModelProto:
    """Self-attention with one head on [1, 8, 16], added to its input and normalised.

    mask: shape of a constant that is added before the softmax and hides the last of its positions.
    """
    nodes = [
        make_node("MatMul", ["x", "wq"], ["query"], name="query"),
        make_node("MatMul", ["x", "wk"], ["key"], name="key"),
        make_node("MatMul", ["x", "wv"], ["content"], name="value"),
        make_node("Transpose", ["key"], ["turned"], name="turn", perm=[0, 2, 1]),
        make_node("MatMul", ["query", "turned"], ["scores"], name="scores"),
        *([make_node("Add", ["scores", "mask"], ["seen"], name="see")] if mask else []),
        make_node("Softmax", ["seen" if mask else "scores"], ["shares"], name="shares"),
        make_node("MatMul", ["shares", "content"], ["mixed"], name="mix"),
        make_node("MatMul", ["mixed", "wo"], ["told"], name="tell"),
        make_node("Add", ["x", "told"], ["sum"], name="sum"),
        make_node("LayerNormalization", ["sum", "ones", "zeros"], ["y"], name="norm"),
    ]
    stored = weights(wq=(16, 16), wk=(16, 16), wv=(16, 16), wo=(16, 16))
    stored |= {"ones": np.ones(16, np.float32), "zeros": np.zeros(16, np.float32)}
    if mask:
        stored["mask"] = np.zeros(mask, np.float32)
        stored["mask"][..., mask[-1] // 2 + 1 :] = -1e9
    return build(nodes, [value("x", [1, 8, 16])], [value("y", [1, 8, 16])], stored)
