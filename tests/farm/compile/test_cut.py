"""Models cut into the parts of a pipeline: what each part has, and that they compute the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array

from farm.artifact.compiler import Compiler
from farm.candidate import (
    Candidate,
    DynamicInt8,
    FloatType,
    OnnxRuntimeCpu,
    PipelinePart,
    Precision,
    StaticInt8,
)
from farm.compile.annotate import labels_of
from farm.compile.cut import cut
from farm.errors import CompileError
from tests import models
from tests.farm.compile import graphs
from tests.models import build, value, weights


def parts(*operators: str | Sequence[str]) -> tuple[PipelinePart, ...]:
    """Parts of ONNX Runtime; a text has names with spaces between."""
    named = (each.split() if isinstance(each, str) else each for each in operators)
    return tuple(PipelinePart("cpu", OnnxRuntimeCpu(), tuple(names)) for names in named)


def outputs(model: ModelProto, feeds: dict[str, np.ndarray], level=None) -> dict[str, np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if level is not None:
        options.graph_optimization_level = level
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    given = {each.name: feeds[each.name] for each in session.get_inputs()}
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


def in_order(pieces: Sequence[ModelProto], feeds: dict[str, np.ndarray], level=None):
    """What the parts know in the end."""
    known = dict(feeds)
    for piece in pieces:
        onnx.checker.check_model(piece)
        known |= outputs(piece, known, level)
    return known


def require_same(model: ModelProto, pieces: Sequence[ModelProto], level=None) -> None:
    """The same bits, whole and in parts."""
    for feeds in graphs.feeds(model, 2):
        found = in_order(pieces, feeds, level)
        for name, wanted in outputs(model, feeds, level).items():
            assert found[name].tobytes() == wanted.tobytes()


def borders(pieces: Sequence[ModelProto]) -> list[tuple[list[str], list[str]]]:
    return [([v.name for v in p.graph.input], [v.name for v in p.graph.output]) for p in pieces]


def types(pieces: Sequence[ModelProto]) -> list[list[str]]:
    return [[node.op_type for node in piece.graph.node] for piece in pieces]


def two_paths() -> ModelProto:
    """Two chains from x that are added; the first one's end is an output, too."""
    nodes = [
        make_node("Relu", ["x"], ["a"], name="a"),
        make_node("Neg", ["a"], ["b"], name="b"),
        make_node("Abs", ["x"], ["c"], name="c"),
        make_node("Add", ["b", "c"], ["y"], name="d"),
    ]
    ends = [value("y", [1, 4]), value("b", [1, 4])]
    return build(nodes, [value("x", [1, 4])], ends, {})


class TestParts:
    def test_have_what_they_read_and_write(self):
        model = models.mlp()
        pieces = cut(model, parts("first bias", "relu second"))
        assert borders(pieces) == [(["x"], ["a1"]), (["a1"], ["y"])]
        assert [[t.name for t in p.graph.initializer] for p in pieces] == [["w1", "b1"], ["w2"]]
        assert [v.name for v in pieces[0].graph.value_info] == ["m1"]
        require_same(model, pieces)

    def test_hand_on_what_later_parts_or_the_caller_read(self):
        model = two_paths()
        pieces = cut(model, parts("a", "b", "c d"))
        assert borders(pieces) == [(["x"], ["a"]), (["a"], ["b"]), (["x", "b"], ["y"])]
        require_same(model, pieces)

    def test_may_be_at_one_place_several_times(self):
        pieces = cut(models.mlp(), parts("first", "bias", "relu", "second"))
        require_same(models.mlp(), pieces)

    def test_leave_the_model_as_it_was(self):
        model = models.mlp()
        before = model.SerializeToString(deterministic=True)
        cut(model, parts("first bias", "relu second"))
        assert model.SerializeToString(deterministic=True) == before

    def test_have_the_outer_tensors_that_a_branch_reads(self):
        model = models.branching_net()
        pieces = cut(model, parts("compare", "choose"))
        assert borders(pieces) == [(["level"], ["high"]), (["high", "x"], ["y"])]
        assert {t.name for t in pieces[1].graph.initializer} == {"w", "zero", "four", "one"}

    def test_have_copies_of_what_depends_on_weights_alone(self):
        half = from_array(np.array([0.5], np.float32))
        nodes = [
            make_node("Constant", [], ["half"], name="constant", value=half),
            make_node("Mul", ["x", "half"], ["a"], name="scale"),
            make_node("Add", ["a", "half"], ["y"], name="shift"),
        ]
        model = build(nodes, [value("x", [1, 4])], [value("y", [1, 4])], {})
        pieces = cut(model, parts("scale", "shift"))
        assert types(pieces) == [["Constant", "Mul"], ["Constant", "Add"]]
        assert borders(cut(model, parts("constant scale", "shift"))) == borders(pieces)
        require_same(model, pieces)

    def test_of_a_model_whose_outputs_are_given(self):
        """One output is an input, one is stored."""
        nodes = [
            make_node("Relu", ["x"], ["a"], name="a"),
            make_node("Neg", ["a"], ["y"], name="b"),
        ]
        ends = [value("y", [1, 4]), value("x", [1, 4]), value("w", [2])]
        model = build(nodes, [value("x", [1, 4])], ends, weights(w=(2,)))
        pieces = cut(model, parts("a", "b"))
        assert borders(pieces) == [(["x"], ["a"]), (["a"], ["y", "w"])]
        require_same(model, pieces)

    def test_of_a_model_that_lists_weights_as_inputs(self):
        model = graphs.generated_weights()
        with pytest.raises(CompileError, match=r"Part 1 .* has nothing to run"):
            cut(model, parts("fill", "conv"))

    def test_hand_on_tensors_of_fixed_shapes_alone(self):
        nodes = [
            make_node("NonZero", ["x"], ["where"], name="find"),
            make_node("Neg", ["where"], ["y"], name="turn"),
        ]
        ends = [value("y", [2, "found"], TensorProto.INT64)]
        model = build(nodes, [value("x", [1, 4])], ends, {})
        with pytest.raises(CompileError, match=r"'where' cannot go from one .* is not fixed"):
            cut(model, parts("find", "turn"))

    def test_give_the_caller_what_has_another_shape_in_every_run(self):
        nodes = [
            make_node("Relu", ["x"], ["a"], name="keep"),
            make_node("NonZero", ["a"], ["where"], name="find"),
        ]
        ends = [value("where", [2, "found"], TensorProto.INT64)]
        model = build(nodes, [value("x", [1, 4])], ends, {})
        pieces = cut(model, parts("keep", "find"))
        assert borders(pieces) == [(["x"], ["a"]), (["a"], ["where"])]
        require_same(model, pieces)


class TestAdded:
    """Operators that passes added go with their neighbours."""

    def quantised(self, model: ModelProto, choice, *operators: str) -> tuple[ModelProto, ...]:
        compiler = Compiler(model, graphs.feeds(model))
        whole = compiler.graph(Candidate(precision=Precision(quantization=choice))).model
        pieces = cut(whole, parts(*operators), model, compiler.prepared().model)
        require_same(whole, pieces)
        return pieces

    def test_a_border_between_quantised_operators_travels_in_int8(self):
        model = graphs.residual_net()
        pieces = self.quantised(
            model, StaticInt8(), "stem norm stem_relu", "body join join_relu pool flat head"
        )
        (border,) = pieces[0].graph.output
        assert border.type.tensor_type.elem_type == TensorProto.UINT8
        assert types(pieces)[0][0] == types(pieces)[0][-1] == "QuantizeLinear"
        readers = [n.op_type for n in pieces[1].graph.node if border.name in n.input]
        assert readers == ["DequantizeLinear"]

    def test_a_tensor_that_two_parts_read_is_dequantised_in_each(self):
        model = graphs.residual_net()
        pieces = self.quantised(
            model, StaticInt8(), "stem norm stem_relu", "body", "join join_relu pool flat head"
        )
        shared = pieces[0].graph.output[0].name
        for piece in pieces[1:]:
            assert shared in {v.name for v in piece.graph.input}
            assert {n.op_type for n in piece.graph.node if shared in n.input} == {
                "DequantizeLinear"
            }

    @pytest.mark.parametrize("choice", [None, StaticInt8(), DynamicInt8(convolutions=True)])
    def test_every_cut_of_a_chain_gives_the_bits_of_the_whole(self, choice):
        model = graphs.residual_net()
        compiler = Compiler(model, graphs.feeds(model))
        chosen = Candidate(precision=Precision(quantization=choice))
        whole = (compiler.graph(chosen) if choice else compiler.prepared()).model
        names = graphs.names(model)
        cuts = [parts(names[:end], names[end:]) for end in range(1, len(names))]
        for chosen_parts in cuts:
            pieces = cut(whole, chosen_parts, model, compiler.prepared().model)
            require_same(whole, pieces, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
            assert sum(len(p.graph.node) for p in pieces) >= len(whole.graph.node)

    def test_dynamic_quantisation_goes_with_its_operator(self):
        pieces = self.quantised(models.mlp(), DynamicInt8(), "first bias relu", "second")
        assert [v.name for v in pieces[1].graph.input] == ["r1"]
        assert "DynamicQuantizeLinear" in types(pieces)[1]

    def test_casts_go_with_the_ends_of_the_model(self):
        model = models.mlp()
        chosen = Candidate(precision=Precision(FloatType.FLOAT16))
        whole = Compiler(model, []).graph(chosen).model
        pieces = cut(whole, parts("first bias", "relu second"), model)
        assert types(pieces)[0][0] == types(pieces)[1][-1] == "Cast"
        assert pieces[0].graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT16
        (sample,) = graphs.feeds(model, 1)  # whole, ONNX Runtime rounds to float16 less often
        np.testing.assert_allclose(in_order(pieces, sample)["y"], graphs.run(whole, sample), 0.01)

    def test_what_was_folded_away_is_in_no_part(self):
        model = graphs.residual_net()
        whole = Compiler(model, []).prepared().model
        pieces = cut(
            whole, parts("stem", "norm stem_relu body join join_relu pool flat head"), model
        )
        assert types(pieces)[0] == ["Conv"]
        assert "BatchNormalization" not in types(pieces)[1]
        with pytest.raises(CompileError) as caught:
            cut(
                whole, parts("stem", "norm", "stem_relu body join join_relu pool flat head"), model
            )
        assert str(caught.value) == (
            "Part 2 (cpu/onnxruntime-cpu) has nothing to run: all of its operators "
            "were folded away when the model was prepared; leave it out."
        )


_FIRST, _SECOND = "Part 1 (cpu/onnxruntime-cpu)", "art 2 (cpu/onnxruntime-cpu)"


@pytest.mark.parametrize(
    ("operators", "message"),
    [
        (("first bia", "relu second"), f"{_FIRST} has an operator 'bia', and the model has none"),
        (("first bia", "relu second"), "of that name. Did you mean bias?"),
        (("first bias", "bias relu second"), f"P{_SECOND} has the operator 'bias' that is in p"),
        (("first bias first", "relu second"), f"{_FIRST} has the operator 'first' twice."),
        (("first", "second"), "No part of the pipeline has 'bias', 'relu'; every operator of the"),
        (("first relu", "bias second"), f"{_FIRST} and p{_SECOND} would have to run in a circle:"),
        (("second", "first bias relu"), f"{_FIRST} comes before p{_SECOND}, but in the former 's"),
        (("second", "first bias relu"), "'second' reads 'r1', which 'relu' writes in the latter;"),
    ],
)
def test_parts_that_do_not_fit_say_why(operators, message):
    with pytest.raises(CompileError) as caught:
        cut(models.mlp(), parts(*operators))
    assert message in str(caught.value)


def test_every_operator_of_a_part_is_annotated_with_its_place():
    nodes = [
        onnx.helper.make_node("Relu", ["x"], ["a"], name="one"),
        onnx.helper.make_node("Tanh", ["a"], ["y"], name="two"),
    ]
    model = build(nodes, [value("x", [4])], [value("y", [4])], {})
    for piece in cut(model, parts("one", "two")):
        assert set(labels_of(piece).values()) == {"cpu_onnxruntime-cpu"}
        assert len(labels_of(piece)) == len(piece.graph.node)


def test_a_circle_names_both_of_its_tensors():
    with pytest.raises(CompileError) as caught:
        cut(models.mlp(), parts("first relu", "bias second"))
    text = str(caught.value)
    assert "'relu' reads 'a1', which 'bias' writes in the latter" in text
    assert "'bias' reads 'm1' of the former" in text


_UNARY, _BINARY = ("Relu", "Neg", "Sigmoid", "Abs"), ("Add", "Mul", "Max")


@st.composite
def split_graphs(draw: st.DrawFn) -> tuple[ModelProto, tuple[PipelinePart, ...]]:
    """A random graph of up to 12 operators on [1, 4], and parts in which it can run."""
    count = draw(st.integers(2, 12))
    tensors, nodes, levels = ["x"], [], {"x": 0}
    for i in range(count):
        first, second = draw(st.sampled_from(tensors)), draw(st.sampled_from(tensors))
        kind = draw(st.sampled_from((*_UNARY, *_BINARY, "MatMul")))
        reads = [first] if kind in _UNARY else [first, "w" if kind == "MatMul" else second]
        nodes.append(make_node(kind, reads, [f"t{i}"], name=f"n{i}"))
        earliest = max(levels[name] for name in reads if name != "w")
        levels[f"t{i}"] = min(2, earliest + draw(st.integers(0, 1)))
        tensors.append(f"t{i}")
    read = {name for node in nodes for name in node.input}
    ends = [t for t in tensors[1:] if t not in read]
    ends += draw(st.lists(st.sampled_from(tensors[1:]), max_size=2, unique=True))
    described = [value(name, [1, 4]) for name in dict.fromkeys(ends)]
    model = build(nodes, [value("x", [1, 4])], described, weights(w=(4, 4)))
    members: dict[int, list[str]] = {}
    for i, node in enumerate(nodes):
        members.setdefault(levels[f"t{i}"], []).append(node.name)
    return model, parts(*(members[level] for level in sorted(members)))


@settings(max_examples=60)
@given(split_graphs())
def test_parts_in_their_order_give_the_bits_of_the_whole(split):
    model, chosen = split
    pieces = cut(model, chosen)
    assert sum(len(piece.graph.node) for piece in pieces) == len(model.graph.node)
    require_same(model, pieces)
    require_same(model, pieces, ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
