"""Where models are cut to be recorded, and which plans there are."""

from __future__ import annotations

from itertools import pairwise
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from benchmarks.placement.cuts.plans import (
    Piece,
    cut_points,
    distinct,
    evenly,
    plan_of,
    plans,
    sampled,
)
from farm.errors import PlanError
from farm.model.graph import Graph, build_graph
from farm.model.model import load_model

A, B, C = "cpu/a", "cpu/b", "cpu/c"


@pytest.fixture
def branched(tmp_path) -> Graph:
    """Four operators, one after the other, but that the third one adds the first one's result."""
    nodes = [
        helper.make_node("Relu", ["x"], ["one"], "first"),
        helper.make_node("Neg", ["one"], ["two"], "second"),
        helper.make_node("Add", ["one", "two"], ["three"], "third"),
        helper.make_node("Abs", ["three"], ["y"], "fourth"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in "xy"]
    graph = helper.make_graph(nodes, "branched", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "branched.onnx"
    path.write_bytes(model.SerializeToString())
    return build_graph(load_model(path))


def test_a_model_is_cut_where_one_tensor_crosses(branched):
    assert cut_points(branched) == (1, 3)


def test_points_with_nothing_to_run_between_them_are_one():
    assert distinct((1, 2, 3, 4), [False, True, False, True, True]) == (2, 4)
    assert distinct((1, 2), [True, False, False]) == ()


@given(st.sets(st.integers(1, 40), min_size=1), st.integers(1, 20), st.data())
def test_points_are_chosen_once_each_and_no_more_than_are_wanted(points, most, data):
    work = data.draw(st.lists(st.floats(0, 100), min_size=41, max_size=41))
    chosen = evenly(tuple(points), work, most)
    assert len(set(chosen)) == len(chosen) == min(most, len(points))
    assert set(chosen) <= points
    assert list(chosen) == sorted(chosen)


def test_points_are_even_over_the_work():
    assert evenly((1, 2, 3, 4, 5, 6), [1, 1, 1, 9, 9, 9, 9], 2) == (4, 6)
    with pytest.raises(PlanError, match="cut at 1 point or more, not at 0"):
        evenly((1,), [1, 1], 0)


@given(st.integers(0, 5), st.integers(1, 3), st.integers(1, 4))
def test_plans_are_all_partitions_and_neighbours_are_elsewhere(cuts, places, most):
    bounds, names = tuple(range(cuts + 2)), (A, B, C)[:places]
    found = list(plans(bounds, names, most))
    wanted = sum(comb(cuts, n - 1) * places * (places - 1) ** (n - 1) for n in range(1, most + 1))
    assert len(set(found)) == len(found) == wanted
    for plan in found:
        assert (plan[0].start, plan[-1].end) == (0, cuts + 1)
        for one, other in pairwise(plan):
            assert one.end == other.start
            assert one.place != other.place


def test_a_sample_has_all_plans_of_two_pieces_and_is_the_same_each_time():
    every = list(plans(range(7), (A, B, C), 3))
    few = [plan for plan in every if len(plan) <= 2]
    chosen = sampled(every, len(few) + 10, seed=1)
    assert len(chosen) == len(few) + 10
    assert set(few) <= set(chosen)
    assert chosen == sampled(every, len(few) + 10, seed=1) != sampled(every, len(few) + 10, seed=2)
    assert list(sampled(every, 0, seed=1)) == few
    assert list(sampled(every, 10**6, seed=1)) == every


def test_parts_of_one_place_in_a_row_are_one_piece(branched):
    parts = [(A, ("first",)), (A, ("second",)), (B, ("third", "fourth"))]
    assert plan_of(parts, branched) == (Piece(0, 2, A), Piece(2, 4, B))


def test_parts_have_all_operators_in_order(branched):
    with pytest.raises(PlanError, match="do not have all operators of the model in its order"):
        plan_of([(A, ("second", "first")), (B, ("third", "fourth"))], branched)
