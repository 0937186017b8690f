"""Portions: as few as possible, none shared in one step, as small together as possible."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings

from benchmarks.memory.memory_problems import (
    crowded_problem,
    fewest_portions,
    large_problem,
    random_problem,
)
from farm.plan.memory.arena import violations
from farm.plan.memory.portions import plan_portions, portion_violations
from farm.plan.memory.problem import Alias, Buffer, Problem
from farm.plan.solution import Status
from farm.units import Bytes
from tests.farm.plan.memory.strategies import problems


def chain(*sizes: int) -> Problem:
    """Buffers of which each lives together with the next one."""
    return Problem(tuple(Buffer(f"t{i}", i, i + 2, Bytes(size)) for i, size in enumerate(sizes)))


def test_a_chain_needs_two_portions():
    solution = plan_portions(chain(4, 10, 6, 8))
    assert solution.sizes == (10, 6)
    assert dict(solution.portions) == {"t0": 1, "t1": 0, "t2": 1, "t3": 0}
    assert dict(solution.offsets) == {"t0": 10, "t1": 0, "t2": 10, "t3": 0}
    assert solution.status is Status.OPTIMAL
    assert (solution.height, solution.lower_bound, solution.gap) == (16, 16, 0)


def test_fewer_portions_count_more_than_smaller_ones():
    rows = [("a", 0, 2, 9), ("b", 1, 3, 1), ("c", 2, 4, 1), ("d", 3, 5, 9)]
    problem = Problem(tuple(Buffer(n, a, b, Bytes(size)) for n, a, b, size in rows))
    solution = plan_portions(problem)
    assert solution.sizes == (9, 9), "three portions would do with 9 + 1 + 1"
    assert solution.status is Status.OPTIMAL


@pytest.mark.parametrize("make", [random_problem, crowded_problem])
def test_as_few_and_as_small_as_brute_force(make):
    random = Random(3)
    for _ in range(60):
        problem = make(random)
        solution = plan_portions(problem)
        assert (len(solution.sizes), solution.height) == fewest_portions(problem)
        assert solution.status is Status.OPTIMAL


@given(problems())
@settings(deadline=None, max_examples=200)
def test_every_solution_is_valid(problem):
    solution = plan_portions(problem)
    assert portion_violations(problem, solution) == []
    assert solution.height >= solution.lower_bound
    fits = problem.capacity is None or solution.height <= problem.capacity
    assert bool(solution.portions) == fits
    assert bool(solution.binding) != fits
    if problem.capacity is None:
        assert violations(problem, solution) == []
    assert replace(plan_portions(problem), seconds=solution.seconds) == solution


def test_a_capacity_below_the_sum():
    problem = chain(4, 10, 6, 8)
    solution = plan_portions(replace(problem, capacity=Bytes(15)))
    assert solution.status is Status.INFEASIBLE
    assert (solution.portions, solution.height) == ({}, 16)
    assert solution.binding == (
        "2 portions need 16 bytes together, 1 more than the capacity of 15."
    )


def test_a_large_problem():
    problem = large_problem(400, seed=2)
    solution = plan_portions(problem, seconds=1)
    assert portion_violations(problem, solution) == []
    assert solution.gap < 0.3


def test_no_buffers_need_no_portions():
    solution = plan_portions(Problem(()))
    assert (solution.sizes, solution.height, solution.status) == ((), 0, Status.OPTIMAL)


def test_the_validator_sees_what_is_wrong():
    problem = replace(chain(4, 10, 6), aliases=(Alias("t2", "t0"),))
    good = plan_portions(problem)
    together = replace(good, portions={"t0": 0, "t1": 0, "t2": 0})
    assert "'t1' shares its portion with 't0'." in portion_violations(problem, together)
    apart = replace(good, portions={"t0": 0, "t1": 1, "t2": 1})
    assert "'t0' is not in one portion." in portion_violations(problem, apart)
    small = replace(good, sizes=(Bytes(9), Bytes(6)))
    assert "'t1' is larger than its portion." in portion_violations(problem, small)
    many = replace(good, sizes=(*good.sizes, Bytes(1)))
    assert "There are 3 portions, and 2 are enough." in portion_violations(problem, many)
