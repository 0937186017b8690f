"""Lowering of operators on ids, lengths and masks: references of the steps against ONNX's own."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from farm.candidate import CalibrationMethod
from farm.codegen.front.source import UnsupportedOperator
from farm.codegen.generate import check_inputs, generate, tensors_to_calibrate
from farm.codegen.ops.gather import Gather
from farm.codegen.program import Element
from farm.compile.passes import cpu_session
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from farm.errors import CompileError
from tests.models import build, value

RNG = np.random.default_rng(8)
TYPES = {
    np.float32: TensorProto.FLOAT,
    np.int32: TensorProto.INT32,
    np.int64: TensorProto.INT64,
    np.bool_: TensorProto.BOOL,
    np.uint8: TensorProto.UINT8,
}


def numbers(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ids(*shape: int, below: int = 9, dtype=np.int64) -> np.ndarray:
    return RNG.integers(-below, below, shape).astype(dtype)


def mask(*shape: int) -> np.ndarray:
    return RNG.random(shape) < 0.5


def model_of(nodes, feeds, stored, opset=17):
    inputs = [value(n, list(a.shape), TYPES[a.dtype.type]) for n, a in feeds.items()]
    return build(nodes, inputs, [value("y", None)], stored, opset=opset)


def check(nodes, feeds, stored=None, *, opset=17, tolerance=1e-5):
    """The program must compute what ONNX Runtime does."""
    model = prepare(model_of(nodes, feeds, stored or {}, opset)).model
    program = generate(model, "test").program
    (want,) = cpu_session(model).run(None, feeds)
    (got,) = program.run(feeds).values()
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)
    return program


def refused(nodes, feeds, stored=None, opset=17):
    model = prepare(model_of(nodes, feeds, stored or {}, opset)).model
    with pytest.raises(UnsupportedOperator) as caught:
        generate(model, "test")
    return str(caught.value)


class TestGather:
    @pytest.mark.parametrize("dtype", [np.int32, np.int64])
    @pytest.mark.parametrize("opset", [7, 11, 13, 17])
    def test_of_a_table(self, dtype, opset):
        indices = ids(2, 5, dtype=dtype)
        feeds = {"i": indices if opset > 10 else indices % 9}
        node = make_node("Gather", ["t", "i"], ["y"])
        program = check([node], feeds, {"t": numbers(9, 4)}, opset=opset)
        assert [tensor.element for tensor in program.inputs] == [Element(np.dtype(dtype).name)]
        assert program.is_float

    def test_along_an_axis_of_what_changes(self):
        node = make_node("Gather", ["x", "i"], ["y"], axis=-2)
        check([node], {"x": numbers(3, 9, 2), "i": ids(4)})

    def test_of_ids(self):
        nodes = [
            make_node("Gather", ["t", "i"], ["j"]),
            make_node("Cast", ["j"], ["y"], to=TensorProto.FLOAT),
        ]
        check(nodes, {"i": ids(6)}, {"t": ids(9, 3, below=2**40)})

    def test_data_without_elements(self):
        nodes = [make_node("Gather", ["x", "i"], ["y"], axis=1)]
        message = refused(nodes, {"x": numbers(2, 0), "i": ids(3)})
        assert message.endswith("(Gather): its data have no elements.")


class TestMovement:
    @pytest.mark.parametrize(
        "content", [ids(2, 3, 4), mask(2, 3, 4), ids(2, 3, 4, dtype=np.int32)]
    )
    @pytest.mark.parametrize(
        "node",
        [
            make_node("Transpose", ["x"], ["m"], perm=[2, 0, 1]),
            make_node("Transpose", ["x"], ["m"], perm=[0, 2, 1]),
            make_node("Unsqueeze", ["x", "axes"], ["m"]),
            make_node("Reshape", ["x", "shape"], ["m"]),
            make_node("Expand", ["x", "wide"], ["m"]),
            make_node("Slice", ["x", "starts", "ends"], ["m"]),
            make_node("Tile", ["x", "times"], ["m"]),
            make_node("Concat", ["x", "x"], ["m"], axis=1),
            make_node("Identity", ["x"], ["m"]),
        ],
        ids=lambda node: node.op_type,
    )
    def test_of_ids_and_masks(self, node, content):
        stored = {
            "axes": np.int64([1]),
            "shape": np.int64([4, 6]),
            "wide": np.int64([2, 2, 3, 4]),
            "starts": np.int64([0, 1]),
            "ends": np.int64([2, 3]),
            "times": np.int64([1, 2, 1]),
        }
        stored = {name: array for name, array in stored.items() if name in node.input}
        cast = make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT)
        check([node, cast], {"x": content}, stored)

    def test_padding(self):
        nodes = [
            make_node("Pad", ["x", "pads", "fill"], ["m"]),
            make_node("Cast", ["m"], ["y"], to=TensorProto.FLOAT),
        ]
        pads = np.int64([1, 0, 0, 2])
        check(nodes, {"x": ids(2, 3)}, {"pads": pads, "fill": np.int64(-7)})
        large = {"pads": pads, "fill": np.int64(2**24 + 1)}
        assert "its value 16777217 is no float32" in refused(nodes, {"x": ids(2, 3)}, large)


class TestCast:
    @pytest.mark.parametrize("between", [np.float32, np.int32, np.int64, np.bool_])
    @pytest.mark.parametrize("content", [numbers(3, 5) * 4, ids(3, 5), mask(3, 5)])
    def test_by_way_of_every_type(self, content, between):
        to = TYPES[between]
        nodes = [
            make_node("Cast", ["x"], ["c"], to=to, name="cast"),
            make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
        ]
        check(nodes, {"x": content})

    def test_by_way_of_a_type_that_there_is_no_code_for(self):
        nodes = [
            make_node("Cast", ["x"], ["c"], to=TensorProto.UINT8, name="cast"),
            make_node("Cast", ["c"], ["y"], to=TensorProto.FLOAT),
        ]
        message = refused(nodes, {"x": numbers(3, 5)})
        assert message.endswith("operator 'cast' (Cast): 'c' is of type uint8.")

    def test_to_the_type_that_it_has(self):
        check([make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)], {"x": numbers(3)})


class TestWhere:
    @pytest.mark.parametrize("opset", [9, 16])
    def test_operands_broadcast(self, opset):
        node = make_node("Where", ["c", "a", "b"], ["y"])
        feeds = {"c": mask(4, 1, 5), "a": numbers(4, 3, 5), "b": numbers(3, 1)}
        check([node], feeds, opset=opset)
        check([node], {"c": feeds["c"]}, {"a": numbers(4, 3, 5), "b": np.float32(-1e9)})
        check([node], {"a": feeds["a"]}, {"c": mask(3, 1), "b": np.float32(np.inf)})

    def test_of_ids(self):
        nodes = [
            make_node("Where", ["c", "a", "b"], ["w"]),
            make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT),
        ]
        check(nodes, {"c": mask(4, 5), "a": ids(4, 5)}, {"b": np.int64(2**40)})

    def test_too_many_axes(self):
        node = make_node("Where", ["c", "a", "b"], ["y"])
        feeds = {"c": mask(2, 1, 2, 1, 2), "a": numbers(2, 1, 2, 1), "b": np.float32([1, 2])}
        assert "it broadcasts over more than 4 groups of axes" in refused([node], feeds)


class TestPow:
    @pytest.mark.parametrize("exponent", [2.0, 3.0, 0.5, -1.0, 0.0, 1.0, 2.5])
    @pytest.mark.parametrize("opset", [7, 12, 15])
    def test_of_a_constant(self, exponent, opset):
        base = np.abs(numbers(3, 5)) + 0.1
        node = make_node("Pow", ["x", "e"], ["y"])
        check([node], {"x": base}, {"e": np.float32(exponent)}, opset=opset)

    def test_of_two_tensors_and_of_a_constant_base(self):
        feeds = {"x": np.abs(numbers(3, 1)) + 0.1, "e": numbers(4)}
        node = make_node("Pow", ["x", "e"], ["y"])
        check([node], feeds)
        check([node], {"e": feeds["e"]}, {"x": np.float32([[2.0], [10.0]])})

    @pytest.mark.parametrize("dtype", [np.int32, np.int64])
    def test_exponents_are_integers(self, dtype):
        node = make_node("Pow", ["x", "e"], ["y"])
        check([node], {"x": numbers(3, 5)}, {"e": dtype(2)})
        check([node], {"x": numbers(3, 5), "e": ids(5, below=4, dtype=dtype)})

    def test_of_integers(self):
        nodes = [
            make_node("Pow", ["x", "e"], ["p"], name="pow"),
            make_node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
        ]
        message = refused(nodes, {"x": ids(3)}, {"e": np.float32(2)})
        assert message.endswith("operator 'pow' (Pow): 'x' is of type int64.")


class TestReduceSum:
    @pytest.mark.parametrize("keepdims", [0, 1])
    @pytest.mark.parametrize("axes", [[1], [-1, 0], [0, 1, 2], [2, 1]])
    def test_axes_are_attributes_or_inputs(self, axes, keepdims):
        x = {"x": numbers(3, 4, 5)}
        old = make_node("ReduceSum", ["x"], ["y"], axes=axes, keepdims=keepdims)
        for opset in (7, 11):
            check([old], x, opset=opset)
        new = make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=keepdims)
        check([new], x, {"axes": np.int64(axes)}, opset=13)

    def test_without_axes(self):
        x = {"x": numbers(3, 4)}
        for opset in (7, 13):
            check([make_node("ReduceSum", ["x"], ["y"])], x, opset=opset)
        check([make_node("ReduceSum", ["x"], ["y"], noop_with_empty_axes=1)], x)

    def test_of_integers(self):
        nodes = [
            make_node("ReduceSum", ["x"], ["s"], name="sum"),
            make_node("Cast", ["s"], ["y"], to=TensorProto.FLOAT),
        ]
        assert refused(nodes, {"x": ids(3)}).endswith(
            "operator 'sum' (ReduceSum): 'x' is of type int64."
        )

    def test_of_nothing(self):
        node = make_node("ReduceSum", ["x"], ["y"], keepdims=0)
        assert "it reduces axes without elements" in refused([node], {"x": numbers(0, 3)})


class TestLayerNormalization:
    @pytest.mark.parametrize("axis", [None, 1, -1, 0])
    @pytest.mark.parametrize("bias", [False, True])
    def test_rows_are_the_last_axes(self, axis, bias):
        x = numbers(3, 4, 5)
        row = x.shape[-1 if axis is None else axis :]
        names = ["x", "g", *["b"] * bias]
        attributes = {} if axis is None else {"axis": axis, "epsilon": 0.01}
        node = make_node("LayerNormalization", names, ["y"], **attributes)
        stored = {"g": numbers(*row)} | ({"b": numbers(*row)} if bias else {})
        check([node], {"x": x}, stored)

    def test_scales_that_change(self):
        node = make_node("LayerNormalization", ["x", "g"], ["y"], name="norm")
        message = refused([node], {"x": numbers(3, 4), "g": numbers(4)})
        assert message.endswith(
            "operator 'norm' (LayerNormalization): its input 'g' is no constant."
        )


def embedding_net():
    """Ids and a mask to a sum over what is not masked, with a product of matrices between."""
    nodes = [
        make_node("Gather", ["table", "ids"], ["e"], name="embed"),
        make_node("LayerNormalization", ["e", "g"], ["n"], name="norm"),
        make_node("MatMul", ["n", "w"], ["h"], name="product"),
        make_node("Unsqueeze", ["mask", "last"], ["m"], name="unsqueeze"),
        make_node("Where", ["m", "h", "zero"], ["k"], name="where"),
        make_node("ReduceSum", ["k", "middle"], ["y"], keepdims=0, name="sum"),
    ]
    stored = {
        "table": numbers(20, 16),
        "g": np.abs(numbers(16)),
        "w": numbers(16, 12) / 4,
        "zero": np.float32(0),
        "last": np.int64([2]),
        "middle": np.int64([1]),
    }
    inputs = [value("ids", [1, 6], TensorProto.INT64), value("mask", [1, 6], TensorProto.BOOL)]
    return build(nodes, inputs, [value("y", [1, 12])], stored)


def test_float_islands_in_an_int8_package():
    model = prepare(embedding_net()).model
    feeds = [{"ids": ids(1, 6, below=20), "mask": mask(1, 6)} for _ in range(12)]
    names = tensors_to_calibrate(model)
    assert not {"ids", "mask", "m"} & set(names)
    ranges = calibrate(model, names, feeds, CalibrationMethod.MIN_MAX).ranges
    program = generate(model, "test", ranges).program
    assert not program.is_float
    (table,) = (step.constant for step in program.steps if isinstance(step, Gather))
    assert table.dtype == np.uint8, "a quarter of the bytes"
    assert "Operator norm is computed in float: LayerNormalization has no integer kernel." in (
        program.notes
    )
    session = cpu_session(model)
    for feed in feeds:
        (want,), (got,) = session.run(None, feed), program.run(feed).values()
        np.testing.assert_allclose(got, want, atol=0.15)


def test_masks_leave_a_package_of_integers_exact():
    nodes = [
        make_node("Sigmoid", ["x"], ["s"], name="sigmoid"),
        make_node("Cast", ["mask"], ["m"], name="cast", to=TensorProto.FLOAT),
        make_node("Mul", ["s", "m"], ["y"], name="masked"),
    ]
    inputs = [value("x", [2, 6]), value("mask", [2, 6], TensorProto.BOOL)]
    model = prepare(build(nodes, inputs, [value("y", [2, 6])], {})).model
    feeds = [{"x": numbers(2, 6), "mask": mask(2, 6)} for _ in range(8)]
    names = tensors_to_calibrate(model)
    ranges = calibrate(model, names, feeds, CalibrationMethod.MIN_MAX).ranges
    assert generate(model, "test", ranges).program.is_integer


def test_inputs_of_other_types_are_named():
    model = build(
        [make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        [value("x", [3], TensorProto.UINT8)],
        [value("y", [3])],
        {},
    )
    sentence = "takes float32, int32, int64 and bool inputs, and 'x' is uint8"
    with pytest.raises(CompileError, match=sentence):
        check_inputs(model)
    with pytest.raises(CompileError, match=sentence):
        generate(model, "test")
