"""Combinations of operators that random graphs have found wanting, each as small as it can be."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.candidate import CalibrationMethod
from farm.codegen.front.source import UnsupportedOperator, read_source
from farm.codegen.generate import generate, tensors_to_calibrate
from farm.codegen.ops.integer.convolution import Convolution
from farm.codegen.ops.integer.dense import Dense
from farm.codegen.ops.integer.elementwise import Table, WeightedAdd
from farm.codegen.ops.integer.pool import AveragePool
from farm.compile.quantization.calibrate import Range, calibrate
from tests.models import build, value, weights


def feed_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    shapes = {
        i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in model.graph.input
    }
    return {
        name: random.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()
    }


def expected(model: onnx.ModelProto) -> np.ndarray:
    return ort.InferenceSession(model.SerializeToString()).run(None, feed_of(model))[0]


def program_of(model: onnx.ModelProto, *, quantised: bool = True):
    if not quantised:
        return generate(model, "test").program
    names = tensors_to_calibrate(model)
    ranges = calibrate(model, names, [feed_of(model)], CalibrationMethod.MIN_MAX).ranges
    return generate(model, "test", ranges).program


def assert_near(model: onnx.ModelProto, program, tolerance: float = 0.04) -> None:
    wanted = expected(model)
    (found,) = program.run(feed_of(model)).values()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=tolerance * abs(wanted).max())


def test_operators_over_one_axis_follow_each_other():
    nodes = [
        make_node("Conv", ["x", "w1"], ["a"], name="first"),
        make_node("MaxPool", ["a"], ["b"], name="pool", kernel_shape=[2]),
        make_node("Conv", ["b", "w2"], ["c"], name="second"),
        make_node("Conv", ["b", "w3"], ["d"], name="third"),
        make_node("Add", ["c", "d"], ["y"], name="sum"),
    ]
    stored = weights(w1=(4, 3, 3), w2=(5, 4, 2), w3=(5, 4, 2))
    model = build(nodes, [value("x", [1, 3, 11])], [value("y", [1, 5, 7])], stored)

    program = program_of(model)

    assert_near(model, program)
    made = [tensor.name for step in program.steps for tensor in step.outputs]
    assert len(made) == len(set(made)), "every tensor is written once"


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_gelu_is_a_table(approximate):
    nodes = [make_node("Gelu", ["x"], ["y"], name="gelu", approximate=approximate)]
    model = build(nodes, [value("x", [3, 7])], [value("y", [3, 7])], {}, opset=20)

    program = program_of(model)

    assert any(isinstance(step, Table) for step in program.steps)
    assert_near(model, program)


def test_gelu_of_onnx_runtime_s_own_domain_is_a_table():
    node = make_node("Gelu", ["x"], ["y"], name="gelu", domain="com.microsoft")
    ends = [value("x", [3, 7])], [value("y", [3, 7])]
    model = build([node], *ends, {}, domains=["com.microsoft"])

    assert_near(model, program_of(model))


def test_what_follows_an_operator_that_fell_back_to_float_reads_its_float_result():
    nodes = [
        make_node("ReduceMean", ["x"], ["m"], name="mean", axes=[2, 3]),
        make_node("PRelu", ["m", "slope"], ["y"], name="prelu"),
    ]
    stored = {"slope": np.array([[[0.2]], [[0.3]]], np.float32)}
    model = build(nodes, [value("x", [1, 2, 4, 4])], [value("y", [1, 2, 1, 1])], stored)
    names, tiny = tensors_to_calibrate(model), Range(-1e-4, 1e-4)
    found = calibrate(model, names, [feed_of(model)], CalibrationMethod.MIN_MAX).ranges

    program = generate(model, "test", {**found, "m": tiny, "y": tiny}).program

    assert any("mean is computed in float" in note for note in program.notes)
    assert abs(program.run(feed_of(model))["y"]).max() <= 1e-4


def test_a_function_that_is_no_number_everywhere_falls_back_to_float():
    nodes = [
        make_node("Sqrt", ["x"], ["a"], name="root"),
        make_node("Relu", ["a"], ["y"], name="relu"),
    ]
    model = build(nodes, [value("x", [4])], [value("y", [4])], {})
    x = np.array([0.0, 1.0, 2.0, 4.0], np.float32)
    ranges = calibrate(model, tensors_to_calibrate(model), [{"x": x}], CalibrationMethod.MIN_MAX)
    below = {**ranges.ranges, "x": Range(-1.0, 4.0)}

    program = generate(model, "test", below).program

    assert any("root is computed in float" in note for note in program.notes)
    np.testing.assert_allclose(program.run({"x": x})["y"], np.sqrt(x), atol=0.02)


def test_a_product_of_single_numbers_has_no_axes():
    nodes = [
        make_node("ReduceMean", ["x"], ["a"], name="mean", keepdims=0),
        make_node("Sigmoid", ["a"], ["b"], name="gate"),
        make_node("Mul", ["a", "b"], ["y"], name="gated"),
    ]
    model = build(nodes, [value("x", [9])], [value("y", [])], {})

    assert_near(model, program_of(model))


@pytest.mark.parametrize("quantised", [False, True])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (1, 3), (3, 1), (3, 3)])
def test_what_a_gemm_adds_has_any_shape_that_broadcasts(shape, quantised):
    nodes = [make_node("Gemm", ["x", "w", "c"], ["y"], name="gemm", beta=0.5)]
    bias = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    stored = weights(w=(5, 3)) | {"c": bias}
    model = build(nodes, [value("x", [3, 5])], [value("y", [3, 3])], stored)

    program = program_of(model, quantised=quantised)

    assert_near(model, program, 0.04 if quantised else 1e-6)
    in_integers = any(isinstance(step, Dense) for step in program.steps)
    assert in_integers == (quantised and shape not in {(3, 1), (3, 3)})


def qdq_model(middle: list[onnx.NodeProto], shape: list[int], result: list[int]):
    """A pair, operators from "a" to "b", and a pair: the second one has no negative values."""
    nodes = [
        make_node("QuantizeLinear", ["x", "wide", "half"], ["x_q"], name="x_q"),
        make_node("DequantizeLinear", ["x_q", "wide", "half"], ["a"], name="x_dq"),
        *middle,
        make_node("QuantizeLinear", ["b", "wide", "zero"], ["b_q"], name="b_q"),
        make_node("DequantizeLinear", ["b_q", "wide", "zero"], ["c"], name="b_dq"),
        make_node("GlobalMaxPool", ["c"], ["y"], name="largest"),
    ]
    stored = {"wide": np.float32(0.03), "half": np.uint8(128), "zero": np.uint8(0)}
    stored |= {"smaller": -np.ones(1, np.float32)}
    return build(nodes, [value("x", shape)], [value("y", result)], stored)


def test_a_float_result_keeps_the_limits_of_its_pair():
    """Quantisers leave out a Relu whose work the pair after it does."""
    middle = [make_node("GlobalMaxPool", ["a"], ["m"], name="max")]
    middle += [make_node("Mul", ["m", "smaller"], ["b"], name="negative")]
    model = qdq_model(middle, [1, 2, 4, 4], [1, 2, 1, 1])

    program = generate(model, "test").program

    assert (expected(model) == 0).all()
    assert (program.run(feed_of(model))["y"] == 0).all()


def test_an_input_keeps_the_limits_of_its_pair():
    nodes = [
        make_node("QuantizeLinear", ["x", "wide", "zero"], ["x_q"], name="x_q"),
        make_node("DequantizeLinear", ["x_q", "wide", "zero"], ["a"], name="x_dq"),
        make_node("GlobalMaxPool", ["a"], ["y"], name="largest"),
    ]
    stored = {"wide": np.float32(0.03), "zero": np.uint8(0)}
    shape, result = [1, 8, 1, 1], [1, 8, 1, 1]
    model = build(nodes, [value("x", shape)], [value("y", result)], stored)

    assert (feed_of(model)["x"] < 0).any()
    assert_near(model, generate(model, "test").program, 1e-6)


def test_operators_without_an_integer_kernel_are_noted():
    nodes = [make_node("MatMul", ["x", "x"], ["y"], name="square")]
    model = build(nodes, [value("x", [4, 4])], [value("y", [4, 4])], {})

    assert program_of(model, quantised=False).notes == ()
    (note,) = program_of(model).notes
    assert note == "Operator square is computed in float: its second input is not constant."


def between_pair(*nodes: onnx.NodeProto, shape: list[int], constants=()) -> onnx.ModelProto:
    """Operators on integers, from "x_q" to "y_q"."""
    around = [
        make_node("QuantizeLinear", ["x", "wide", "half"], ["x_q"], name="x_q"),
        *nodes,
        make_node("DequantizeLinear", ["y_q", "wide", "half"], ["y"], name="y_dq"),
    ]
    stored = {"wide": np.float32(0.03), "half": np.uint8(128), **dict(constants)}
    return build(around, [value("x", [2, 3, 4])], [value("y", shape)], stored)


def test_data_that_move_as_integers():
    model = between_pair(
        make_node("Transpose", ["x_q"], ["t"], name="turned", perm=[2, 0, 1]),
        make_node("Reshape", ["t", "shape"], ["y_q"], name="flat"),
        shape=[8, 3],
        constants={"shape": np.array([8, -1], np.int64)},
    )

    assert_near(model, generate(model, "test").program, 1e-6)


def test_arithmetic_on_integers_is_named():
    model = between_pair(
        make_node("Add", ["x_q", "half"], ["y_q"], name="sum"),
        shape=[2, 3, 4],
    )

    with pytest.raises(UnsupportedOperator, match=r"'sum' \(Add\): it computes on integers"):
        generate(model, "test")


@pytest.mark.parametrize("op_type", ["MaxPool", "AveragePool"])
def test_a_window_that_begins_behind_the_input_does_not_count(op_type):
    pool = {"kernel_shape": [1, 2], "strides": [2, 3], "ceil_mode": 1}
    nodes = [
        make_node(op_type, ["x"], ["a"], name="pool", **pool),
        make_node("Relu", ["a"], ["b"], name="relu"),
        make_node("Flatten", ["b"], ["y"], name="flat"),
    ]
    model = build(nodes, [value("x", [1, 2, 4, 6])], [value("y", None)], {})

    source = read_source(model)

    assert [value.shape for value in source.nodes[1].outputs] == [(1, 2, 2, 2)]
    for quantised in (False, True):
        assert_near(model, program_of(model, quantised=quantised), 0.04 if quantised else 1e-6)


def test_the_last_window_of_a_pool_may_reach_beyond_the_input():
    nodes = [
        make_node("MaxPool", ["x"], ["y"], name="pool", kernel_shape=[3], strides=[2], ceil_mode=1)
    ]
    model = build(nodes, [value("x", [1, 4, 6])], [value("y", None)], {})

    program = program_of(model)

    assert not any(isinstance(step, Convolution) for step in program.steps)
    assert_near(model, program)


@pytest.mark.parametrize(
    "window",
    [
        {"kernel_shape": [3, 2]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]},
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "count_include_pad": 1},
    ],
)
def test_means_of_windows_that_are_smaller_than_what_they_are_made_of(window):
    """The range of means is narrower than the input's; few elements count in no window."""
    nodes = [make_node("AveragePool", ["x"], ["y"], name="mean", **window)]
    model = build(nodes, [value("x", [1, 5, 8, 8])], [value("y", None)], {})

    program = program_of(model)

    assert any(isinstance(step, AveragePool) for step in program.steps)
    assert_near(model, program)


@pytest.mark.parametrize("shape", [[3, 6], [2, 6, 5], [1, 6, 2, 3, 2]])
def test_a_batch_normalization_of_any_rank_is_computed_in_integers(shape):
    names = ["scale", "shift", "mean", "variance"]
    nodes = [make_node("BatchNormalization", ["x", *names], ["y"], name="norm")]
    random = np.random.default_rng(2)
    stored = {name: random.uniform(0.3, 2.0, 6).astype(np.float32) for name in names}
    stored["scale"][1] *= -1
    model = build(nodes, [value("x", shape)], [value("y", shape)], stored)

    program = program_of(model)

    assert not program.notes
    assert not any("float" in type(step).__module__ for step in program.steps)
    assert_near(model, program)


@pytest.mark.parametrize("operands", [["x", "c"], ["c", "x"]])
def test_a_difference_from_a_constant_is_computed_in_integers(operands):
    nodes = [make_node("Sub", operands, ["y"], name="difference")]
    model = build(nodes, [value("x", [2, 5])], [value("y", [2, 5])], weights(c=(5,)))

    program = program_of(model)

    assert any(isinstance(step, WeightedAdd) for step in program.steps)
    assert_near(model, program)


def pair(x: str, y: str, zero: str) -> list[onnx.NodeProto]:
    return [
        make_node("QuantizeLinear", [x, "step", zero], [f"{y}_q"], name=f"{y}_q"),
        make_node("DequantizeLinear", [f"{y}_q", "step", zero], [y], name=f"{y}_dq"),
    ]


PAIRS = {"step": np.float32(0.02), "half": np.uint8(128), "zero": np.uint8(0)}


@pytest.mark.parametrize("after", ["Add", "Clip"])
def test_what_follows_a_product_does_not_undo_the_limits_of_the_pair_between(after):
    parameters = {"Add": ["bias"], "Clip": ["low"]}[after]
    nodes = [
        *pair("x", "a", "half"),
        make_node("Conv", ["a", "w"], ["b"], name="conv"),
        *pair("b", "c", "zero"),  # there was a Relu before it
        make_node(after, ["c", *parameters], ["d"], name="after"),
        *pair("d", "y", "half"),
    ]
    stored = weights(w=(4, 3, 1, 1)) | PAIRS
    stored |= {"bias": np.full((4, 1, 1), -0.5, np.float32), "low": np.float32(-1.0)}
    model = build(nodes, [value("x", [1, 3, 5, 5])], [value("y", [1, 4, 5, 5])], stored)

    assert_near(model, generate(model, "test").program, 0.05)


@pytest.mark.parametrize("perm", [[0, 2, 3, 1], [0, 3, 1, 2]])
def test_channels_that_are_moved_between_two_quantisations(perm):
    nodes = [
        *pair("x", "a", "half"),
        make_node("Sub", ["a", "a1"], ["b"], name="difference"),
        *pair("b", "c", "half"),
        make_node("Transpose", ["c"], ["d"], name="moved", perm=perm),
        *pair("d", "e", "zero"),
        make_node("Mul", ["e", "e"], ["f"], name="square"),
        *pair("f", "y", "zero"),
    ]
    shape = [1, 3, 4, 5]
    moved = [shape[axis] for axis in perm]
    stored = PAIRS | {"a1": np.full(1, 0.1, np.float32)}
    model = build(nodes, [value("x", shape)], [value("y", moved)], stored)

    assert_near(model, generate(model, "test").program, 0.03)
