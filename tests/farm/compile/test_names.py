"""Names of a model that tools make out of its other names, too."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.helper import make_node

from farm.artifact.compiler import Compiler
from farm.candidate import (
    Candidate,
    DynamicInt8,
    FloatType,
    GivenFormat,
    OnnxRuntimeCpu,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
)
from farm.compile.names import under_other_names
from farm.errors import CompileError
from farm.model.walk import clone
from tests.farm.compile.graphs import feeds, run
from tests.models import build, value, weights

ENDINGS = (
    "", "_scale", "_zero_point", "_quantized", "_quant", "_QuantizeLinear",
    "_QuantizeLinear_Input", "_QuantizeLinear_Output", "_DequantizeLinear",
    "_DequantizeLinear_Output", "_output_quantized", "_quantized_scale", "_input_cast_0",
    "_Q4", "_scales", "/weight", "/product", "/bias", "/matrix", "/difference", "/float32",
)  # fmt: skip
HOSTILE = (*(stem + end for stem in ("x", "fc") for end in ENDINGS), "graph_input_cast_0")
PRECISIONS = {
    "static": Precision(quantization=StaticInt8()),
    "channels": Precision(quantization=StaticInt8(per_channel=True)),
    "products": Precision(quantization=StaticInt8(products=True)),
    "dynamic": Precision(quantization=DynamicInt8()),
    "int4": Precision(quantization=WeightOnlyInt4()),
    "float16": Precision(float_type=FloatType.FLOAT16),
}
# With and without the rewrites, which float32 operators alone have.
CHOICES = [(name, rewritten) for name in PRECISIONS for rewritten in (False, True)][:-1]


def _net(opset: int = 17) -> onnx.ModelProto:
    """Two matrix products around a sum, a general one, and the softmax of two values."""
    nodes = [
        make_node("MatMul", ["t0", "t1"], ["t2"], name="n0"),
        make_node("Add", ["t2", "t3"], ["t4"], name="n1"),
        make_node("Relu", ["t4"], ["t5"], name="n2"),
        make_node("MatMul", ["t5", "t6"], ["t7"], name="n3"),
        make_node("Add", ["t7", "t0"], ["t8"], name="n4"),
        make_node("Gemm", ["t8", "t9", "t10"], ["t11"], name="n5", transB=1),
        make_node("Softmax", ["t11"], ["t12"], name="n6", axis=1),
    ]
    stored = weights(t1=(32, 48), t3=(48,), t6=(48, 32), t9=(2, 32), t10=(2,))
    return build(nodes, [value("t0", [1, 32])], [value("t12", [1, 2])], stored, opset)


def _called(model: onnx.ModelProto, names: Mapping[str, str]) -> onnx.ModelProto:
    """The model with other names of tensors and operators."""
    renamed = clone(model)
    graph = renamed.graph
    for named in (*graph.input, *graph.output, *graph.initializer, *graph.node):
        named.name = names[named.name]
    for node in graph.node:
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    return renamed


def _result(model: onnx.ModelProto, precision: Precision, *, rewritten: bool) -> np.ndarray:
    candidate = Candidate(OnnxRuntimeCpu(), precision, rewritten=rewritten)
    samples = feeds(model, 4)
    return run(Compiler(model, samples).graph(candidate).model, samples[0])


@given(
    st.permutations(HOSTILE),
    st.permutations(HOSTILE),
    st.sampled_from(CHOICES),
    st.sampled_from([11, 17]),
)
@settings(max_examples=40, deadline=None)
def test_a_model_computes_the_same_whatever_its_names_are(
    tensors: list[str], operators: list[str], choice: tuple[str, bool], opset: int
) -> None:
    precision, rewritten = choice
    innocent = _net(opset)
    names = {f"t{i}": name for i, name in enumerate(tensors)}
    names |= {f"n{i}": name for i, name in enumerate(operators)}
    hostile = _called(innocent, names)

    expected = _result(innocent, PRECISIONS[precision], rewritten=rewritten)
    found = _result(hostile, PRECISIONS[precision], rewritten=rewritten)

    np.testing.assert_array_equal(found, expected)


def test_tensors_and_operators_of_the_model_keep_their_names() -> None:
    names = {f"t{i}": f"x{end}" for i, end in enumerate(ENDINGS[:13])}
    names |= {f"n{i}": f"x{end}" for i, end in enumerate(ENDINGS[:7])}
    model = _called(_net(), names)
    candidate = Candidate(OnnxRuntimeCpu(), PRECISIONS["static"])

    made = Compiler(model, feeds(model)).graph(candidate).model

    assert [v.name for v in made.graph.input] == ["x"]
    assert [v.name for v in made.graph.output] == [names["t12"]]
    assert {n.name for n in model.graph.node} <= {n.name for n in made.graph.node}


def test_what_a_tool_adds_is_named_as_ever_where_nothing_is_in_the_way() -> None:
    model = _net()
    candidate = Candidate(OnnxRuntimeCpu(), PRECISIONS["static"])

    made = Compiler(model, feeds(model)).graph(candidate).model

    assert {"t0_scale", "t0_zero_point"} <= {t.name for t in made.graph.initializer}
    assert "t0_QuantizeLinear_Output" in {name for n in made.graph.node for name in n.output}


def test_a_model_of_16_bit_floats_may_have_the_names_of_what_widens_it() -> None:
    nodes = [make_node("Add", ["x", "x/float32"], ["y"], name="y/float32/narrow")]
    stored = {"x/float32": np.ones(4, np.float16), "y/float32": np.zeros(4, np.float16)}
    model = build(nodes, [value("x", [4], 10)], [value("y", [4], 10)], stored)
    precision = Precision(given=GivenFormat.FLOAT16, float_type=FloatType.FLOAT32)
    candidate = Candidate(OnnxRuntimeCpu(), precision)

    made = Compiler(model, []).graph(candidate).model

    given_values = np.arange(4, dtype=np.float16)
    np.testing.assert_array_equal(run(made, {"x": given_values}), given_values + 1)


def test_an_error_speaks_of_the_names_of_the_model() -> None:
    def fails(model: onnx.ModelProto, _: object) -> onnx.ModelProto:
        raise CompileError(f"Operator {model.graph.node[0].name!r} cannot be had.")

    with pytest.raises(CompileError, match=r"Operator 'n0' cannot be had\."):
        under_other_names(_net(), fails)
