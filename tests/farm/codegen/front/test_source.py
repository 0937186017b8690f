import numpy as np
import pytest
from onnx import GraphProto, TensorProto
from onnx.helper import make_node
from onnx.shape_inference import infer_shapes

from farm.codegen.front.source import UnsupportedOperator, read_source
from farm.errors import CompileError
from tests.models import build, value, weights


def test_reads_nodes_with_constants_and_left_out_inputs():
    nodes = [make_node("Clip", ["x", "", "high"], ["y"], name="limit")]
    model = build(nodes, [value("x", [2, 3])], [value("y", [2, 3])], {"high": np.float32(6)})

    (node,) = read_source(model).nodes

    assert (node.name, node.op_type, node.opset) == ("limit", "Clip", 17)
    assert [v.name for v in node.changing] == ["x"]
    assert node.inputs[1] is None
    assert node.constant(2) == 6.0
    assert node.constant(1) is None
    assert node.outputs[0].shape == (2, 3)


def test_folds_what_depends_on_constants_and_shapes_alone():
    nodes = [
        make_node("Shape", ["x"], ["s"], name="shape"),
        make_node("Gather", ["s", "first"], ["n"], name="size"),
        make_node("Unsqueeze", ["n", "axis"], ["n1"], name="as_list"),
        make_node("Concat", ["n1", "rest"], ["target"], name="target", axis=0),
        make_node("Reshape", ["x", "target"], ["y"], name="reshape"),
    ]
    stored = {"first": np.int64(0), "axis": np.int64([0]), "rest": np.int64([6])}
    model = build(nodes, [value("x", [2, 3, 2])], [value("y", [2, 6])], stored)

    (node,) = read_source(model).nodes

    assert node.op_type == "Reshape"
    assert node.constant(1).tolist() == [2, 6]


def test_names_a_dynamic_shape():
    model = build(
        [make_node("Relu", ["x"], ["y"])], [value("x", ["n", 3])], [value("y", ["n", 3])], {}
    )

    with pytest.raises(CompileError, match=r"'x' has a dynamic shape \[n, 3\].*--shape"):
        read_source(model)


@pytest.mark.parametrize(
    ("op_type", "inputs", "element"),
    [
        ("NonZero", ["x"], TensorProto.INT64),
        ("Unique", ["x"], TensorProto.FLOAT),
        ("Compress", ["x", "flags"], TensorProto.FLOAT),
        ("NonMaxSuppression", ["boxes", "scores", "most"], TensorProto.INT64),
        ("Reshape", ["x", "target"], TensorProto.FLOAT),
        ("Loop", ["most", "", "x"], TensorProto.FLOAT),
    ],
)
def test_names_the_operator_whose_result_has_no_fixed_size(op_type, inputs, element):
    options = {"body": loop_body()} if op_type == "Loop" else {}
    nodes = [
        make_node(op_type, inputs, ["i"], **options),
        make_node("Identity", ["i"], ["y"], name="last"),
    ]
    given = [
        value("x", [2, 6]),
        value("flags", [12], TensorProto.BOOL),
        value("boxes", [1, 6, 4]),
        value("scores", [1, 1, 6]),
        value("target", [2], TensorProto.INT64),
    ]
    rank = 1 if op_type in {"Unique", "Compress"} else 2
    outputs = [value("y", list("ab"[:rank]), element)]
    model = build(nodes, given, outputs, {"most": np.array([3])}, ir_version=8)

    with pytest.raises(UnsupportedOperator) as caught:
        read_source(infer_shapes(model, data_prop=True))
    assert str(caught.value) == (
        f"The code generator does not support operator '{op_type}_0' ({op_type}): the size of its "
        "result 'i' depends on the data, and generated code has fixed ones."
    )


def loop_body() -> GraphProto:
    """A loop that makes its tensor longer."""
    nodes = [
        make_node("Identity", ["go"], ["on"]),
        make_node("Concat", ["t", "t"], ["u"], axis=0),
    ]
    inputs = [value("n", [], TensorProto.INT64), value("go", [], TensorProto.BOOL)]
    outputs = [value("on", [], TensorProto.BOOL), value("u", [None, None])]
    return build(nodes, [*inputs, value("t", [None, None])], outputs, {}).graph


def test_an_operator_of_another_domain_may_have_a_result_of_unknown_shape():
    nodes = [
        make_node("Anything", ["x"], ["a"], name="odd", domain="com.microsoft"),
        make_node("Relu", ["a"], ["y"]),
    ]
    model = build(nodes, [value("x", [2])], [value("y", [2])], {}, domains=["com.microsoft"])

    with pytest.raises(UnsupportedOperator, match=r"'odd' .*the shape of its result 'a' is not"):
        read_source(model)


def test_names_an_operator_with_a_nested_graph():
    branch = build([make_node("Relu", ["x"], ["z"])], [], [value("z", [1])], {}).graph
    nodes = [make_node("If", ["c"], ["y"], name="choice", then_branch=branch, else_branch=branch)]
    inputs = [value("c", [], TensorProto.BOOL), value("x", [1])]
    model = build(nodes, inputs, [value("y", [1])], {})

    with pytest.raises(UnsupportedOperator, match=r"'choice' \(If\): it has a nested graph"):
        read_source(model)


def test_a_constant_that_changes_is_named():
    nodes = [make_node("Reshape", ["x", "target"], ["y"], name="reshape")]
    inputs = [value("x", [2, 3]), value("target", [1], TensorProto.INT64)]
    (node,) = read_source(build(nodes, inputs, [value("y", [6])], {})).nodes

    with pytest.raises(UnsupportedOperator, match=r"'reshape'.*'target' is no constant"):
        node.constant(1)


def test_readers_are_found_by_value():
    nodes = [
        make_node("Relu", ["x"], ["a"], name="one"),
        make_node("Add", ["a", "x"], ["y"], name="two"),
    ]
    source = read_source(build(nodes, [value("x", [3])], [value("y", [3])], weights()))

    assert [node.name for node in source.readers()["x"]] == ["one", "two"]
