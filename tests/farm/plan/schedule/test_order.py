"""The schedule planner against exhaustive search, and its problems and solutions as values."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.helper import make_node

from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.schedule.dag import dag_of
from farm.plan.schedule.merge import merged
from farm.plan.schedule.order import (
    Operator,
    Problem,
    from_graph,
    peak_of,
    plan_schedule,
    validate,
)
from farm.plan.schedule.search import search
from farm.plan.solution import Status
from tests import models


def names(problem: Problem) -> list[str]:
    return [operator.name for operator in problem.operators]


def valid_orders(problem: Problem) -> Iterator[tuple[str, ...]]:
    for order in permutations(names(problem)):
        try:
            peak_of(problem, order)
        except ValueError:
            continue
        yield order


@st.composite
def problems(draw, most: int = 6) -> Problem:
    """Graphs with several inputs and outputs, in-place operators, scratch, unread tensors."""
    size = st.integers(0, 12)
    sizes = {f"x{i}": draw(size) for i in range(draw(st.integers(1, 2)))}
    inputs = tuple(sizes)
    operators = []
    for index in range(draw(st.integers(1, most))):
        reads = draw(st.lists(st.sampled_from(sorted(sizes)), max_size=3, unique=True))
        writes = tuple(f"t{index}{letter}" for letter in draw(st.sampled_from(["a", "ab"])))
        sizes.update({name: draw(size) for name in writes})
        offers = {old: draw(st.sampled_from([None, *writes])) for old in reads}
        in_place = tuple(
            (old, new)
            for old, new in offers.items()
            if new is not None and sizes[new] <= sizes[old]
        )
        scratch = draw(st.integers(0, 5))
        operators.append(Operator(f"op{index}", tuple(reads), writes, in_place, scratch))
    outputs = tuple(draw(st.lists(st.sampled_from(sorted(sizes)), max_size=2, unique=True)))
    return Problem(tuple(operators), sizes, inputs, outputs)


def fork(**changes: int) -> Problem:
    """Two branches from x, each with a large tensor in the middle, and their sum."""
    sizes = {"x": 10, "a": 60, "b": 5, "c": 80, "d": 5, "y": 10, **changes}
    operators = (
        Operator("grow a", ("x",), ("a",)),
        Operator("grow c", ("x",), ("c",)),
        Operator("shrink b", ("a",), ("b",)),
        Operator("shrink d", ("c",), ("d",)),
        Operator("add", ("b", "d"), ("y",)),
    )
    return Problem(operators, sizes, ("x",), ("y",))


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_the_peak_is_that_of_the_best_of_all_orders(problem):
    solution = plan_schedule(problem)
    assert validate(problem, solution) is None
    assert solution.status is Status.OPTIMAL
    assert solution.peak == min(peak_of(problem, order) for order in valid_orders(problem))


@settings(max_examples=50, deadline=None)
@given(problem=problems(most=12), width=st.integers(1, 3), states=st.integers(0, 6))
def test_without_time_it_is_valid_and_no_worse_than_the_default(problem, width, states):
    best = plan_schedule(problem)
    solution = plan_schedule(problem, beam=width, states=states)
    assert validate(problem, solution) is None
    assert solution.lower_bound <= best.peak <= solution.peak <= solution.default_peak


def test_a_chain_counts_once_when_it_is_merged_twice():
    problem = Problem(
        operators=(
            Operator("a", ("x",), ("ta",)),
            Operator("b", ("ta",), ("tb", "unread")),
            Operator("c", ("y", "z"), ("tc",)),
            Operator("d", ("tc",), ("td",), scratch=6),
            Operator("e", ("td", "tb"), ("te",), scratch=4),
        ),
        sizes={
            "x": 4,
            "y": 0,
            "z": 3,
            "ta": 12,
            "tb": 18,
            "unread": 13,
            "tc": 10,
            "td": 7,
            "te": 15,
        },
        inputs=("x", "y", "z"),
        outputs=("te",),
    )
    assert merged(problem) == ((0, 1), (2, 3, 4)), "b falls by 25, e's step needs 23"


def test_branches_run_one_after_the_other():
    problem = fork()
    solution = plan_schedule(problem)
    assert solution.default_peak == 10 + 60 + 80
    assert solution.peak == 10 + 80 + 5
    assert solution.order[:2] in {("grow a", "shrink b"), ("grow c", "shrink d")}
    assert solution.status is Status.OPTIMAL


def wired(seed: int, count: int = 24) -> Problem:
    """A random graph that is too irregular for a beam of one state."""
    draw = random.Random(seed)
    names = ["x"]
    operators = []
    for index in range(count):
        reads = tuple(draw.sample(names, min(len(names), 2)))
        operators.append(Operator(f"op{index}", reads, (f"t{index}",)))
        names.append(f"t{index}")
    sizes = {name: draw.randint(1, 9) for name in names}
    unread = set(names) - {name for operator in operators for name in operator.reads}
    return Problem(tuple(operators), sizes, ("x",), tuple(sorted(unread)))


def lowest_peak(problem: Problem) -> int:
    """By dynamic programming over sets of operators, without bounds or shortcuts."""
    readers = {
        name: {op for op in problem.operators if name in op.reads} for name in problem.sizes
    }
    peaks = {frozenset[Operator](): 0}
    for _ in problem.operators:
        longer: dict[frozenset[Operator], int] = {}
        for done, peak in peaks.items():
            there = {*problem.inputs, *(name for op in done for name in op.writes)}
            alive = {t for t in there if t in problem.outputs or readers[t] - done}
            for op in set(problem.operators) - done:
                if there.issuperset(op.reads):
                    step = sum(problem.sizes[name] for name in alive.union(op.writes))
                    state = done | {op}
                    longer[state] = min(longer.get(state, 10**9), max(peak, step))
        peaks = longer
    return min(peaks.values())


@pytest.mark.parametrize("seed", range(6))
def test_larger_graphs_against_plain_dynamic_programming(seed):
    problem = wired(seed, count=13)
    lowest = lowest_peak(problem)
    for beam in (1, 64):
        solution = plan_schedule(problem, beam=beam)
        assert validate(problem, solution) is None
        assert (solution.peak, solution.status) == (lowest, Status.OPTIMAL)


@settings(max_examples=100, deadline=None)
@given(problem=problems(most=6))
def test_the_search_needs_no_known_order(problem):
    dag = dag_of(problem, [(index,) for index in range(len(problem.operators))])
    found = search(dag, 0, dag.all, 0, 10**9, lambda visited: True)
    assert found.bound == min(peak_of(problem, order) for order in valid_orders(problem))
    assert peak_of(problem, [names(problem)[index] for index in found.order]) == found.bound


@settings(deadline=None)
@given(problem=problems(most=12))
def test_merged_operators_cost_nothing(problem):
    order = [names(problem)[index] for group in merged(problem) for index in group]
    assert peak_of(problem, order) <= peak_of(problem, names(problem))


def test_what_only_adds_waits_for_its_reader():
    problem = Problem(
        operators=(
            Operator("scale p", ("p",), ("a",)),
            Operator("scale q", ("q",), ("b",)),
            Operator("relu p", ("p",), ("c",)),
            Operator("sum", ("a", "b"), ("d",)),
        ),
        sizes=dict.fromkeys("pqabcd", 1),
        inputs=("p", "q"),
        outputs=("p", "q", "c", "d"),
    )
    assert merged(problem) == ((2,), (0, 1, 3))


def test_a_search_that_gives_up_says_so():
    problem = wired(1, count=40)
    rough = plan_schedule(problem, beam=1, states=10)
    best = plan_schedule(problem)
    assert best.status is Status.OPTIMAL
    assert rough.status is Status.FEASIBLE
    assert rough.lower_bound <= best.peak < rough.peak <= rough.default_peak
    assert validate(problem, rough) is None
    assert plan_schedule(problem, beam=1, seconds=0).status is Status.FEASIBLE


def test_an_order_that_cannot_be_improved_is_kept():
    problem = fork(a=5, c=5)
    assert plan_schedule(problem).order == tuple(names(problem))


def test_the_same_problem_gets_the_same_order():
    assert plan_schedule(fork()).order == plan_schedule(fork()).order


def test_no_operators_need_nothing():
    solution = plan_schedule(Problem((), {"x": 4}, ("x",), ("x",)))
    assert (solution.order, solution.peak, solution.status) == ((), 0, Status.OPTIMAL)


def test_an_empty_beam_is_refused():
    with pytest.raises(ValueError, match="a beam keeps at least 1 state; got 0"):
        plan_schedule(fork(), beam=0)


def test_in_place_saves_the_output_where_the_input_dies():
    relu = Operator("relu", ("x",), ("y",), in_place=(("x", "y"),))
    sizes = {"x": 8, "y": 8, "z": 1}
    assert peak_of(Problem((relu,), sizes, ("x",), ("y",)), ["relu"]) == 8
    assert peak_of(Problem((relu,), sizes, ("x",), ("x", "y")), ["relu"]) == 16
    other = Operator("other", ("x",), ("z",))
    problem = Problem((relu, other), sizes, ("x",), ("y", "z"))
    assert peak_of(problem, ["relu", "other"]) == 17
    assert peak_of(problem, ["other", "relu"]) == plan_schedule(problem).peak == 9


def test_scratch_is_alive_in_its_step_only():
    first = Operator("first", ("x",), ("a",), scratch=100)
    second = Operator("second", ("a",), ("y",), scratch=7)
    problem = Problem((first, second), {"x": 1, "a": 2, "y": 3}, ("x",), ("y",))
    assert peak_of(problem, ["first", "second"]) == 103
    assert (
        peak_of(replace(problem, operators=(replace(first, scratch=0), second)), names(problem))
        == 12
    )


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["grow a"], "it does not: add, grow c, shrink b, shrink d"),
        (["grow a", "grow a"], "it does not: add, grow a, grow c"),
        (
            ["shrink b", "grow a", "grow c", "shrink d", "add"],
            "shrink b runs before the operator that writes 'a'",
        ),
    ],
)
def test_orders_that_are_none(order, message):
    with pytest.raises(ValueError, match=message):
        peak_of(fork(), order)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"order": ("grow a",)}, "an order names every operator"),
        ({"peak": 94}, "the order peaks at 95 bytes and the default order at 150; the solution"),
        ({"lower_bound": 96}, "the lower bound 96 is above the peak 95"),
        ({"lower_bound": 90}, "a peak of 95 bytes with a lower bound of 90 is not optimal"),
        ({"status": Status.FEASIBLE}, "a lower bound of 95 is not feasible"),
    ],
)
def test_wrong_solutions_are_found(changes, message):
    problem = fork()
    assert message in validate(problem, replace(plan_schedule(problem), **changes))


ADD = Operator("add", ("x",), ("y",))


@pytest.mark.parametrize(
    ("operators", "sizes", "outputs", "message"),
    [
        ((ADD, ADD), {"x": 1, "y": 1}, (), "operator 'add' occurs 2 times"),
        ((ADD, replace(ADD, name="b")), {"x": 1, "y": 1}, (), "tensor 'y' occurs 2 times"),
        ((replace(ADD, reads=("z",)),), {"x": 1, "y": 1}, (), "add reads 'z', which no operator"),
        ((replace(ADD, reads=("x", "x")),), {"x": 1, "y": 1}, (), "reads of add, tensor 'x'"),
        ((ADD,), {"x": 1}, (), "tensor 'y' needs a size of at least 0 bytes; got none"),
        ((ADD,), {"x": 1, "y": -2}, (), "tensor 'y' needs a size of at least 0 bytes; got -2"),
        ((ADD,), {"x": 1, "y": 1}, ("w",), "output 'w' is neither written"),
        ((replace(ADD, scratch=-1),), {"x": 1, "y": 1}, (), "add needs scratch of at least 0"),
        (
            (replace(ADD, in_place=(("x", "y"),)),),
            {"x": 1, "y": 2},
            (),
            r"'y' \(2 bytes\) cannot be put in place of 'x' \(1 bytes\) by add",
        ),
        (
            (replace(ADD, in_place=(("y", "x"),)),),
            {"x": 1, "y": 1},
            (),
            "add must read 'y' and write 'x'",
        ),
    ],
)
def test_problems_that_are_none(operators, sizes, outputs, message):
    with pytest.raises(ValueError, match=message):
        Problem(operators, sizes, ("x",), outputs)


def test_a_model_as_a_problem(tmp_path):
    nodes = [
        make_node("Identity", ["w"], ["v"], name="weight"),
        make_node("MatMul", ["x", "v"], ["a"], name="wide"),
        make_node("Relu", ["x"], ["b"], name="narrow"),
        make_node("ReduceMax", ["a"], ["c"], name="reduce"),
    ]
    proto = models.build(
        nodes,
        [models.value("x", [1, 8])],
        [models.value("b", [1, 8]), models.value("c", [1, 1])],
        models.weights(w=(8, 64)),
    )
    graph = build_graph(load_model(models.save(proto, tmp_path)))
    problem = from_graph(graph)
    assert names(problem) == ["wide", "narrow", "reduce"], "what is folded takes no step"
    assert problem.sizes == {"x": 32, "a": 256, "b": 32, "c": 4}
    assert peak_of(problem, names(problem)) == max(graph.live_bytes()) == 32 + 256 + 32
    solution = plan_schedule(problem)
    assert solution.order == ("wide", "reduce", "narrow")
    assert solution.peak == 32 + 256 + 4
