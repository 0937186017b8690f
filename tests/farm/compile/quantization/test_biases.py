"""Biases of all shapes that a general matrix product may have, under static quantisation."""

import numpy as np
import pytest
from onnx.helper import make_node
from onnx.numpy_helper import to_array

from farm.artifact.compiler import Compiler
from farm.candidate import Candidate, Precision, StaticInt8
from farm.compile.quantization.biases import matrix_biases, spread_biases
from farm.errors import CompileError
from tests.farm.compile.graphs import feeds, run
from tests.models import build, value, weights

INT8 = Candidate(precision=Precision(quantization=StaticInt8()))


def product(bias: tuple[int, ...], rows: int = 1, **attributes: int):
    """A product of [rows, 6] with 4 columns and a bias of some shape."""
    shape = (4, 6) if attributes.get("transB") else (6, 4)
    nodes = [make_node("Gemm", ["x", "w", "b"], ["y"], name="product", **attributes)]
    stored = weights(w=shape, b=bias)
    return build(nodes, [value("x", [rows, 6])], [value("y", [rows, 4])], stored)


@pytest.mark.parametrize("bias", [(), (1,), (1, 1), (1, 4), (4,)])
@pytest.mark.parametrize("transposed", [0, 1])
def test_every_vector_can_be_quantised(bias, transposed):
    model = product(bias, transB=transposed)
    given = feeds(model)

    quantised = Compiler(model, given).graph(INT8)

    assert matrix_biases(model) == {}
    assert "QuantizeLinear" in {node.op_type for node in quantised.model.graph.node}
    for sample in given:
        wanted, found = run(model, sample), run(quantised.model, sample)
        np.testing.assert_allclose(found, wanted, atol=0.1)


def test_a_bias_is_spread_over_the_columns():
    model = product((1,))
    spread_biases(model)
    name = model.graph.node[0].input[2]
    stored = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
    assert stored[name].shape == (4,)
    assert (stored[name] == stored["b"]).all()


@pytest.mark.parametrize("bias", [(3, 4), (3, 1)])
def test_a_product_whose_bias_is_a_matrix_stays_in_float(bias):
    model = product(bias, rows=3)
    message = f"Operator product stays in float: its bias of shape {list(bias)} is not one"
    with pytest.raises(CompileError) as caught:
        Compiler(model, feeds(model)).graph(INT8)
    assert message in str(caught.value)
