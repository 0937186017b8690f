"""The exact methods against each other and against brute force, each on what it can take."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import inf, isclose
from random import Random

import pytest

from benchmarks.placement.placement_oracle import best_value
from benchmarks.placement.placement_problems import layered_problem, random_problem
from farm.plan.placement.evaluate import value
from farm.plan.placement.methods.branch import branch_and_bound
from farm.plan.placement.methods.cut import move_to, order_pairs
from farm.plan.placement.methods.frontier import search_frontier
from farm.plan.placement.methods.relaxation import relax
from farm.plan.placement.methods.two_places import two_places
from farm.plan.placement.orders.best_order import best_order
from farm.plan.placement.problem import PlacementObjective
from farm.plan.placement.tables import tables

GRAPHS = 30


def never():
    return False


def free_problem(seed, most=9, places=3):
    """Latency, without capacities."""
    problem = random_problem(
        Random(seed), most=most, places=places, objective=PlacementObjective.LATENCY
    )
    return replace(problem, places=tuple(replace(p, capacity=None) for p in problem.places))


def same(one, two):
    return one == two or isclose(one, two, rel_tol=1e-9)


@pytest.mark.parametrize("objective", list(PlacementObjective))
def test_branch_and_bound_finds_what_brute_force_finds(objective):
    for seed in range(12):
        problem = random_problem(Random(seed), most=7, objective=objective)
        table = tables(problem)
        found = branch_and_bound(table, inf, never)
        assert found.complete
        assert same(found.value, best_value(problem))
        assert same(found.bound, found.value)
        if found.at is not None:
            assert same(value(table, found.at, found.order), found.value)


def test_the_frontier_finds_what_branch_and_bound_finds():
    for seed in range(GRAPHS):
        table = tables(free_problem(seed))
        found = search_frontier(table, inf, never, 1_000_000)
        assert same(found.value, branch_and_bound(table, inf, never).value)
        if found.at is not None:
            assert same(value(table, found.at, found.order), found.value)


def test_the_frontier_says_when_nothing_is_below_what_is_known():
    table = tables(free_problem(3))
    best = search_frontier(table, inf, never, 1_000_000).value
    found = search_frontier(table, best, never, 1_000_000)
    assert (found.at, found.value) == (None, best)


def test_the_frontier_gives_up_where_the_graph_is_wide():
    table = tables(layered_problem(Random(1), 60, 12))
    assert search_frontier(table, inf, never, 500) is None


def test_a_cut_is_the_best_of_two_places_along_an_order():
    for seed in range(GRAPHS):
        problem = replace(free_problem(seed, most=7, places=2), groups=())
        table = tables(problem)
        given = tuple(range(len(table.names)))
        best = min(value(table, at, given) for at in product((0, 1), repeat=len(given)))
        found = move_to(table, (0,) * len(given), 1, order_pairs(given))
        if best < inf:
            assert isclose(value(table, found.at, given), best, rel_tol=1e-6)
            assert best * (1 - 1e-6) <= found.bound <= best


def test_the_bound_of_two_places_holds_for_every_order():
    for seed in range(GRAPHS):
        problem = free_problem(seed, most=7, places=2)
        best = best_value(problem)
        assert two_places(tables(problem), never).bound <= best + 1e-9


@pytest.mark.parametrize("objective", [PlacementObjective.LATENCY, PlacementObjective.THROUGHPUT])
def test_the_bound_of_the_linear_programme_holds(objective):
    for seed in range(GRAPHS):
        table = tables(random_problem(Random(seed), most=9, objective=objective))
        best = branch_and_bound(table, inf, never).value
        assert best == inf or relax(table, inf, 5.0).bound <= best * (1 + 1e-9)


def test_a_search_that_is_told_to_stop_claims_nothing():
    table = tables(random_problem(Random(4), most=9, objective=PlacementObjective.PEAK_MEMORY))
    found = branch_and_bound(table, inf, lambda: True)
    assert (found.at, found.complete) == (None, False)
    assert found.bound <= branch_and_bound(table, inf, never).value
    at = tuple(table.allowed(i)[0] for i in range(len(table.names)))
    assert best_order(table, at, inf, lambda: True).bound == -inf


def test_an_order_is_the_best_of_its_assignment():
    for seed in range(GRAPHS):
        random = Random(seed)
        table = tables(free_problem(seed, most=7))
        at = tuple(random.choice(table.allowed(i)) for i in range(len(table.names)))
        found = best_order(table, at)
        if found.order is not None:
            assert found.value == value(table, at, found.order) == found.bound
            assert found.value <= value(table, at, tuple(range(len(at))))
