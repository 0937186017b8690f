"""Matrix products whose operands alone are quantised."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node

from farm.artifact.compiler import Compiler
from farm.candidate import Candidate, OpenVinoRuntime, Precision, StaticInt8
from farm.compile.operators import matrix_products, quantizable
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import Calibration, Range
from farm.compile.quantization.products import mirrored
from farm.compile.quantization.quantize import tensors_to_calibrate
from farm.compile.quantization.sensitivity import sensitivity
from farm.errors import CompileError
from tests.farm.compile import graphs
from tests.models import build, value, weights

PRODUCTS = StaticInt8(products=True)
OF_ACTIVATIONS = ("scores", "mix")
ALL = ("query", "key", "value", "scores", "mix", "tell")


def compiled(model: onnx.ModelProto, choice: StaticInt8 = PRODUCTS) -> onnx.ModelProto:
    candidate = Candidate(OpenVinoRuntime(), Precision(quantization=choice))
    return Compiler(model, graphs.feeds(model)).graph(candidate).model


def quantised(model: onnx.ModelProto) -> dict[str, tuple[int, int]]:
    """Integer type and zero point of the activations that are quantised, by name."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    zeros = {
        n.input[0]: stored[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"
    }
    return {
        name: (zero.data_type, int(onnx.numpy_helper.to_array(zero)))
        for name, zero in zeros.items()
    }


def test_operands_are_quantised_around_zero_and_results_are_not() -> None:
    found = quantised(compiled(graphs.attention_net()))
    signed, unsigned = (TensorProto.INT8, 0), (TensorProto.UINT8, 0)
    operands = dict.fromkeys(("x", "query", "turned", "content", "mixed"), signed)
    assert found == operands | {"shares": unsigned}


def test_every_product_reads_integers_on_both_sides() -> None:
    model = compiled(graphs.attention_net())
    makers = {name: node.op_type for node in model.graph.node for name in node.output}
    products = [node for node in model.graph.node if node.op_type == "MatMul"]
    assert [node.name for node in products] == list(ALL)
    assert {makers[name] for node in products for name in node.input} == {"DequantizeLinear"}


@pytest.mark.parametrize("mask", [None, (8,), (8, 8)])
def test_results_stay_close(mask: tuple[int, ...] | None) -> None:
    model = graphs.attention_net(mask)
    (sample,) = graphs.feeds(model, 1)
    exact, found = (graphs.run(each, sample) for each in (model, compiled(model)))
    assert graphs.error(exact, found) < 0.02


@pytest.mark.parametrize(
    ("mask", "is_kept"),
    [((8,), True), ((1, 1, 8), True), ((1, 8, 8), False), ((8, 1), False), ((1,), False)],
)
def test_a_product_with_a_row_for_all_stays_float(mask: tuple[int, ...], is_kept: bool) -> None:
    """OpenVINO 2026.4 gives 90 % wrong results for it on processors with AMX."""
    model = graphs.attention_net(mask)
    candidate = Candidate(OpenVinoRuntime(), Precision(quantization=PRODUCTS))
    done = Compiler(model, graphs.feeds(model)).graph(candidate)
    assert ("turned" in quantised(done.model)) is not is_kept
    assert {"shares", "content", "mixed"} <= quantised(done.model).keys()
    told = (
        "Operator scores stays in float: OpenVINO's integer kernels are wrong where one row is "
        "added to all of a product."
    )
    assert (told in done.notes) is is_kept


def test_otherwise_products_of_activations_are_left_alone() -> None:
    model = compiled(graphs.attention_net(), StaticInt8())
    found = quantised(model)
    assert {"turned", "shares"}.isdisjoint(found)
    assert {kind for kind, _ in found.values()} == {TensorProto.UINT8}
    prepared = prepare(graphs.attention_net()).model
    assert {"turned", "shares"}.isdisjoint(tensors_to_calibrate(prepared))
    assert {"turned", "shares"} <= set(tensors_to_calibrate(prepared, products=True))


def test_products_of_activations_have_names_to_keep_in_float() -> None:
    model = compiled(graphs.attention_net(), StaticInt8(keep_float=("scores",), products=True))
    assert {"query", "turned"}.isdisjoint(quantised(model))
    with pytest.raises(CompileError, match="Cannot keep 'scores' in float"):
        compiled(graphs.attention_net(), StaticInt8(keep_float=("scores",)))


def test_products_of_activations_are_ranked_with_the_others() -> None:
    model = graphs.attention_net()
    prepared = prepare(model).model
    names = [operator.name for operator in quantizable(prepared, PRODUCTS)]
    damage = dict(sensitivity(prepared, compiled(model), names, graphs.feeds(model, 2)).power)
    assert set(damage) == set(names) == set(ALL)
    assert all(value > 0 for value in damage.values())


def test_what_a_convolution_reads_stays_u8() -> None:
    nodes = [
        make_node("Conv", ["x", "w1"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        make_node("MatMul", ["x", "w2"], ["p"], name="product"),
        make_node("Add", ["c", "p"], ["s"], name="sum"),
        make_node("MatMul", ["s", "w2"], ["y"], name="last"),
    ]
    stored = weights(w1=(3, 3, 3, 3), w2=(8, 8))
    ends = [value("x", [1, 3, 8, 8])], [value("y", [1, 3, 8, 8])]
    found = quantised(compiled(build(nodes, *ends, stored)))
    assert {name: kind for name, (kind, _) in found.items()} == {
        "x": TensorProto.UINT8,
        "c": TensorProto.UINT8,
        "s": TensorProto.INT8,
    }


def test_general_products_are_products_too() -> None:
    model = compiled(graphs.regression_far_from_zero())
    products = [node for node in model.graph.node if node.op_type == "Gemm"]
    assert products
    results = {name for node in products for name in node.output}
    assert results.isdisjoint(quantised(model))


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (Range(-1.0, 3.0), Range(-3.0, 3.0, 2.0)),
        (Range(-4.0, 4.0), Range(-4.0, 4.0)),
        (Range(-6.0, 0.0, 5.0), Range(-6.0, 6.0, 11.0)),
    ],
)
def test_a_mirrored_range_has_as_many_values_as_before(found: Range, wanted: Range) -> None:
    made = mirrored(Calibration({"a": found, "b": found}), ["a"]).ranges
    assert made == {"a": wanted, "b": found}
    assert made["a"].spread == found.spread


def test_an_operand_that_8_bits_are_too_few_for_stays_float() -> None:
    stored = weights(w=(16, 16), shift=(16,))
    stored["shift"] -= np.float32(1000)
    nodes = [
        make_node("Add", ["x", "shift"], ["far"], name="away"),
        make_node("MatMul", ["far", "w"], ["a"], name="coarse"),
        make_node("MatMul", ["a", "x"], ["y"], name="fine"),
    ]
    model = build(nodes, [value("x", [16, 16])], [value("y", [16, 16])], stored)
    candidate = Candidate(precision=Precision(quantization=PRODUCTS))
    done = Compiler(model, graphs.feeds(model)).graph(candidate)
    assert "far" not in quantised(done.model)
    assert any(note.startswith("Operator coarse stays in float") for note in done.notes)


def test_products_matter_where_much_of_the_work_is_theirs() -> None:
    assert matrix_products(prepare(graphs.attention_net()).model) == ALL
    assert matrix_products(prepare(graphs.residual_net()).model) == ()
