"""Models that came quantised: every reader of a tensor gets what the model gives it."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.helper import make_node

from farm.codegen.front.source import UnsupportedOperator
from farm.codegen.generate import generate
from tests.models import build, value, weights

STEP = np.float32(1 / 255)


def pair(x: str, y: str, scale: str) -> list[onnx.NodeProto]:
    return [
        make_node("QuantizeLinear", [x, scale, "zero"], [f"{y}_q"], name=f"{y}_q"),
        make_node("DequantizeLinear", [f"{y}_q", scale, "zero"], [y], name=f"{y}_dq"),
    ]


def assert_agrees(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> list[str]:
    """Within one step of the coarsest scale of what ONNX Runtime computes; the notes."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    wanted = ort.InferenceSession(model.SerializeToString(), options).run(None, feeds)

    program = generate(model, "test").program

    found = program.run(feeds)
    for name, each in zip(found, wanted, strict=True):
        np.testing.assert_allclose(found[name], each, atol=1.01 * STEP, err_msg=name)
    return list(program.notes)


SCALES = {"wide": STEP, "narrow": np.float32(0.3 / 255), "zero": np.uint8(0)}


def relu_read_by(*readers: onnx.NodeProto, outputs: tuple[str, ...] = ("y",)) -> onnx.ModelProto:
    """Relu of x is r, quantised in a scale that saturates as b."""
    nodes = [
        make_node("Relu", ["x"], ["r"], name="relu"),
        *pair("r", "b", "narrow"),
        *readers,
    ]
    return build(nodes, [value("x", [1, 16])], [value(o, [1, 16]) for o in outputs], SCALES)


FEEDS = {"x": np.random.default_rng(0).uniform(-1, 1, (1, 16)).astype(np.float32)}


@pytest.mark.parametrize("wide_first", [False, True])
def test_a_second_quantiser_does_not_see_what_the_first_one_saturated(wide_first: bool):
    model = relu_read_by(*pair("r", "a", "wide"), make_node("Sub", ["a", "b"], ["y"], name="sub"))
    relu, *narrow_and_wide, sub = list(model.graph.node)
    if wide_first:
        narrow_and_wide = [*narrow_and_wide[2:], *narrow_and_wide[:2]]
    del model.graph.node[:]
    model.graph.node.extend([relu, *narrow_and_wide, sub])

    notes = assert_agrees(model, FEEDS)

    reason = "its result is quantised in more than one way"
    assert f"Operator relu is computed in float: {reason}." in notes


def test_a_float_reader_beside_a_quantiser_reads_the_float_result():
    model = relu_read_by(make_node("Sub", ["r", "b"], ["y"], name="sub"))

    notes = assert_agrees(model, FEEDS)

    reason = "its result is read in float as well as quantised"
    assert f"Operator relu is computed in float: {reason}." in notes


def test_an_output_of_the_model_that_is_quantised_too_is_not_rounded():
    assert_agrees(relu_read_by(outputs=("r", "b")), FEEDS)


def test_an_input_that_is_quantised_in_two_ways():
    nodes = [*pair("x", "a", "wide"), *pair("x", "b", "narrow")]
    nodes.append(make_node("Sub", ["a", "b"], ["y"], name="sub"))
    model = build(nodes, [value("x", [1, 16])], [value("y", [1, 16])], SCALES)

    assert_agrees(model, FEEDS)


def test_a_rounded_tensor_that_is_quantised_again_is_rounded_twice():
    model = relu_read_by(*pair("b", "y", "wide"))

    assert_agrees(model, FEEDS)


def test_a_convolution_that_is_quantised_in_two_ways_is_named():
    nodes = [
        *pair("x", "a", "wide"),
        make_node("DequantizeLinear", ["w_q", "w_scale"], ["w"], name="w_dq"),
        make_node("Conv", ["a", "w"], ["c"], name="conv"),
        make_node("Relu", ["c"], ["r"], name="relu"),
        *pair("r", "b", "narrow"),
        *pair("r", "d", "wide"),
        make_node("Sub", ["d", "b"], ["y"], name="sub"),
    ]
    stored = {**SCALES, "w_scale": np.float32(0.005)}
    stored["w_q"] = np.rint(weights(w=(4, 4, 1, 1))["w"] * 60).astype(np.int8)
    model = build(nodes, [value("x", [1, 4, 3, 3])], [value("y", [1, 4, 3, 3])], stored)
    x = np.random.default_rng(1).random((1, 4, 3, 3)).astype(np.float32)

    notes = assert_agrees(model, {"x": x})

    assert any(note.startswith("Operator conv is computed in float") for note in notes)


@pytest.mark.parametrize("scale", [0.0, np.inf, np.nan, -1.0])
def test_a_scale_that_no_numbers_have_is_refused(scale: float):
    nodes = [*pair("x", "a", "broken"), make_node("Relu", ["a"], ["y"], name="relu")]
    constants = {"broken": np.float32(scale), "zero": np.uint8(0)}
    model = build(nodes, [value("x", [1, 16])], [value("y", [1, 16])], constants)
    with pytest.raises(UnsupportedOperator) as caught:
        generate(model, "test")
    assert f"(QuantizeLinear): its scale is {scale:g}, which no numbers have" in str(caught.value)
