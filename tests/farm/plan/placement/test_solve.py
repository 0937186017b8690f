"""The planner as it is called: as good as brute force, within all limits, and with reasons."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from random import Random

import pytest

from benchmarks.placement.placement_oracle import best_value
from benchmarks.placement.placement_problems import (
    chain_problem,
    layered_problem,
    random_problem,
    without_ways,
)
from farm.plan.placement.evaluate import value
from farm.plan.placement.methods.baselines import greedy, heft, single_places
from farm.plan.placement.methods.chain import chain
from farm.plan.placement.problem import (
    CALLER,
    Link,
    Place,
    PlacedOperator,
    PlacementObjective,
    Problem,
)
from farm.plan.placement.solve import place
from farm.plan.placement.tables import tables
from farm.plan.placement.validate import violations
from farm.plan.solution import Status
from farm.units import Bytes
from tests.farm.plan.placement.samples import diamond, independent, links


def best_baseline(problem):
    table = tables(problem)
    given = tuple(range(len(table.names)))
    found = [(at, given) for at in single_places(table)]
    found += [(at, given) for at in (greedy(table), chain(table, given)) if at is not None]
    found += [placed for placed in (heft(table),) if placed is not None]
    return min((value(table, at, order) for at, order in found), default=inf)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_better_by_brute_force(seed):
    problem = random_problem(Random(seed), most=7)
    solution = place(problem)
    assert violations(problem, solution) == []
    assert best_value(problem) == pytest.approx(solution.value, rel=1e-9)
    assert solution.value <= best_baseline(problem)
    expected = Status.INFEASIBLE if solution.value == inf else Status.OPTIMAL
    assert solution.status is expected
    assert solution.gap == 0.0


@pytest.mark.parametrize("objective", list(PlacementObjective))
def test_graphs_of_many_operators_keep_all_limits(objective):
    random = Random(0)
    problem = replace(layered_problem(random, 40, 3), objective=objective)
    weights = {op.name: (f"w{i % 30}",) for i, op in enumerate(problem.operators)}
    problem = replace(
        problem,
        operators=tuple(replace(op, weights=weights[op.name]) for op in problem.operators),
        weight_sizes={f"w{i}": Bytes(random.randint(1, 200_000)) for i in range(30)},
        places=tuple(
            replace(p, capacity=Bytes(size))
            for p, size in zip(problem.places, (9_000_000, 4_000_000, 3_000_000), strict=True)
        ),
    )
    solution = place(problem, seconds=1.0)
    assert violations(problem, solution) == []
    assert solution.status in (Status.OPTIMAL, Status.FEASIBLE)
    assert solution.value <= best_baseline(problem)


def test_the_gap_of_a_wide_graph_is_small():
    problem = layered_problem(Random(2), 150, 8)
    solution = place(problem, seconds=20.0)
    assert violations(problem, solution) == []
    assert solution.gap <= 0.05


def test_a_long_chain_is_proven_optimal():
    problem = chain_problem(Random(5), 200)
    solution = place(problem)
    assert solution.status is Status.OPTIMAL
    assert violations(problem, solution) == []


def test_where_nothing_can_leave_a_place_the_best_single_place_is_the_answer():
    for seed in range(20):
        random = Random(seed)
        problem = without_ways(chain_problem(random, 10))
        table = tables(problem)
        given = tuple(range(10))
        single = min((value(table, at, given) for at in single_places(table)), default=inf)
        assert place(problem).value == single


def test_the_same_problem_gets_the_same_answer():
    problem = layered_problem(Random(4), 60, 4)
    one, two = place(problem), place(problem)
    assert (one.assignment, one.order, one.bound) == (two.assignment, two.order, two.bound)


def test_nothing_to_place_is_placed():
    nothing = diamond(operators=(), outputs=("x",), groups=())
    solution = place(nothing)
    assert (solution.status, solution.value, solution.parts) == (Status.OPTIMAL, 0.0, ())


def only(name, place_name):
    """The diamond with an operator that one place can run."""
    problem = diamond(groups=())
    operators = tuple(
        replace(op, costs={p: c for p, c in op.costs.items() if p == place_name})
        if op.name == name
        else op
        for op in problem.operators
    )
    return replace(problem, operators=operators)


def test_an_operator_that_no_place_runs_is_named():
    assert place(only("left", "npu")).binding == "No place can run operator 'left'."


def test_an_operator_that_cannot_be_reached_is_named_with_the_link():
    ways = {pair: link for pair, link in links().items() if pair != ("dsp", "cpu")}
    solution = place(replace(only("top", "dsp"), links=ways))
    assert solution.status is Status.INFEASIBLE
    assert solution.binding == (
        "Operator 'right' can run nowhere: at 'cpu' there is no link to it from 'dsp'."
    )


def test_a_place_that_is_too_small_for_an_operator_is_named_with_the_bytes():
    solution = place(diamond(places=(Place("cpu", 3.0, Bytes(19)), Place("dsp", 4.0))))
    assert solution.binding == (
        "Operator 'right' can run nowhere: at 'cpu' it needs 20 bytes and there are 19."
    )
    assert violations(diamond(), solution) == []


def test_a_link_that_every_placement_needs_is_named():
    """Which place the first operator runs at is not settled by any one of its readers."""
    both = {"cpu": 1.0, "dsp": 1.0}
    operators = (
        PlacedOperator("top", ("x",), ("t",), both),
        PlacedOperator("left", ("t",), ("l",), {"cpu": 1.0}),
        PlacedOperator("right", ("t",), ("r",), {"dsp": 1.0}),
        PlacedOperator("bottom", ("l", "r"), ("y",), both),
    )
    ways = {pair: link for pair, link in links().items() if CALLER in pair}
    solution = place(diamond(operators=operators, links=ways, groups=()))
    assert solution.status is Status.INFEASIBLE
    assert "there is no link" in solution.binding


def test_a_link_without_which_no_choice_of_places_works_is_named():
    """Each operator's places reach some of every neighbour's, but never both at once."""

    def operator(name, reads, *places):
        return PlacedOperator(name, reads, (f"t_{name}",), dict.fromkeys(places, 1.0))

    pairs = [("a0", "b0"), ("a1", "b1"), ("a0", "c0"), ("a1", "c1"), ("b0", "c1"), ("b1", "c0")]
    places = ("a0", "a1", "b0", "b1", "c0", "c1")
    pairs += [("", "a0"), ("", "a1"), ("c0", ""), ("c1", "")]
    circle = Problem(
        operators=(
            operator("a", ("x",), "a0", "a1"),
            operator("b", ("t_a",), "b0", "b1"),
            operator("c", ("t_a", "t_b"), "c0", "c1"),
        ),
        places=tuple(Place(name) for name in places),
        links=dict.fromkeys(pairs, Link(1.0)),
        sizes=dict.fromkeys(("x", "t_a", "t_b", "t_c"), Bytes(1)),
        inputs=("x",),
        outputs=("t_c",),
    )
    solution = place(circle)
    assert solution.status is Status.INFEASIBLE
    assert solution.binding == (
        "There is no link from 'a0' to 'b1', and no placement does without it."
    )


def test_a_place_that_is_too_small_for_what_only_it_can_run_is_named_with_the_bytes():
    problem = only("left", "dsp")
    problem = replace(
        problem,
        places=(Place("cpu", 3.0), Place("dsp", 4.0, Bytes(36))),
        operators=tuple(
            replace(op, weights=("v",), costs={"dsp": 1.0}) if op.name == "bottom" else op
            for op in problem.operators
        ),
    )
    assert place(problem).binding == (
        "'dsp' holds 36 bytes, and the operators that can run there only need 42 at least."
    )


def test_a_place_that_is_too_small_for_every_placement_is_named_with_the_bytes():
    """No single operator is the reason."""
    solution = place(random_problem(Random(2526), most=6))
    assert solution.status is Status.INFEASIBLE
    assert solution.binding == (
        "'p1' holds 101 bytes, and the best placement without that limit needs 114 there."
    )


@pytest.mark.parametrize("objective", list(PlacementObjective))
def test_operators_that_can_run_in_any_order_do_not_take_all_the_time(objective):
    """Fourteen of them have 87 billion orders, and two places have 16,384 assignments."""
    problem = independent(14)
    operators = tuple(
        replace(op, costs={"cpu": 1.0 + i, "dsp": 15.0 - i})
        for i, op in enumerate(problem.operators)
    )
    problem = replace(problem, operators=operators, objective=objective)
    solution = place(problem)
    assert violations(problem, solution) == []
    assert solution.status is Status.OPTIMAL


def test_an_order_that_needs_little_memory_is_found_where_one_place_has_just_enough():
    """Every second operator makes something large that the next one makes small again."""
    operators, sizes = [], {"x": Bytes(1)}
    for i in range(8):
        sizes |= {f"large{i}": Bytes(100), f"small{i}": Bytes(1)}
        operators.append(PlacedOperator(f"grow{i}", ("x",), (f"large{i}",), {"cpu": 1.0}))
    for i in range(8):
        shrink = PlacedOperator(f"shrink{i}", (f"large{i}",), (f"small{i}",), {"cpu": 1.0})
        operators.append(shrink)
    outputs = tuple(f"small{i}" for i in range(8))
    wide = Problem(
        operators=tuple(operators),
        places=(Place("cpu", 1.0, Bytes(110)),),
        links={(CALLER, "cpu"): Link(1.0), ("cpu", CALLER): Link(1.0)},
        sizes=sizes,
        inputs=("x",),
        outputs=outputs,
    )
    solution = place(wide)
    assert violations(wide, solution) == []
    assert solution.status is Status.OPTIMAL
    smaller = place(replace(wide, places=(Place("cpu", 1.0, Bytes(102)),)))
    assert smaller.status is Status.INFEASIBLE
    assert smaller.binding == (
        "All places together hold 102 bytes, and every placement needs 108 at least."
    )


def test_without_time_there_is_an_answer_that_keeps_all_limits():
    problem = layered_problem(Random(3), 200, 6)
    solution = place(problem, seconds=0.0)
    assert violations(problem, solution) == []
    assert solution.value <= best_baseline(problem)
