"""Graphs laid out flat, and copies in which every name leads back."""

from __future__ import annotations

import onnx
from onnx.helper import make_graph, make_node

from farm.measurement import Method
from farm.profile.kernels import OperatorProfile, unmapped_share
from farm.profile.tags import tagged, tags_in, with_tags_replaced
from farm.profile.view import view_of
from tests.models import branching_net, build, conv_net, lstm_net, reshape_net, value, weights


def test_nested_nodes_come_before_the_node_that_has_them_and_it_reads_their_results() -> None:
    view = view_of(branching_net())
    *_, first, second, choice = view.nodes
    assert choice.op_type == "If"
    assert {first.op_type, second.op_type} == {"MatMul", "Slice"}
    assert choice.inputs == ("high", *first.outputs, *second.outputs)
    assert view.inputs == {"x", "level"}


def test_tensors_of_two_branches_with_one_name_are_told_apart() -> None:
    *_, first, second, _ = view_of(branching_net()).nodes
    assert (first.outputs, second.outputs) == (("branch",), ("branch@2",))


def test_what_depends_on_weights_or_shapes_alone_is_constant() -> None:
    assert view_of(reshape_net()).constant == {"zero", "rest", "s", "n", "to"}


def test_a_tagged_copy_is_the_same_model_under_other_names() -> None:
    for model in (conv_net(), lstm_net(), branching_net()):
        copy = tagged(model)
        onnx.checker.check_model(copy)
        ends = [v.name for v in (*model.graph.input, *model.graph.output)]
        assert [v.name for v in (*copy.graph.input, *copy.graph.output)] == ends
        before, after = view_of(model), view_of(copy)
        assert [n.op_type for n in after.nodes] == [n.op_type for n in before.nodes]
        assert len({n.name for n in after.nodes}) == len(after.nodes)
        assert all(tags_in(node.name) == (node.name,) for node in after.nodes)


def test_names_that_hold_several_are_no_trouble_in_a_tagged_copy() -> None:
    nodes = [make_node("Relu", ["x"], ["a,b"], name="a,b"), make_node("Neg", ["a,b"], ["y"])]
    copy = tagged(build(nodes, [value("x", [4])], [value("y", [4])], {}))
    tag = copy.graph.node[0].name
    assert list(copy.graph.node[1].input) == [tag]
    assert with_tags_replaced(f"{tag}_nchwc", {tag: "a,b"}) == "a,b_nchwc"


def test_a_branch_that_reads_from_outside_does_so_by_the_new_name() -> None:
    out = value("z", [4])
    inner = make_graph([make_node("Neg", ["hidden"], ["z"])], "then", [], [out])
    other = make_graph([make_node("Abs", ["hidden"], ["z"])], "else", [], [out])
    nodes = [
        make_node("Relu", ["x"], ["hidden"]),
        make_node("If", ["flag"], ["y"], then_branch=inner, else_branch=other),
    ]
    inputs = [value("x", [4]), value("flag", [], onnx.TensorProto.BOOL)]
    copy = tagged(build(nodes, inputs, [value("y", [4])], weights(w=(1,))))
    onnx.checker.check_model(copy)
    view = view_of(copy)
    assert view.nodes[1].inputs == view.nodes[0].outputs == view.nodes[2].inputs


def test_the_share_that_is_not_mapped_is_of_time() -> None:
    rows = [
        OperatorProfile("a", "Conv", ("conv",), "float32", 3e-3, None, Method.MEASURED),
        OperatorProfile("b", "Stray", (), "", 1e-3, None, Method.MEASURED),
    ]
    assert unmapped_share(rows) == 0.25
    assert unmapped_share([]) == 0.0
