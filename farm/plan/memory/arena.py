"""Plans an arena: where each buffer lies, so that those alive together do not overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import gcd
from time import perf_counter

from farm.plan.memory.board import Item, split
from farm.plan.memory.portions import PortionSolution
from farm.plan.memory.problem import Block, Peak, Problem, merge, peak
from farm.plan.memory.search import Aim, Alarm, Placement, place_items
from farm.plan.solution import Status
from farm.units import Bytes, Seconds

_NAMED = 5  # buffers that a message names


@dataclass(frozen=True, slots=True)
class Solution:
    """Where the buffers of a problem lie in its arena.

    offsets: bytes from the beginning of the arena, by id; empty where none keep the capacity.
    height: bytes of the arena; without offsets, of the lowest that was found. lower_bound: it is
    proven that no arena is lower. seconds: how long planning took. binding: why there are no
    offsets: what does not fit, and by how many bytes. nodes: placements of single buffers that
    the exact search tried until it found the offsets, 0 where it was not needed.
    """

    offsets: Mapping[str, Bytes]
    height: Bytes
    lower_bound: Bytes
    status: Status
    seconds: Seconds
    binding: str = ""
    nodes: int = 0

    @property
    def gap(self) -> float:
        """By what share the height may be above the lowest possible one, 0 where it is not."""
        return (self.height - self.lower_bound) / self.lower_bound if self.lower_bound else 0.0


def plan_memory(problem: Problem, *, seconds: float = 60.0, nodes: int | None = None) -> Solution:
    """The lowest arena that can be found in a time, the first low one within a capacity.

    nodes: placements that one exact search may try, None for no limit but the time.

    The same problem gets the same answer, unless the time runs out. There is always an answer
    without a capacity: of 0 seconds the first that comes.
    """
    begin = perf_counter()
    blocks = merge(problem)
    highest = peak(blocks)
    capacity = problem.capacity
    if capacity is not None and capacity < highest.size:
        # Nothing to search for, but how high it would be is worth a moment.
        placement = _place(blocks, highest.size, None, 0.0)
        binding = _overload(highest, capacity)
    else:
        placement = _place(blocks, highest.size, capacity, seconds, nodes)
        binding = _unplaced(placement, highest, capacity)
    fits = capacity is None or placement.height <= capacity
    return Solution(
        offsets=_spread(blocks, placement.offsets) if fits else {},
        height=Bytes(placement.height),
        lower_bound=Bytes(placement.lower),
        status=_status(placement, capacity),
        seconds=Seconds(perf_counter() - begin),
        binding="" if fits else binding,
        nodes=placement.nodes if fits else 0,
    )


def violations(problem: Problem, solution: Solution | PortionSolution) -> list[str]:
    """Everything that is wrong with a solution, each as a sentence; quadratic, and independent.

    A solution without offsets has nothing to violate.
    """
    if not solution.offsets and problem.buffers:
        return []
    offsets = solution.offsets
    found = [f"'{b.id}' has no offset." for b in problem.buffers if b.id not in offsets]
    if found:
        return found
    aliases = {alias.id: alias for alias in problem.aliases}
    for buffer in problem.buffers:
        offset = offsets[buffer.id]
        if offset < 0 or offset + buffer.size > solution.height:
            found.append(f"'{buffer.id}' is not inside the arena.")
        if buffer.id not in aliases and offset % problem.alignment:
            found.append(f"'{buffer.id}' at {offset} is not aligned to {problem.alignment}.")
    found += [
        f"'{alias.id}' is not where its alias in '{alias.of}' puts it."
        for alias in problem.aliases
        if offsets[alias.id] != offsets[alias.of] + alias.offset
    ]
    if problem.capacity is not None and solution.height > problem.capacity:
        found.append(f"The height {solution.height} is above the capacity {problem.capacity}.")
    if solution.height < solution.lower_bound:
        found.append(f"The height {solution.height} is below its bound {solution.lower_bound}.")
    root = {buffer.id: buffer.id for buffer in problem.buffers}
    for _ in aliases:
        root |= {alias.id: root[alias.of] for alias in aliases.values()}
    for one, two in combinations(problem.buffers, 2):
        together = one.start < two.end and two.start < one.end and root[one.id] != root[two.id]
        above = offsets[one.id] >= offsets[two.id] + two.size
        below = offsets[two.id] >= offsets[one.id] + one.size
        if together and one.size and two.size and not above and not below:
            found.append(f"'{one.id}' and '{two.id}' overlap.")
    return found


def _place(
    blocks: Sequence[Block],
    load: int,
    capacity: int | None,
    seconds: float,
    nodes: int | None = None,
) -> Placement:
    """Place all blocks, those that share no step with others apart from these; in bytes."""
    sized = [number for number, block in enumerate(blocks) if block.size > 0]
    unit = gcd(*(blocks[number].size for number in sized)) or 1
    items = [
        Item(blocks[number].start, blocks[number].end, blocks[number].size // unit)
        for number in sized
    ]
    limit = None if capacity is None else capacity // unit
    offsets = [0] * len(blocks)
    height = lower = load // unit
    tried = 0
    with Alarm(seconds) as alarm:
        for group in split(items):
            members = [items[i] for i in group]
            placement = place_items(members, Aim(height, limit), alarm, nodes)
            height, lower = max(height, placement.height), max(lower, placement.lower)
            tried += placement.nodes
            for item, offset in zip(group, placement.offsets, strict=True):
                offsets[sized[item]] = offset * unit
    return Placement(tuple(offsets), height * unit, lower * unit, tried)


def _spread(blocks: Sequence[Block], offsets: Sequence[int]) -> dict[str, Bytes]:
    """Offsets of buffers from those of their blocks."""
    return {
        name: Bytes(offset + place)
        for block, offset in zip(blocks, offsets, strict=True)
        for name, place in block.places.items()
    }


def _status(placement: Placement, capacity: int | None) -> Status:
    if capacity is not None and placement.lower > capacity:
        return Status.INFEASIBLE
    if capacity is not None and placement.height > capacity:
        return Status.UNKNOWN
    return Status.OPTIMAL if placement.height == placement.lower else Status.FEASIBLE


def _overload(highest: Peak, capacity: int) -> str:
    live = sorted(highest.blocks, key=lambda block: block.size, reverse=True)
    names = [next(iter(block.places)) for block in live[:_NAMED]]
    more = f" and {len(live) - _NAMED} more" if len(live) > _NAMED else ""
    return (
        f"In step {highest.step}, {', '.join(names)}{more} need {highest.size} bytes together, "
        f"{highest.size - capacity} more than the capacity of {capacity}."
    )


def _unplaced(placement: Placement, highest: Peak, capacity: int | None) -> str:
    """Why nothing is within a capacity that every single step keeps."""
    if capacity is None or placement.height <= capacity:
        return ""
    proof = "is proven impossible" if placement.lower > capacity else "was not found in time"
    return (
        f"No step needs more than {highest.size} bytes, but a placement within the capacity of "
        f"{capacity} {proof}; the lowest one found needs {placement.height}, "
        f"{placement.height - capacity} more."
    )
