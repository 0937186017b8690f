"""Sorted orders against all topological ones."""

from __future__ import annotations

from random import Random

from benchmarks.placement.placement_oracle import least_order_cost
from benchmarks.placement.placement_problems import random_problem
from farm.plan.placement.orders.order import least_launches, order_cost, sorted_order
from farm.plan.placement.tables import tables
from tests.farm.plan.placement.samples import independent

GRAPHS = 60


def assigned(seed, most=9):
    """A random problem, its tables, and places at random."""
    random = Random(seed)
    problem = random_problem(random, most=most)
    table = tables(problem)
    at = tuple(random.choice(table.allowed(i)) for i in range(len(table.names)))
    return problem, table, at


def test_nearly_all_orders_are_the_best_and_none_is_worse_than_the_given():
    best = 0
    for seed in range(GRAPHS):
        problem, table, at = assigned(seed)
        given = tuple(range(len(at)))
        order = sorted_order(table, at, given)
        assert sorted(order) == list(given)
        assert order_cost(table, at, order) <= order_cost(table, at, given)
        least = least_order_cost(problem, table.assignment(at))
        best += order_cost(table, at, order) <= least + 1e-9
    assert best >= 0.95 * GRAPHS


def test_an_order_is_topological():
    for seed in range(GRAPHS):
        _, table, at = assigned(seed, most=30)
        step = {i: k for k, i in enumerate(sorted_order(table, at, range(len(at))))}
        assert all(step[j] < step[i] for i, needs in enumerate(table.needs) for j in needs)


def test_operators_of_one_place_are_side_by_side_where_nothing_keeps_them_apart():
    table = tables(independent(40))
    at = tuple(i % 2 for i in range(40))
    order = sorted_order(table, at, range(40))
    assert [at[i] for i in order] in ([0] * 20 + [1] * 20, [1] * 20 + [0] * 20)


def test_no_order_launches_less_than_the_bound():
    for seed in range(GRAPHS):
        problem, table, at = assigned(seed)
        saved = sum(
            group.saving
            for group in table.groups
            if all(at[i] == group.place for i in group.operators)
        )
        least = least_order_cost(problem, table.assignment(at))
        assert least_launches(table, at) - saved <= least + 1e-9


def test_a_long_graph_of_many_parts_is_sorted_soon():
    table = tables(independent(2000))
    at = tuple((i // 3) % 2 for i in range(2000))
    order = sorted_order(table, at, range(2000))
    assert order_cost(table, at, order) == 2.0
