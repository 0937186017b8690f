"""Local search never makes a placement worse, and gets out of what greedy leaves."""

from __future__ import annotations

from math import inf
from random import Random

import pytest

from benchmarks.placement.placement_problems import layered_problem, random_problem
from farm.plan.placement.methods.baselines import greedy, heft, single_places
from farm.plan.placement.methods.certain import CertainLoads
from farm.plan.placement.methods.improve import climb, expand, scored
from farm.plan.placement.orders.low_memory import lowest_memory
from farm.plan.placement.problem import PlacementObjective
from farm.plan.placement.shares import buffers_at, load, memory
from farm.plan.placement.tables import tables


def never():
    return False


def placed_at_random(seed, most=9):
    random = Random(seed)
    table = tables(random_problem(random, most=most))
    at = tuple(random.choice(table.allowed(i)) for i in range(len(table.names)))
    return table, at, tuple(range(len(at)))


@pytest.mark.parametrize("seed", range(5))
def test_cuts_are_never_worse_than_any_start(seed):
    table = tables(layered_problem(Random(seed), 40, 4))
    given = tuple(range(40))
    starts = [scored(table, at, given) for at in single_places(table)]
    best = min(start.score for start in starts)
    for start in starts:
        better = expand(table, start, never)
        assert better.score <= start.score
        assert sorted(better.order) == list(given)
        assert better.score <= best  # all operators may move to one place at once


def test_trying_never_makes_it_worse_and_comes_to_an_end():
    for seed in range(15):
        table, at, given = placed_at_random(seed)
        start = scored(table, at, given)
        better = climb(table, start, Random(seed), never)
        assert better.score <= start.score
        assert all(place in table.allowed(i) for i, place in enumerate(better.at))


def test_time_that_is_over_leaves_what_was_given():
    table, at, given = placed_at_random(3)
    start = scored(table, at, given)
    assert expand(table, start, lambda: True) == start
    assert climb(table, start, Random(0), lambda: True) == start


def test_bytes_above_a_capacity_count_before_the_value():
    table, at, given = placed_at_random(8)
    assert table.limited
    above = sum(
        max(0.0, held - capacity)
        for held, capacity in zip(memory(table, at, given), table.capacities, strict=True)
        if capacity < inf
    )
    assert scored(table, at, given).score[0] <= above  # arenas may be higher than the fullest step


def test_no_order_needs_less_than_what_is_certain():
    for seed in range(60):
        table, at, given = placed_at_random(seed)
        certain = CertainLoads(table)
        for known in range(len(at) + 1):
            partial = (*at[:known], *(-1 for _ in at[known:]))
            for place, least in enumerate(certain.of(partial)):
                assert least <= load(buffers_at(table, at, given, place))


def test_no_placement_needs_less_than_the_lowest_peak_and_all_weights():
    for seed in range(40):
        table, at, given = placed_at_random(seed)
        assert lowest_memory(table, never).bound <= sum(memory(table, at, given))


def test_baselines_place_every_operator_where_it_can_run():
    for seed in range(60):
        table, _, given = placed_at_random(seed)
        assert all(len(set(at)) == 1 for at in single_places(table))
        if (at := greedy(table)) is not None:
            assert all(place in table.allowed(i) for i, place in enumerate(at))
        if (placed := heft(table)) is not None:
            assert sorted(placed[1]) == list(given)
            assert all(place in table.allowed(i) for i, place in enumerate(placed[0]))


def test_heft_splits_what_can_run_at_the_same_time():
    """Two branches of equal length end first at two places, which adds costs up all the same."""
    table = tables(layered_problem(Random(1), 40, 6))
    at, _ = heft(table)
    assert len(set(at)) > 1


def test_the_objective_of_bytes_counts_nothing_else():
    random = Random(11)
    table = tables(random_problem(random, most=6, objective=PlacementObjective.PEAK_MEMORY))
    at = single_places(table)
    for start in at:
        given = tuple(range(len(start)))
        assert scored(table, start, given).score[1] <= sum(memory(table, start, given))
