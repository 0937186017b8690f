"""The arena: never an overlap, never above the capacity, as low as trying everything gets."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from time import sleep

import pytest
from hypothesis import given, settings

from benchmarks.memory.memory_problems import (
    crowded_problem,
    large_problem,
    lowest_height,
    packed_problem,
    random_problem,
)
from farm.errors import PlanError
from farm.plan.memory.arena import Solution, plan_memory, violations
from farm.plan.memory.board import Item, make_board, rankings, spans, split
from farm.plan.memory.compiled import PLAIN, compiled
from farm.plan.memory.kernels import FAILED, SOLVED, STOPPED
from farm.plan.memory.problem import Alias, Buffer, Problem, load_bound, merge
from farm.plan.memory.search import Alarm
from farm.plan.solution import Status
from farm.units import Bytes
from tests.farm.plan.memory.strategies import problems


def buffers(*rows: tuple[str, int, int, int]) -> tuple[Buffer, ...]:
    return tuple(Buffer(name, start, end, Bytes(size)) for name, start, end, size in rows)


def test_buffers_that_meet_in_no_step_share_their_place():
    solution = plan_memory(Problem(buffers(("a", 0, 2, 10), ("b", 2, 4, 7), ("c", 1, 3, 5))))
    assert solution.height == 15
    assert solution.lower_bound == 15
    assert solution.status is Status.OPTIMAL
    assert solution.gap == 0
    assert solution.offsets["a"] == 0 or solution.offsets["c"] == 0


def test_no_buffers_need_no_arena():
    solution = plan_memory(Problem(()))
    assert (solution.height, solution.lower_bound, solution.offsets) == (0, 0, {})
    assert solution.status is Status.OPTIMAL


@given(problems())
@settings(deadline=None, max_examples=300)
def test_every_solution_is_valid(problem):
    solution = plan_memory(problem)
    assert violations(problem, solution) == []
    assert solution.height >= solution.lower_bound >= load_bound(problem)
    assert solution.height % problem.alignment == 0
    fits = problem.capacity is None or solution.height <= problem.capacity
    assert bool(solution.offsets) == fits
    assert bool(solution.binding) != fits
    assert replace(plan_memory(problem), seconds=solution.seconds) == solution


@pytest.mark.parametrize("make", [random_problem, crowded_problem])
def test_as_low_as_brute_force(make):
    random = Random(5)
    for _ in range(60):
        problem = make(random)
        solution = plan_memory(problem)
        assert solution.height == lowest_height(problem)
        assert solution.status is Status.OPTIMAL


def boards(items, kernels):
    layout = spans(items)
    return [make_board(items, layout, order, kernels) for order in rankings(items, layout)]


@pytest.mark.parametrize("kernels", [PLAIN, compiled()], ids=["plain", "compiled"])
def test_the_search_finds_the_lowest_height_by_itself_and_nothing_below(kernels):
    random = Random(7)
    for problem in [GAP, *(crowded_problem(random) for _ in range(30))]:
        items = [Item(b.start, b.end, b.size) for b in problem.buffers]
        lowest = lowest_height(problem)
        groups = [[items[number] for number in group] for group in split(items)]
        found = [results(group, kernels, lowest) for group in groups]
        assert found == [{SOLVED}] * len(groups)
        below = [results(group, kernels, lowest - 1) for group in groups]
        assert {FAILED} in below
        assert all(len(result) == 1 for result in below)


def results(items, kernels, height):
    return {kernels.search(board, height, 10**6) for board in boards(items, kernels)}


def test_a_search_stops_when_told():
    items = [Item(0, 4, 3), Item(0, 4, 5)]
    board, other, *_ = boards(items, PLAIN)
    assert PLAIN.search(board, 8, 1) == STOPPED
    other.stop[0] = 1
    assert PLAIN.search(other, 8, 100) == STOPPED


# At most 6 bytes are alive in a step, and every arena needs 7.
GAP = Problem(
    buffers(
        ("a", 0, 1, 5),
        ("b", 0, 4, 1),
        ("c", 1, 5, 2),
        ("d", 1, 2, 3),
        ("e", 2, 4, 1),
        ("f", 2, 6, 2),
        ("g", 4, 5, 2),
        ("h", 5, 7, 4),
    )
)


def test_a_height_above_the_load_is_proven_to_be_the_lowest():
    solution = plan_memory(GAP)
    assert load_bound(GAP) < solution.height == solution.lower_bound == lowest_height(GAP)
    assert solution.status is Status.OPTIMAL


@pytest.mark.parametrize("capacity", [None, 67, 66])
def test_many_buffers_need_the_compiled_search(capacity):
    bricks = buffers(*((f"brick{number}", 0, 7, 1) for number in range(60)))
    problem = Problem(GAP.buffers + bricks, capacity=None if capacity is None else Bytes(capacity))
    solution = plan_memory(problem)
    assert violations(problem, solution) == []
    assert solution.lower_bound == 67
    assert solution.status is (Status.INFEASIBLE if capacity == 66 else Status.OPTIMAL)


def test_a_search_ends_by_counting():
    """What is found then is the same on every machine; only the proof is missing."""
    bricks = buffers(*((f"brick{number}", 0, 7, 1) for number in range(60)))
    problem = Problem(GAP.buffers + bricks)
    solution = plan_memory(problem, nodes=0)
    assert violations(problem, solution) == []
    assert solution.status is Status.FEASIBLE
    assert solution.lower_bound == load_bound(problem)


def test_a_capacity_that_only_the_search_can_refute():
    load = load_bound(GAP)
    solution = plan_memory(replace(GAP, capacity=load))
    assert solution.status is Status.INFEASIBLE
    assert solution.offsets == {}
    assert solution.binding == (
        f"No step needs more than {load} bytes, but a placement within the capacity of {load} is "
        f"proven impossible; the lowest one found needs {solution.height}, "
        f"{solution.height - load} more."
    )


def test_a_step_that_needs_more_than_the_capacity_is_named():
    rows = [(f"t{number}", number // 4, 3, 10 + number) for number in range(7)]
    solution = plan_memory(Problem(buffers(*rows), capacity=Bytes(80)))
    assert solution.status is Status.INFEASIBLE
    assert solution.offsets == {}
    assert solution.height == solution.lower_bound == 91
    assert solution.binding == (
        "In step 1, t6, t5, t4, t3, t2 and 2 more need 91 bytes together, 11 more than the "
        "capacity of 80."
    )


def test_without_time_there_is_still_a_placement():
    problem = large_problem(300, seed=3)
    solution = plan_memory(problem, seconds=0)
    assert violations(problem, solution) == []
    assert solution.status in {Status.FEASIBLE, Status.OPTIMAL}


def test_a_capacity_that_was_not_reached_in_time_is_unknown():
    solution = plan_memory(replace(GAP, capacity=load_bound(GAP)), seconds=0)
    assert solution.status is Status.UNKNOWN
    assert "was not found in time" in solution.binding


def test_an_alarm_ends_the_searches_that_it_watches():
    before, after = [0], [0]
    with Alarm(0.01) as alarm:
        alarm.watch([before])
        while not before[0]:
            sleep(0.001)
        assert alarm.over
        alarm.watch([after])
    assert after == [1]


def test_a_large_problem_is_close_to_its_bound():
    problem = large_problem(2000, seed=1)
    solution = plan_memory(problem, seconds=2)
    assert violations(problem, solution) == []
    assert solution.gap <= 0.02


def test_a_tight_packing_of_many_buffers_is_found():
    problem = packed_problem(Random(11), count=70)
    solution = plan_memory(problem)
    assert violations(problem, solution) == []
    assert solution.height == load_bound(problem)


def test_an_output_overwrites_its_input():
    rows = buffers(("x", 0, 2, 64), ("y", 1, 3, 64), ("z", 2, 4, 32))
    apart = plan_memory(Problem(rows))
    shared = plan_memory(Problem(rows, aliases=(Alias("y", "x"),)))
    assert (apart.height, shared.height) == (128, 96)
    assert shared.offsets["x"] == shared.offsets["y"]


def test_parts_of_a_concatenation_lie_in_it():
    rows = buffers(("a", 0, 3, 24), ("b", 1, 3, 40), ("all", 2, 4, 64))
    aliases = (Alias("a", "all"), Alias("b", "all", Bytes(24)))
    problem = Problem(rows, alignment=Bytes(16), aliases=aliases)
    solution = plan_memory(problem)
    assert dict(solution.offsets) == {"a": 0, "b": 24, "all": 0}
    assert violations(problem, solution) == []
    (block,) = merge(problem)
    assert (block.start, block.end, block.size) == (0, 4, 64)


def test_views_of_views():
    rows = buffers(("a", 0, 2, 8), ("b", 1, 3, 4), ("c", 2, 5, 2))
    aliases = (Alias("c", "b", Bytes(1)), Alias("b", "a", Bytes(3)))
    (block,) = merge(Problem(rows, aliases=aliases))
    assert dict(block.places) == {"a": 0, "b": 3, "c": 4}
    assert block.end == 5


def test_offsets_and_height_are_aligned():
    rows = buffers(("a", 0, 2, 5), ("b", 0, 2, 17))
    solution = plan_memory(Problem(rows, alignment=Bytes(16)))
    assert sorted(solution.offsets.values()) in ([0, 16], [0, 32])
    assert solution.height == 48


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Buffer("a", 0, 1, Bytes(-1)), "Buffer 'a' has the size -1; it must not be neg"),
        (lambda: Buffer("a", 3, 3, Bytes(1)), "Buffer 'a' lives from step 3 until before step 3"),
        (lambda: Problem(buffers(("a", 0, 1, 1)) * 2), "There are 2 buffers 'a'. Each may be"),
        (lambda: Problem((), alignment=Bytes(0)), "The alignment is 0; it must be 1 byte or more"),
        (lambda: Problem((), capacity=Bytes(-2)), "The capacity is -2; it must not be negative"),
        (lambda: aliased(Alias("a", "z")), "The alias of 'a' in 'z' names 'z', and there is no"),
        (lambda: aliased(Alias("a", "b"), Alias("a", "c")), "There are 2 aliases of 'a'."),
        (lambda: aliased(Alias("a", "b"), Alias("b", "a")), "lead back to itself"),
        (lambda: aliased(Alias("a", "b", Bytes(-1))), "The alias of 'a' begins before 'b' begins"),
        (lambda: aliased(Alias("c", "a")), "'c' cannot lie in 'a': one of them is dead before"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(PlanError, match=message):
        make()


def aliased(*aliases: Alias) -> Problem:
    return Problem(buffers(("a", 0, 1, 4), ("b", 1, 2, 4), ("c", 2, 3, 4)), aliases=aliases)


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ({"a": 0, "b": 4, "v": 0}, "'a' and 'b' overlap."),
        ({"a": 0, "b": 8, "v": 1}, "'v' is not where its alias in 'a' puts it."),
        ({"a": 0, "b": 9, "v": 0}, "'b' at 9 is not aligned to 2."),
        ({"a": 0, "b": 16, "v": 0}, "'b' is not inside the arena."),
        ({"a": 0, "v": 0}, "'b' has no offset."),
    ],
)
def test_the_validator_sees_what_is_wrong(offsets, message):
    rows = buffers(("a", 0, 2, 8), ("b", 1, 3, 8), ("v", 0, 1, 4))
    problem = Problem(rows, alignment=Bytes(2), aliases=(Alias("v", "a"),))
    places = {name: Bytes(offset) for name, offset in offsets.items()}
    solution = Solution(places, Bytes(18), Bytes(16), Status.FEASIBLE, seconds=0.0)
    assert message in violations(problem, solution)
