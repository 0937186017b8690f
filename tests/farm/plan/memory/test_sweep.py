"""The sweep through time: exact by itself, and many buffers of which few are alive at once."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from benchmarks.memory.memory_problems import crowded_problem, lowest_height, random_problem
from farm.plan.memory.arena import plan_memory, violations
from farm.plan.memory.board import Item, make_strip, spans, split, strip_offsets
from farm.plan.memory.compiled import PLAIN, compiled
from farm.plan.memory.kernels import FAILED, SOLVED, STOPPED, Shelf
from farm.plan.memory.problem import Buffer, Problem
from farm.plan.solution import Status
from farm.units import Bytes

WIDTH = 1000  # of which these small problems never need all


def problem(rows, capacity=None, alignment=1):
    buffers = tuple(Buffer(f"b{i}", *row[:2], Bytes(row[2])) for i, row in enumerate(rows))
    return Problem(buffers, Bytes(alignment), None if capacity is None else Bytes(capacity))


def swept(items, height, kernels, width=WIDTH):
    layout = spans(items)
    strip = make_strip(items, layout, width, kernels)
    result = kernels.sweep(strip, height)
    return result, strip_offsets(strip, layout) if result == SOLVED else ()


def overlaps(items, offsets):
    """Pairs of items that share a byte in a step."""
    return [
        (one, two)
        for one, low in zip(items, offsets, strict=True)
        for two, other in zip(items, offsets, strict=True)
        if one is not two
        and max(one.start, two.start) < min(one.end, two.end)
        and max(low, other) < min(low + one.size, other + two.size)
    ]


@pytest.mark.parametrize("kernels", [PLAIN, compiled()], ids=["plain", "compiled"])
@pytest.mark.parametrize("make", [random_problem, crowded_problem])
def test_it_finds_the_lowest_height_by_itself_and_nothing_below(make, kernels):
    random = Random(13)
    for _ in range(30):
        case = make(random)
        lowest = lowest_height(case)
        items = [Item(b.start, b.end, b.size) for b in case.buffers]
        below = []
        for group in split(items):
            members = [items[number] for number in group]
            result, offsets = swept(members, lowest, kernels)
            assert result == SOLVED
            assert overlaps(members, offsets) == []
            assert all(0 <= o <= lowest - i.size for o, i in zip(offsets, members, strict=True))
            below.append(swept(members, lowest - 1, kernels)[0])
        assert FAILED in below


def test_too_narrow_a_sweep_proves_nothing():
    random = Random(2)
    cases = [crowded_problem(random, count=12) for _ in range(40)]
    results = set()
    for case in cases:
        items = [Item(b.start, b.end, b.size) for b in case.buffers]
        for group in split(items):
            members = [items[number] for number in group]
            load = max(sum(members[i].size for i in s) for s in spans(members).sections)
            exact, narrow = (swept(members, load, PLAIN, width)[0] for width in (WIDTH, 1))
            assert narrow in {exact, STOPPED}
            results.add((exact, narrow))
    assert results >= {(SOLVED, SOLVED), (SOLVED, STOPPED)}


def test_a_sweep_stops_when_told():
    items = [Item(0, 4, 3), Item(0, 4, 5)]
    strip = make_strip(items, spans(items), WIDTH, PLAIN)
    strip.stop[0] = 1
    assert PLAIN.sweep(strip, 8) == STOPPED


@pytest.mark.parametrize("kernels", [PLAIN, compiled()], ids=["plain", "compiled"])
def test_the_quick_placement_in_time_is_that_of_the_thorough_one(kernels):
    random = Random(4)
    for make in [random_problem, crowded_problem] * 20:
        items = [Item(b.start, b.end, b.size) for b in make(random).buffers]
        order = kernels.ints(sorted(range(len(items)), key=lambda item: items[item].start))
        quick, thorough = shelf(items, kernels), shelf(items, kernels)
        height = kernels.first_fit_in_time(quick, order)
        assert height == kernels.first_fit(thorough, order, 10**6)
        assert list(quick.offsets) == list(thorough.offsets)


def test_placing_in_an_order_stops_when_told():
    told = shelf([Item(0, 4, 3), Item(0, 4, 5)], PLAIN)
    told.stop[0] = 1
    assert PLAIN.first_fit(told, [0, 1], 99) == 99


def shelf(items, kernels):
    starts, ends, sizes = (kernels.ints(each) for each in zip(*items, strict=True))
    offsets, stack = kernels.zeros(len(items)), kernels.zeros(len(items))
    return Shelf(sizes, starts, ends, offsets, stack, kernels.zeros(1))


def test_without_time_many_buffers_are_placed_nevertheless():
    random = Random(6)
    starts = [random.randrange(6000) for _ in range(6000)]
    rows = [(start, start + random.randint(1, 40), random.randint(1, 99)) for start in starts]
    solution = plan_memory(problem(rows), seconds=0)
    assert solution.lower_bound <= solution.height <= 1.5 * solution.lower_bound
    assert len(solution.offsets) == 6000


@pytest.mark.parametrize("count", [100, 1500, 20_000])
@pytest.mark.parametrize("capacity", [None, 5])
def test_a_chain_of_any_length_is_solved(count, capacity):
    rows = [(i, i + 2, 1 + i % 3) for i in range(count)]
    solution = plan_memory(problem(rows, capacity), seconds=20)
    assert (solution.height, solution.status) == (5, Status.OPTIMAL)
    places = [(offset, offset + rows[i][2]) for i, offset in enumerate(solution.offsets.values())]
    assert all(one[1] <= two[0] or two[1] <= one[0] for one, two in pairwise(places))


LONG = {
    "aligned": problem([(i, i + 2, 1 + i % 37) for i in range(1500)], alignment=8),
    "pairs": problem([(i // 2, i // 2 + 2, 1 + (i * 7) % 5) for i in range(1500)]),
    "long lives": problem([(i, i + 2 + 100 * (i % 40 == 0), 1 + i * i % 17) for i in range(1500)]),
    "clusters": problem(
        [
            (10 * (i // 5) + i % 3, 10 * (i // 5) + i % 3 + 2 + i % 2, 1 + (i * 7) % 11)
            for i in range(1500)
        ]
    ),
}


@pytest.mark.parametrize("kind", LONG)
def test_many_buffers_of_which_few_are_alive_are_proven_to_be_lowest(kind):
    solution = plan_memory(LONG[kind], seconds=20)
    assert violations(LONG[kind], solution) == []
    assert solution.status is Status.OPTIMAL


def full(random, lanes, count, height):
    """Buffers that fill the height in every step: whatever ends gives its place to others."""
    cuts = sorted(random.sample(range(1, height), lanes - 1))
    sizes = [high - low for low, high in zip([0, *cuts], [*cuts, height], strict=True)]
    live = [(size, 0, random.randint(1, 5)) for size in sizes]
    rows = []
    while len(rows) < count:
        step = min(end for _, _, end in live)
        following = []
        freed = 0
        for size, start, end in [*live, (0, 0, -1)]:
            if end == step:
                rows.append((start, end, size))
                freed += size
                continue
            if freed > 1:
                part = random.randint(1, freed - 1)
                parts = [part, freed - part] if len(following) < lanes - 2 else [freed]
            else:
                parts = [freed] if freed else []
            following += [(p, step, step + random.randint(1, 5)) for p in parts]
            following += [(size, start, end)] if size else []
            freed = 0
        live = following
    return rows + [(start, end, size) for size, start, end in live]


@pytest.mark.parametrize("seed", range(3))
def test_buffers_that_leave_no_room_are_placed(seed):
    case = problem(full(Random(seed), lanes=4, count=400, height=1000))
    solution = plan_memory(case, seconds=20)
    assert violations(case, solution) == []
    assert (solution.height, solution.status) == (1000, Status.OPTIMAL)


# At most 6 bytes are alive in a step, and every arena needs 7.
GAP = ((0, 1, 5), (0, 4, 1), (1, 5, 2), (1, 2, 3), (2, 4, 1), (2, 6, 2), (4, 5, 2), (5, 7, 4))


def test_that_nothing_is_lower_is_proven_wherever_the_reason_lies():
    others = [(7 * i, 7 * i + 7 + (i != 99), 1 + i % 3) for i in range(1200) if i != 100]
    rows = [(0, 8400, 2), *others]
    rows += [(700 + start, 700 + end, size) for start, end, size in GAP]
    solution = plan_memory(problem(rows), seconds=20)
    assert (solution.height, solution.lower_bound) == (9, 9)
    assert plan_memory(problem(rows, capacity=8), seconds=20).status is Status.INFEASIBLE
