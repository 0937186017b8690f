"""Rewritten graphs compute the same with other operators."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.helper import make_node

from farm.compile.passes import Compiled
from farm.compile.prepare import prepare
from farm.compile.rewrite import SliceOfConcat, rewrite
from farm.errors import CompileError
from tests import models
from tests.farm.compile import graphs


def softmax(shape, axis=-1):
    node = make_node("Softmax", ["x"], ["y"], name="scores", axis=axis)
    return models.build([node], [models.value("x", shape)], [models.value("y", shape)], {})


def cut(sizes, intervals, *, axis=1, step=1):
    """Concatenates one input with multiples of itself, cuts it and adds up the pieces' means."""
    inputs = [models.value(f"x{i}", [2, size]) for i, size in enumerate(sizes)]
    nodes = [make_node("Concat", [v.name for v in inputs], ["all"], name="join", axis=axis)]
    stored = {"axis": np.array([axis]), "step": np.array([step])}
    for i, (first, last) in enumerate(intervals):
        stored |= {f"first{i}": np.array([first]), f"last{i}": np.array([last])}
        bounds = [f"first{i}", f"last{i}", "axis", "step"]
        nodes += [
            make_node("Slice", ["all", *bounds], [f"s{i}"], name=f"slice{i}"),
            make_node("ReduceSum", [f"s{i}"], [f"m{i}"], name=f"sum{i}", keepdims=0),
        ]
    nodes.append(make_node("Sum", [f"m{i}" for i in range(len(intervals))], ["y"], name="sum"))
    return models.build(nodes, inputs, [models.value("y", [])], stored)


def rewritten(model):
    return rewrite(Compiled(prepare(model).model)).model


@pytest.mark.parametrize("axis", [-1, 2])
def test_softmax_of_two_becomes_a_sigmoid(axis):
    model = softmax([1, 50, 2], axis)
    other = rewritten(model)
    onnx.checker.check_model(other)
    assert graphs.types(other) == {"MatMul", "Sigmoid"}
    sample = {"x": np.linspace(-90, 90, 100, dtype=np.float32).reshape(1, 50, 2)}
    np.testing.assert_allclose(graphs.run(other, sample), graphs.run(model, sample), atol=1e-6)


@pytest.mark.parametrize("model", [softmax([1, 2, 3]), softmax([1, 2, 3], axis=1), models.mlp()])
def test_without_a_pattern_it_is_refused(model):
    with pytest.raises(CompileError, match="no pattern that can be rewritten"):
        rewritten(model)


def test_slices_that_take_a_concat_apart_are_gone():
    other = rewritten(cut((3, 4), [(0, 3), (3, 1 << 40)]))
    assert not graphs.types(other) & {"Slice", "Concat"}


def test_a_slice_that_is_an_output_stays():
    model = cut((3, 4), [(0, 3), (3, 7)])
    model.graph.output.append(models.value("s0", [2, 3]))
    other = rewritten(model)
    assert graphs.names(other).count("slice0") == 1
    assert "slice1" not in graphs.names(other)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 3), min_size=2, max_size=4), st.data())
def test_any_cut_computes_the_same(sizes, data):
    total = sum(sizes)
    bound = st.integers(0, total - 1)
    first, last = sorted((data.draw(bound), data.draw(bound)))
    model = cut(sizes, [(first, last + 1), (0, sizes[0])], step=data.draw(st.integers(1, 2)))
    prepared = prepare(model).model
    result = SliceOfConcat()(prepared)
    onnx.checker.check_model(result.model)
    sample = graphs.feeds(model, 1)[0]
    exact, other = graphs.run(model, sample), graphs.run(result.model, sample)
    np.testing.assert_allclose(other, exact, rtol=1e-4, atol=1e-5)
