import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from farm.candidate import CalibrationMethod, StaticInt8
from farm.codegen.front.annotate import annotate_qdq, annotate_ranges, quantization_of
from farm.codegen.front.source import UnsupportedOperator, read_source
from farm.codegen.program import Quantization
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import Range, calibrate
from farm.compile.quantization.quantize import QuantizeStatic, tensors_to_calibrate
from farm.model.formats import has_qdq
from tests.farm.compile.graphs import residual_net
from tests.models import build, value


def pair(name: str, x: str, y: str, zero: str = "zero") -> list[onnx.NodeProto]:
    return [
        make_node("QuantizeLinear", [x, "scale", zero], [f"{y}_q"], name=f"{name}_q"),
        make_node("DequantizeLinear", [f"{y}_q", "scale", zero], [y], name=f"{name}_dq"),
    ]


def qdq_relu(zero: np.ndarray) -> onnx.ModelProto:
    nodes = [
        *pair("in", "x", "a"),
        make_node("Relu", ["a"], ["b"], name="relu"),
        *pair("out", "b", "y"),
    ]
    stored = {"scale": np.float32(0.5), "zero": zero}
    return build(nodes, [value("x", [1, 4])], [value("y", [1, 4])], stored)


class TestRanges:
    def test_a_range_becomes_scale_and_zero_point(self):
        found = quantization_of(Range(-1.0, 4.1))

        assert found.scale == pytest.approx(0.02)
        assert found.zero_point == 50
        assert quantization_of(Range(0.0, 0.0)) == Quantization(1.0, 0)

    def test_movement_shares_one_range_and_softmax_has_its_own(self):
        nodes = [
            make_node("Relu", ["x"], ["a"], name="relu"),
            make_node("MaxPool", ["a"], ["b"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
            make_node("Flatten", ["b"], ["c"], name="flat"),
            make_node("Softmax", ["c"], ["y"], name="softmax"),
        ]
        source = read_source(build(nodes, [value("x", [1, 2, 4, 4])], [value("y", [1, 8])], {}))
        ranges = {
            "x": Range(-1.0, 1.0),
            "a": Range(0.0, 1.0),
            "b": Range(0.0, 0.9),
            "c": Range(0.0, 2.0),
            "y": Range(0.0, 0.5),
        }

        found = annotate_ranges(source, ranges, ["relu"])

        assert found.quantizations["a"] == found.quantizations["b"] == found.quantizations["c"]
        assert found.quantizations["c"] == quantization_of(Range(0.0, 2.0))
        assert found.quantizations["x"] == quantization_of(Range(-1.0, 1.0))
        assert found.quantizations["y"] == Quantization(1 / 256, 0)
        assert found.keep_float == {"relu"}


class TestQdq:
    def test_pairs_become_annotations(self):
        model = qdq_relu(np.uint8(3))

        found = annotate_qdq(model)

        assert has_qdq(model)
        assert [node.op_type for node in found.source.nodes] == ["Relu", "Identity"]
        assert found.source.nodes[0].changing[0].name == "x"
        assert found.quantizations == dict.fromkeys(("x", "b"), Quantization(0.5, 3))

    def test_signed_activations_are_the_same_numbers_moved(self):
        found = annotate_qdq(qdq_relu(np.int8(-3)))

        assert found.quantizations["x"] == Quantization(0.5, 125)

    def test_a_second_quantisation_of_a_tensor_is_a_tensor_of_its_own(self):
        model = qdq_relu(np.uint8(3))
        again = [
            make_node("QuantizeLinear", ["x", "scale", "zero2"], ["z_q"], name="again_q"),
            make_node("DequantizeLinear", ["z_q", "scale", "zero2"], ["z"], name="again_dq"),
        ]
        model.graph.node.extend(again)
        model.graph.output.append(value("z", [1, 4]))
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.uint8(9), "zero2"))

        found = annotate_qdq(model)

        assert sorted(q.zero_point for q in found.quantizations.values()) == [3, 3, 9]

    def test_names_a_type_it_does_not_know(self):
        with pytest.raises(UnsupportedOperator, match=r"'in_q'.*activations of type uint16"):
            annotate_qdq(qdq_relu(np.uint16(3)))

    def test_reads_what_the_static_pass_writes(self):
        model = prepare(onnx.shape_inference.infer_shapes(residual_net())).model
        feeds = [{"image": np.random.default_rng(0).random((1, 3, 8, 8), np.float32)}]
        ranges = calibrate(model, tensors_to_calibrate(model), feeds, CalibrationMethod.MIN_MAX)
        quantised = QuantizeStatic(StaticInt8(), ranges)(model).model

        found = annotate_qdq(quantised)

        kinds = [node.op_type for node in found.source.nodes]
        assert "QuantizeLinear" not in kinds
        assert kinds.count("Conv") == 2
        assert {scales.size for scales in found.weight_scales.values()} == {4, 8}
