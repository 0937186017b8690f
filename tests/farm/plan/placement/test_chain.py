"""The chain solution against shortest paths."""

from __future__ import annotations

from math import inf, isclose
from random import Random

import pytest

from benchmarks.placement.placement_oracle import shortest_path
from benchmarks.placement.placement_problems import chain_problem, random_problem
from farm.errors import PlanError
from farm.plan.placement.evaluate import value
from farm.plan.placement.methods.chain import chain, chain_assignment
from farm.plan.placement.problem import CALLER
from farm.plan.placement.tables import tables
from tests.farm.plan.placement.samples import diamond, links

CHAINS = 100


@pytest.mark.parametrize("most", [5, 60])
def test_the_chain_solution_of_a_chain_is_the_shortest_path(most):
    for seed in range(CHAINS):
        random = Random(seed)
        problem = chain_problem(random, random.randint(1, most))
        table = tables(problem)
        given = tuple(range(len(table.names)))
        at = chain(table, given)
        found = inf if at is None else value(table, at, given)
        assert isclose(found, shortest_path(problem), rel_tol=1e-9)


def test_elsewhere_it_runs_every_operator_where_it_can():
    for seed in range(CHAINS):
        table = tables(random_problem(Random(seed)))
        at = chain(table, range(len(table.names)))
        if at is not None:
            assert all(place in table.allowed(i) for i, place in enumerate(at))


def test_it_follows_the_order_that_it_is_given():
    problem = diamond()
    given = chain_assignment(problem)
    assert given == chain_assignment(problem, [op.name for op in problem.operators])
    assert given["right"] == "cpu"


def test_without_a_way_there_is_no_chain():
    ways = {pair: link for pair, link in links().items() if CALLER not in pair}
    with pytest.raises(PlanError, match="No places along the order can run all operators"):
        chain_assignment(diamond(links=ways))
