"""Models of 16-bit floats that compute in float32: same ends, nearly the same results."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.helper import (
    make_function,
    make_graph,
    make_node,
    make_opsetid,
    make_sparse_tensor,
    make_tensor,
)
from onnx.numpy_helper import from_array

from farm.candidate import GivenFormat
from farm.compile.formats.float32_inside import Float32Inside
from farm.errors import CompileError
from farm.model.formats import element_types, given_format
from tests import models
from tests.farm.compile import graphs

HALF, FLOAT, BFLOAT = TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.BFLOAT16
R = np.random.default_rng(3)
X = R.standard_normal((2, 8)).astype(np.float16)


def half(*shape):
    return (R.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float16)


def net(nodes, stored=None, x=HALF, y=HALF, shape=(2, 8), **options):
    ends = [models.value("x", [2, 8], x)], [models.value("y", list(shape), y)]
    model = models.build(nodes, *ends, stored or {}, **options)
    return onnx.shape_inference.infer_shapes(model)


def widened(model):
    result = Float32Inside()(model)
    onnx.checker.check_model(result.model, full_check=True)
    assert result.changed
    inner = onnx.shape_inference.infer_shapes(result.model)
    ends = {v.name for v in (*model.graph.input, *model.graph.output)}
    types = element_types(inner)
    assert not [n for n, kind in types.items() if kind in (HALF, BFLOAT) and n not in ends]
    assert result.model.graph.input == model.graph.input
    assert result.model.graph.output == model.graph.output
    return result.model


def assert_close(model, x=X, tolerance=0.01):
    other = widened(model)
    exact, result = graphs.run(model, {"x": x}), graphs.run(other, {"x": x})
    assert exact.dtype == result.dtype
    np.testing.assert_allclose(
        result.astype(np.float64), exact.astype(np.float64), rtol=tolerance, atol=tolerance
    )
    return other


def branches(inner):
    """An If whose branches both make ``inner`` nodes' y."""
    out = models.value("b", [2, 8], HALF)
    then = make_graph([*inner, make_node("Identity", ["t"], ["b"])], "then", [], [out])
    other = make_graph([make_node("Neg", ["h"], ["b"])], "else", [], [out])
    return make_node("If", ["yes"], ["i"], then_branch=then, else_branch=other)


def loop():
    """x + 3 w by a loop that carries a float16 and reads an outer one."""
    body = make_graph(
        [
            make_node("Add", ["carried", "w"], ["next"]),
            make_node("Identity", ["goes_on"], ["still"]),
        ],
        "body",
        [
            models.value("turn", [], TensorProto.INT64),
            models.value("goes_on", [], TensorProto.BOOL),
            models.value("carried", [2, 8], HALF),
        ],
        [models.value("still", [], TensorProto.BOOL), models.value("next", [2, 8], HALF)],
    )
    return make_node("Loop", ["turns", "", "x"], ["y"], body=body)


ONE = from_array(np.ones(1, np.float16))
CASES = {
    "constant": net(
        [
            make_node("Constant", [], ["c"], value=from_array(half(8))),
            make_node("Mul", ["x", "c"], ["y"]),
        ]
    ),
    "sparse constant": net(
        [
            make_node(
                "Constant",
                [],
                ["c"],
                sparse_value=make_sparse_tensor(
                    make_tensor("v", HALF, [1], [3.0]),
                    make_tensor("i", TensorProto.INT64, [1], [2]),
                    [8],
                ),
            ),
            make_node("Mul", ["x", "c"], ["y"]),
        ]
    ),
    "constant of shape": net(
        [
            make_node("ConstantOfShape", ["s"], ["c"], value=ONE),
            make_node("Sub", ["c", "x"], ["y"]),
        ],
        {"s": np.array([8])},
    ),
    "layer normalisation": net(
        [make_node("LayerNormalization", ["x", "w", "b"], ["y"])], {"w": half(8), "b": half(8)}
    ),
    "if": net(
        [
            make_node("Relu", ["x"], ["h"]),
            branches([make_node("Mul", ["x", "w"], ["t"])]),
            make_node("Abs", ["i"], ["y"]),
        ],
        {"w": half(8), "yes": np.array(True)},
    ),
    "loop": net([loop()], {"w": half(8), "turns": np.array(3)}),
    "cast to integers": net(
        [
            make_node("Mul", ["x", "k"], ["m"]),
            make_node("Cast", ["m"], ["n"], to=TensorProto.INT32),
            make_node("Cast", ["n"], ["h"], to=HALF),
            make_node("Add", ["h", "x"], ["y"]),
        ],
        {"k": np.full(8, 4, np.float16)},
    ),
    "partly float32": net(
        [
            make_node("MatMul", ["x", "w"], ["m"]),
            make_node("Cast", ["m"], ["f"], to=FLOAT),
            make_node("Softmax", ["f"], ["s"]),
            make_node("Cast", ["s"], ["h"], to=HALF),
            make_node("Mul", ["h", "x"], ["y"]),
        ],
        {"w": half(8, 8)},
    ),
    "float32 ends": net(
        [
            make_node("Cast", ["x"], ["h"], to=HALF),
            make_node("MatMul", ["h", "w"], ["m"]),
            make_node("Cast", ["m"], ["y"], to=FLOAT),
        ],
        {"w": half(8, 8)},
        x=FLOAT,
        y=FLOAT,
    ),
    "a name that is taken": net(
        [
            make_node("Relu", ["x"], ["x/float32"]),
            make_node("Add", ["x/float32", "x"], ["y"]),
        ]
    ),
    "cast like": net(
        [
            make_node("Cast", ["x"], ["f"], to=FLOAT),
            make_node("CastLike", ["f", "x"], ["h"]),
            make_node("Add", ["h", "x"], ["y"]),
        ]
    ),
    "sequence": net(
        [
            make_node("SequenceConstruct", ["x", "x"], ["s"]),
            make_node("ConcatFromSequence", ["s"], ["y"], axis=0),
        ],
        shape=(4, 8),
    ),
}


@pytest.mark.parametrize("model", CASES.values(), ids=CASES)
def test_computes_nearly_the_same(model):
    kind = np.float16 if model.graph.input[0].type.tensor_type.elem_type == HALF else np.float32
    assert_close(model, X.astype(kind))


UNARY = ("Relu", "Neg", "Sigmoid", "Tanh", "Abs", "Erf", "Softmax", "Identity")
steps = st.lists(
    st.one_of(
        st.sampled_from(UNARY),
        st.sampled_from(("Add", "Mul", "Sub", "MatMul")),
        st.sampled_from(("to float32 and back", "to float16")),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps, st.sampled_from([HALF, FLOAT]), st.sampled_from([HALF, FLOAT]), st.booleans())
def test_random_chains(chain, x, y, twice):
    nodes, stored, last = [], {}, "x"
    if x == FLOAT:
        nodes.append(make_node("Cast", ["x"], ["first"], to=HALF))
        last = "first"
    for i, step in enumerate(chain):
        out = f"t{i}"
        match step:
            case "to float32 and back":
                nodes.append(make_node("Cast", [last], [f"f{i}"], to=FLOAT))
                nodes.append(make_node("Cast", [f"f{i}"], [out], to=HALF))
            case "to float16":
                nodes.append(make_node("Cast", [last], [out], to=HALF))
            case "Add" | "Mul" | "Sub" if twice:
                nodes.append(make_node(step, [last, last], [out]))
            case "Add" | "Mul" | "Sub" | "MatMul":
                stored[f"w{i}"] = half(8, 8)[:2] if step != "MatMul" else half(8, 8)
                nodes.append(make_node(step, [last, f"w{i}"], [out]))
            case _:
                nodes.append(make_node(step, [last], [out]))
        last = out
    nodes.append(make_node("Cast", [last], ["y"], to=y))
    model = net(nodes, stored, x=x, y=y)
    other = assert_close(model, X.astype(np.float16 if x == HALF else np.float32), 0.03)
    casts = [n for n in other.graph.node if n.op_type == "Cast"]
    assert len(casts) == (x == HALF) + (y == HALF), "only at the border"


def test_pairs_of_casts_vanish():
    other = widened(CASES["partly float32"])
    assert [n.op_type for n in other.graph.node] == ["Cast", "MatMul", "Softmax", "Mul", "Cast"]


def test_casts_of_outer_tensors_in_a_branch():
    inner = [
        make_node("Cast", ["h"], ["u"], to=FLOAT),
        make_node("Exp", ["u"], ["e"]),
        make_node("Cast", ["e"], ["t"], to=HALF),
    ]
    nodes = [
        make_node("Relu", ["x"], ["h"]),
        branches(inner),
        make_node("Neg", ["i"], ["y"]),
    ]
    other = assert_close(net(nodes, {"yes": np.array(True)}))
    choice = next(n for n in other.graph.node if n.op_type == "If")
    then = next(a.g for a in choice.attribute if a.name == "then_branch")
    assert [n.op_type for n in then.node] == ["Exp", "Identity"]


def test_an_input_and_a_constant_that_are_outputs():
    nodes = [make_node("Neg", ["x"], ["y"])]
    model = net(nodes, {"c": half(8)})
    model.graph.output.extend([models.value("x", [2, 8], HALF), models.value("c", [8], HALF)])
    np.testing.assert_array_equal(graphs.run(widened(model), {"x": X}), -X)


def test_random_numbers_are_float32():
    nodes = [
        make_node("RandomNormal", [], ["r"], dtype=HALF, shape=[2, 8], seed=1.0),
        make_node("RandomUniformLike", ["r"], ["u"], dtype=HALF),
        make_node("Add", ["r", "u"], ["a"]),
        make_node("Add", ["a", "x"], ["y"]),
    ]
    other = widened(net(nodes))
    assert graphs.run(other, {"x": X}).dtype == np.float16
    dtypes = [a.i for n in other.graph.node for a in n.attribute if a.name == "dtype"]
    assert dtypes == [FLOAT, FLOAT]


def test_functions_are_inlined():
    scale = make_function(
        "local",
        "Scale",
        ["a"],
        ["b"],
        [
            make_node("Constant", [], ["k"], value=from_array(np.array([2], np.float16))),
            make_node("Mul", ["a", "k"], ["b"]),
        ],
        [make_opsetid("", 17)],
    )
    model = net(
        [
            make_node("Scale", ["x"], ["h"], domain="local"),
            make_node("Scale", ["h"], ["y"], domain="local"),
        ],
        domains=["local"],
    )
    model.functions.append(scale)
    other = assert_close(model)
    assert not other.functions


def test_bfloat16_runs_where_no_engine_has_kernels_for_it():
    weight = make_tensor("w", BFLOAT, [8, 8], np.eye(8, dtype=np.float32).ravel() * 2)
    model = net(
        [
            make_node("Cast", ["x"], ["h"], to=BFLOAT),
            make_node("MatMul", ["h", "w"], ["m"]),
            make_node("Cast", ["m"], ["y"], to=FLOAT),
        ],
        x=FLOAT,
        y=FLOAT,
    )
    model.graph.initializer.append(weight)
    model = onnx.shape_inference.infer_shapes(model)
    assert given_format(model) is GivenFormat.BFLOAT16
    sample = X.astype(np.float32)
    np.testing.assert_array_equal(graphs.run(widened(model), {"x": sample}), 2 * sample)


def test_bits_that_are_looked_at_are_refused():
    node = make_node("BitCast", ["x"], ["y"], name="bits", to=TensorProto.INT16)
    ends = [models.value("x", [2, 8], HALF)], [models.value("y", [2, 8], TensorProto.INT16)]
    model = models.build([node], *ends, {}, opset=26, ir_version=13)
    with pytest.raises(CompileError, match=r"Operator 'bits' \(BitCast\) takes the bits of 16"):
        Float32Inside()(model)


def test_a_float32_model_stays_as_it_is():
    model = models.conv_net()
    result = Float32Inside()(model)
    assert result.model is model
    assert not result.changed


@pytest.mark.parametrize(
    ("model", "found"),
    [
        (models.mlp(), GivenFormat.FLOAT32),
        (graphs.weights_behind_dequantize(), GivenFormat.FLOAT32),
        (CASES["partly float32"], GivenFormat.FLOAT16),
        (CASES["float32 ends"], GivenFormat.FLOAT16),
        (CASES["if"], GivenFormat.FLOAT16),
        (
            net(
                [make_node("Cast", ["x"], ["h"], to=HALF), make_node("Cast", ["h"], ["y"], to=1)],
                x=FLOAT,
                y=FLOAT,
            ),
            GivenFormat.FLOAT32,
        ),
        (
            net([make_node("Relu", ["x"], ["y"])], x=TensorProto.DOUBLE, y=TensorProto.DOUBLE),
            GivenFormat.FLOAT64,
        ),
        (
            net(
                [
                    make_node("QuantizeLinear", ["x", "s"], ["q"]),
                    make_node("DequantizeLinear", ["q", "s"], ["y"]),
                ],
                {"s": np.array(0.1, np.float32)},
                x=FLOAT,
                y=FLOAT,
            ),
            GivenFormat.QUANTISED,
        ),
    ],
    ids=str,
)
def test_what_a_model_computes_in(model, found):
    assert given_format(onnx.shape_inference.infer_shapes(model)) is found
