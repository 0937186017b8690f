"""Random memory problems, and the best possible answers found by trying everything.

Shared with the tests of the planner.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from farm.plan.memory.problem import Buffer, Problem
from farm.units import Bytes


def random_problem(random: Random, *, most: int = 8, steps: int = 8, size: int = 12) -> Problem:
    """1 to ``most`` buffers with lifetimes within ``steps`` and sizes up to ``size``."""
    buffers = []
    for number in range(random.randint(1, most)):
        start = random.randrange(steps)
        end = random.randint(start + 1, steps)
        buffers.append(Buffer(f"b{number}", start, end, Bytes(random.randint(1, size))))
    return Problem(tuple(buffers))


def crowded_problem(random: Random, *, count: int = 8, load: int = 6, steps: int = 4) -> Problem:
    """Every step is filled up to the load, as long as there are buffers left."""
    buffers: list[Buffer] = []
    step = 0
    while len(buffers) < count:
        free = load - sum(buffer.size for buffer in buffers if buffer.end > step)
        while free and len(buffers) < count:
            size = random.randint(1, free)
            end = step + random.randint(1, steps)
            buffers.append(Buffer(f"b{len(buffers)}", step, end, Bytes(size)))
            free -= size
        step += 1
    return Problem(tuple(buffers))


def large_problem(count: int, seed: int) -> Problem:
    """Like a long model: most tensors live shortly, some over long skips; sizes of all kinds."""
    random = Random(seed)
    buffers = []
    for number in range(count):
        start = random.randrange(count)
        is_skip = random.random() < 0.02
        steps = (
            random.randint(count // 40, count // 4)
            if is_skip
            else 1 + int(random.expovariate(0.05))
        )
        size = 64 * round(2 ** random.uniform(0, 10))
        buffers.append(Buffer(f"t{number}", start, start + steps, Bytes(size)))
    return Problem(tuple(buffers))


def packed_problem(random: Random, *, count: int, side: int = 64) -> Problem:
    """A square cut into pieces: they fill an arena without a gap, which no greedy order finds."""
    pieces = [(0, side, side)]
    while len(pieces) < count:
        start, end, size = pieces.pop(random.randrange(len(pieces)))
        if end - start > 1 and (size == 1 or random.random() < 0.5):
            middle = random.randint(start + 1, end - 1)
            pieces += [(start, middle, size), (middle, end, size)]
        elif size > 1:
            part = random.randint(1, size - 1)
            pieces += [(start, end, part), (start, end, size - part)]
        else:
            pieces.append((start, end, size))
    buffers = [
        Buffer(f"p{number}", start, end, Bytes(size))
        for number, (start, end, size) in enumerate(pieces)
    ]
    return Problem(tuple(buffers))


def joined_problem(random: Random, *, rooms: int, count: int, side: int = 32) -> Problem:
    """Packed squares side by side, over bars that join them: what is left parts room by room.

    Each bar lies over two rooms that are neighbours, and one over all; no step has a free byte.
    """
    bars = [(0, rooms, random.randint(1, side // 4))]
    bars += [(room, room + 2, random.randint(1, side // 4)) for room in range(rooms - 1)]
    height = max(sum(size for low, high, size in bars if low <= r < high) for r in range(rooms))
    height += side
    buffers = []
    for room in range(rooms):
        free = height - sum(size for low, high, size in bars if low <= room < high)
        for piece in packed_problem(random, count=count, side=free).buffers:
            start, end = (
                room * height + step * height // free for step in (piece.start, piece.end)
            )
            buffers.append(Buffer(f"r{room}{piece.id}", start, end, piece.size))
    for number, (low, high, size) in enumerate(bars):
        buffers.append(Buffer(f"bar{number}", low * height, high * height, Bytes(size)))
    return Problem(tuple(buffers))


def lowest_height(problem: Problem) -> int:
    """The lowest possible arena: every order from bottom to top, each buffer as low as it gets."""
    buffers = problem.buffers
    best = sum(int(buffer.size) for buffer in buffers)
    load = max(sum(b.size for b in buffers if b.start <= a.start < b.end) for a in buffers)

    def stack(placed: list[tuple[Buffer, int]], remaining: list[Buffer], height: int) -> None:
        nonlocal best
        if height >= best or best == load:
            return
        if not remaining:
            best = height
        for buffer in remaining:
            tops = [top for b, top in placed if b.start < buffer.end and buffer.start < b.end]
            top = max(tops, default=0) + buffer.size
            others = [other for other in remaining if other is not buffer]
            stack([*placed, (buffer, top)], others, max(height, top))

    # One more, so that the sum itself, when nothing is lower, is found as well.
    best += 1
    stack([], list(buffers), 0)
    return best


def fewest_portions(problem: Problem) -> tuple[int, int]:
    """The smallest number of portions and the smallest sum of sizes that it allows."""
    return min(
        (len(portions), sum(max(b.size for b in portion) for portion in portions))
        for portions in _partitions(list(problem.buffers))
    )


def _partitions(buffers: list[Buffer]) -> Iterator[list[list[Buffer]]]:
    """All ways to put buffers into portions in which no two are alive together."""
    if not buffers:
        yield []
        return
    buffer, *others = buffers
    for portions in _partitions(others):
        yield [[buffer], *portions]
        for number, portion in enumerate(portions):
            if all(b.end <= buffer.start or buffer.end <= b.start for b in portion):
                yield [*portions[:number], [buffer, *portion], *portions[number + 1 :]]
