"""Preparation keeps what a model computes and the names of its operators."""

import numpy as np
import onnx
import pytest
from onnx.helper import make_node

from farm.compile.formats.raise_opset import opset
from farm.compile.prepare import SupportedIr, prepare
from farm.errors import CompileError
from tests import models
from tests.farm.compile import graphs


@pytest.mark.parametrize(
    "model",
    [
        graphs.residual_net(),
        graphs.residual_net(opset=9, ir_version=4),
        graphs.weights_behind_dequantize(),
        graphs.generated_weights(),
        models.mlp(),
    ],
    ids=["residual", "opset 9", "dequantised weights", "generated weights", "mlp"],
)
def test_the_prepared_graph_computes_the_same(model):
    before = model.SerializeToString(deterministic=True)
    prepared = prepare(model).model
    onnx.checker.check_model(prepared)
    assert model.SerializeToString(deterministic=True) == before, "the user's model was changed"
    sample = graphs.feeds(model, 1)[0]
    assert graphs.error(graphs.run(model, sample), graphs.run(prepared, sample)) < 1e-5
    assert opset(prepared) >= 13


def test_operators_that_stay_keep_their_names():
    prepared = prepare(graphs.residual_net()).model
    assert graphs.names(prepared) == [
        name for name in graphs.names(graphs.residual_net()) if name != "norm"
    ]


def test_a_sum_of_two_becomes_an_add():
    prepared = prepare(graphs.residual_net()).model
    assert "Sum" not in graphs.types(prepared)
    assert next(n for n in prepared.graph.node if n.name == "join").op_type == "Add"


def test_weights_become_plain_constants():
    folded = prepare(graphs.weights_behind_dequantize()).model
    assert graphs.types(folded) == {"Conv"}
    generated = prepare(graphs.generated_weights()).model
    assert graphs.types(generated) == {"Conv"}
    assert [value.name for value in generated.graph.input] == ["image"]
    assert [tuple(t.dims) for t in generated.graph.initializer] == [(64, 3, 3, 3)]


def test_notes_say_what_was_done():
    notes = prepare(graphs.generated_weights()).notes
    assert "Opset raised from 9 to 17." in notes
    assert "1 of 2 operators folded away." in notes


def test_only_used_operator_sets_are_imported():
    assert {o.domain for o in prepare(models.mlp()).model.opset_import} == {""}


def test_the_ir_version_is_lowered_to_what_engines_read():
    result = SupportedIr()(graphs.residual_net(ir_version=13))
    assert (result.changed, result.model.ir_version) == (True, 10)
    assert result.notes == ("IR version lowered from 13 to 10.",)
    assert not SupportedIr()(graphs.residual_net(ir_version=8)).changed


def test_a_model_that_does_not_load_is_one_sentence():
    wrong = models.build(
        [make_node("Add", ["x", "w"], ["y"], name="narrow")],
        [models.value("x", [1, 3])],
        [models.value("y", [1, 3])],
        {"w": np.zeros((1, 4), np.float32)},
    )
    with pytest.raises(CompileError, match=r"^Pass simplify failed: .*\.$") as caught:
        prepare(wrong)
    assert "\n" not in str(caught.value)


def test_operators_of_inlined_functions_get_names_of_their_own():
    twice = onnx.helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["b"],
        [make_node("Relu", ["a"], ["r"]), make_node("Neg", ["r"], ["b"])],
        [onnx.helper.make_opsetid("", 17)],
    )
    nodes = [
        make_node("Twice", ["x"], ["h"], name="first", domain="local"),
        make_node("Twice", ["h"], ["y"], name="second", domain="local"),
    ]
    model = models.build(nodes, [models.value("x", [1, 3])], [models.value("y", [1, 3])], {})
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    model.functions.append(twice)

    names = [node.name for node in prepare(model).model.graph.node]

    assert all(names)
    assert len(set(names)) == len(names) >= 3
