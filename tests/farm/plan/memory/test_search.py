"""The exact search: every ranking is exact, and which one it is decides how soon it answers."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.memory.memory_problems import (
    crowded_problem,
    joined_problem,
    large_problem,
    lowest_height,
    random_problem,
)
from farm.plan.memory.arena import plan_memory, violations
from farm.plan.memory.board import Item, Ranking, make_board, rankings, spans, split
from farm.plan.memory.compiled import PLAIN, compiled
from farm.plan.memory.kernels import FAILED, SOLVED, STOPPED, comes_before
from farm.plan.memory.problem import load_bound
from farm.plan.memory.search import Aim, Alarm, Placement, _Answer, _exact_round
from farm.plan.solution import Status


def groups(problem):
    """The items of a problem, those that share no step apart from each other."""
    items = [Item(b.start, b.end, int(b.size)) for b in problem.buffers]
    return [[items[number] for number in group] for group in split(items)]


def searched(items, ranking, height, nodes=10**6, kernels=PLAIN):
    """The result, the placements that were tried, and the offsets where it is SOLVED."""
    board = make_board(items, spans(items), ranking, kernels)
    result = kernels.search(board, height, nodes)
    offsets = {item: int(board.state[number]) for number, item in enumerate(ranking.order)}
    return result, int(board.tried[0]), [offsets[item] for item in range(len(items))]


def overlap(items, offsets):
    """Whether two items share a byte in a step."""
    return any(
        max(one.start, two.start) < min(one.end, two.end)
        and max(low, other) < min(low + one.size, other + two.size)
        for (one, low), (two, other) in combinations(zip(items, offsets, strict=True), 2)
    )


@given(st.randoms(use_true_random=False), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=150)
def test_any_ranking_finds_the_lowest_height_and_nothing_below(random, by_load, is_crowded):
    problem = crowded_problem(random) if is_crowded else random_problem(random)
    lowest, below = lowest_height(problem), []
    for items in groups(problem):
        ranking = Ranking(by_load, random.sample(range(len(items)), len(items)))
        result, tried, offsets = searched(items, ranking, lowest)
        assert result == SOLVED
        assert tried >= len(items)
        assert not overlap(items, offsets)
        assert all(0 <= o <= lowest - i.size for o, i in zip(offsets, items, strict=True))
        below.append(searched(items, ranking, lowest - 1)[0])
    assert FAILED in below
    assert STOPPED not in below


def test_what_is_parted_from_the_rest_is_ranked_by_what_is_still_open_there():
    """All but the last are in a step of 8 bytes; without the bar, only z is in the fullest one."""
    bar, left = Item(0, 3, 6), Item(0, 2, 2)
    x, z, last = Item(2, 3, 1), Item(2, 4, 1), Item(3, 4, 4)
    items = [bar, left, x, z, last]
    for by_load, z_is_first in [(False, False), (True, True)]:
        board = make_board(items, spans(items), Ranking(by_load, [0, 1, 2, 3, 4]), PLAIN)
        assert comes_before(board, 2, 3)
        assert PLAIN.search(board, 8, 2) == STOPPED  # the bar is placed, then what is left of x
        assert (board.state[0], board.state[1]) == (0, 6)
        assert comes_before(board, 3, 2) is z_is_first


def test_a_refuted_height_leaves_nothing_placed():
    random = Random(3)
    for problem in (crowded_problem(random, count=12) for _ in range(20)):
        for items in groups(problem):
            layout = spans(items)
            board = make_board(items, layout, rankings(items, layout)[0], PLAIN)
            board.state[:] = before = list(board.state)
            load = max(
                sum(items[number].size for number in section) for section in layout.sections
            )
            assert PLAIN.search(board, load - 1, 10**6) == FAILED
            loads = slice(-2 * len(items), -len(items))  # as they were ranked at the beginning
            before[loads] = board.state[loads]
            assert board.state == before


# Seeds of problems on which the load bound is reached, the ranking among ``rankings``, and the
# placements that the search may try. Ranked by the load at the beginning alone, it needs more.
RANKED_ANEW = [(120, 37, 3, 2000), (200, 14, 0, 400)]


@pytest.mark.parametrize(("count", "seed", "number", "most"), RANKED_ANEW)
def test_ranking_anew_is_what_leads_to_the_load_bound_soon(count, seed, number, most):
    problem = large_problem(count, seed)
    height = load_bound(problem)
    items = max(groups(problem), key=len)
    by_load, order = rankings(items, spans(items))[number]
    assert by_load
    assert searched(items, Ranking(True, order), height, most, compiled())[0] == SOLVED
    at_first = Ranking(False, sorted(order, key=lambda item: -fullest(items, item)))
    assert searched(items, at_first, height, most, compiled())[0] == STOPPED


def fullest(items, number):
    """The largest load of a section that an item is in."""
    layout = spans(items)
    sections = layout.sections[layout.first[number] : layout.end[number]]
    return max(sum(items[other].size for other in section) for section in sections)


@pytest.mark.parametrize("seed", range(4))
def test_rooms_without_a_free_byte_are_filled_one_after_another(seed):
    """However many they are: what one room needs is not tried again for another."""
    for rooms in (2, 4, 8):
        problem = joined_problem(Random(seed), rooms=rooms, count=12)
        height = load_bound(problem)
        (items,) = groups(problem)
        found = [searched(items, each, height, 4000) for each in rankings(items, spans(items))]
        nodes = min(tried for result, tried, _ in found if result == SOLVED)
        assert nodes <= 1.2 * len(items)


def test_nodes_are_those_of_the_search_that_found_the_offsets():
    problem = joined_problem(Random(1), rooms=6, count=40)
    solution = plan_memory(replace(problem, capacity=load_bound(problem)))
    assert violations(problem, solution) == []
    assert solution.status is Status.OPTIMAL
    assert len(problem.buffers) <= solution.nodes <= 4000
    assert plan_memory(problem).nodes == solution.nodes


def test_no_node_is_tried_where_none_is_allowed():
    problem = joined_problem(Random(1), rooms=6, count=40)
    without = plan_memory(problem, nodes=0)
    assert without.nodes == 0
    assert without.status is Status.FEASIBLE
    roomy = replace(problem, capacity=without.height)  # kept, but the load bound is lower
    assert plan_memory(roomy, nodes=0).nodes == 0
    assert plan_memory(roomy).nodes > 0


def test_more_than_a_thousand_buffers_are_searched_where_a_sweep_is_of_no_use():
    problem = large_problem(1500, seed=3)
    (items,) = groups(problem)
    assert max(map(len, spans(items).sections)) > 12  # alive at once
    solution = plan_memory(problem)
    assert violations(problem, solution) == []
    assert solution.status is Status.OPTIMAL
    assert 1500 <= solution.nodes <= 4000


@pytest.mark.parametrize(("lowest", "asked_for", "height"), [(37, 8, 37), (90, 1, 100)])
def test_once_the_capacity_is_kept_heights_above_the_bound_are_asked_for(
    lowest, asked_for, height
):
    """lowest: what a search finds in time; it never says that there is nothing below."""
    asked = []

    def ask(below, _alarm):
        asked.append(below)
        return _Answer(SOLVED, (below - 10,)) if below >= lowest else _Answer(STOPPED)

    best, aim = Placement((90,), 100, lower=10), Aim(goal=10, capacity=80)
    found = _exact_round([Item(0, 1, 10)], best, aim, Alarm(60.0), ask)
    assert (found.height, len(asked), asked[0]) == (height, asked_for, 80)
