"""Weights of products: the integers they came with, or new ones."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.codegen.generate import generate
from farm.codegen.lower.integer.weights import integer_product
from farm.codegen.program import Quantization
from farm.compile.quantization.calibrate import Range
from tests.models import build, value

X, Y = Quantization(0.03, 128), Quantization(0.2, 128)
STEP = 0.2
RANDOM = np.random.default_rng(1)
INT8 = RANDOM.integers(-128, 128, (16, 16)).astype(np.int8)
UINT8 = RANDOM.integers(0, 256, (16, 16)).astype(np.uint8)
PER_CHANNEL = RANDOM.uniform(0.005, 0.05, 16).astype(np.float32)


def product(op: str, weights: np.ndarray, scale, zero: int = 0, **attributes) -> onnx.ModelProto:
    """One product in QDQ form; ``axis`` is that of the weights' scales."""
    axis = {"axis": attributes.pop("axis")} if "axis" in attributes else {}
    scale = np.asarray(scale, np.float32)
    nodes = [
        make_node("QuantizeLinear", ["x", "x_scale", "half"], ["x_q"], name="x_q"),
        make_node("DequantizeLinear", ["x_q", "x_scale", "half"], ["a"], name="x_dq"),
        make_node("DequantizeLinear", ["w_q", "w_scale", "w_zero"], ["w"], name="w_dq", **axis),
        make_node(op, ["a", "w"], ["b"], name="product", **attributes),
        make_node("QuantizeLinear", ["b", "y_scale", "half"], ["b_q"], name="b_q"),
        make_node("DequantizeLinear", ["b_q", "y_scale", "half"], ["y"], name="b_dq"),
    ]
    stored = {"w_q": weights, "w_scale": scale, "half": np.uint8(128)}
    stored |= {"x_scale": np.float32(X.scale), "y_scale": np.float32(Y.scale)}
    stored |= {"w_zero": np.full(scale.shape, zero, weights.dtype)}
    return build(nodes, [value("x", [2, 16])], [value("y", [2, 16])], stored)


@pytest.mark.parametrize(
    ("model", "is_given"),
    [
        (product("MatMul", INT8, 0.02), True),
        (product("MatMul", INT8, PER_CHANNEL, axis=1), True),
        (product("Gemm", INT8, PER_CHANNEL, axis=0, transB=1), True),
        (product("Gemm", INT8, 0.02, alpha=0.5), True),
        (product("MatMul", UINT8, 0.02, zero=128), True),
        (product("MatMul", UINT8, 0.02, zero=40), False),
        (product("MatMul", INT8, PER_CHANNEL, axis=0), False),
    ],
    ids=lambda given: "" if isinstance(given, onnx.ModelProto) else f"given={given}",
)
def test_weights_that_came_quantised(model: onnx.ModelProto, is_given: bool):
    feeds = {"x": np.random.default_rng(2).standard_normal((2, 16)).astype(np.float32)}
    options = ort.SessionOptions()  # its optimiser takes scales over axis 0 for those of axis 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    (wanted,) = ort.InferenceSession(model.SerializeToString(), options).run(None, feeds)

    program = generate(model, "test").program

    assert np.abs(program.run(feeds)["y"] - wanted).max() <= STEP * 1.001
    assert bool(program.notes) == (not is_given)
    assert all("product are quantised anew" in note for note in program.notes)


def test_weights_of_zeros_leave_the_bias():
    made = integer_product(np.zeros((4, 8)), np.array([1.0, -2.0, 3.0, 0.5]), X, Y)

    assert not made.weights.any()
    unit = X.scale * Y.scale / (2 * X.scale)
    without_zero_point = (made.bias - made.rule.offset) * unit
    assert without_zero_point == pytest.approx([1.0, -2.0, 3.0, 0.5], abs=unit)


def test_scales_too_far_apart_are_brought_nearer():
    weights = np.array([[1.0], [0.001]])

    made = integer_product(weights, np.zeros(2), X, Y, weights / 100)

    assert not made.is_given
    assert made.weights.ravel().tolist() == [100, 3]


def dense_net(inputs: int) -> onnx.ModelProto:
    """Two sums over so many inputs, every weight 0.001."""
    stored = {"w": np.full((inputs, 2), 1e-3, np.float32)}
    ends = [value("x", [1, inputs])], [value("y", [1, 2])]
    return build([make_node("Gemm", ["x", "w"], ["y"], name="product")], *ends, stored)


MOST_INPUTS = (2**31 - 1) // (255 * 127)
"""Products of 255 and 127 that fit a sum of 32 bits."""


@pytest.mark.parametrize("inputs", [MOST_INPUTS - 9, MOST_INPUTS + 9])
def test_sums_that_could_leave_32_bits_are_made_in_float(inputs: int):
    ranges = {"x": Range(0.0, 1.0), "y": Range(0.0, 8.0)}

    program = generate(dense_net(inputs), "test", ranges).program

    (ones,) = program.run({"x": np.ones((1, inputs), np.float32)})["y"]
    integer = inputs <= MOST_INPUTS
    assert ones == pytest.approx([8.0 if integer else inputs * 1e-3] * 2, rel=0.01)
    told = f"product is computed in float: sums of {inputs} products with these weights"
    assert any(told in note for note in program.notes) != integer


def test_only_sums_that_can_occur_are_too_large():
    weights = np.tile([1.0, -1.0], (1, 60_000))

    made = integer_product(weights, np.zeros(1), Quantization(0.1, 0), Quantization(1e3, 128))

    assert made.weights.min() == -127


@pytest.mark.parametrize("bias", [3e6, -3e6, 1e30, np.inf, np.nan])
def test_a_bias_that_leaves_32_bits_is_refused(bias: float):
    with pytest.raises(ValueError, match=r"bias do(es)? not fit 32 bits"):
        integer_product(np.full((1, 60_000), 1.0), np.array([bias]), X, Quantization(100, 0))
