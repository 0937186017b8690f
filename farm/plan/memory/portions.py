"""Plans portions: the fewest separate buffers that the tensors of a model can share.

Where an arena lets a buffer lie anywhere, here each is given one portion for itself while it is
alive. Their number is the smallest possible one, that of the buffers alive in one step; what is
minimised is the sum of their sizes, each as large as the largest buffer in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import accumulate
from time import perf_counter
from typing import NamedTuple

from farm.plan.memory.problem import Block, Problem, merge
from farm.plan.solution import Status
from farm.units import Bytes, Seconds

_FREE = -1
_WIDTHS = (8, 64, 512, 4096)  # states that are kept from step to step, one attempt after another
_COMPARED = 64  # portions beyond which keeping several states costs more than it finds


@dataclass(frozen=True, slots=True)
class PortionSolution:
    """Which buffer is in which portion.

    portions: the number of the portion, by id. offsets: where each buffer lies when the portions
    follow each other in one arena. Both are empty where the sum is above the capacity. sizes:
    bytes per portion, largest first. lower_bound: it is proven that the sum is not lower, as long
    as there are no more portions than these. seconds: how long planning took. binding: why there
    are no portions: by how many bytes they exceed the capacity.
    """

    portions: Mapping[str, int]
    offsets: Mapping[str, Bytes]
    sizes: tuple[Bytes, ...]
    lower_bound: Bytes
    status: Status
    seconds: Seconds
    binding: str = ""

    @property
    def height(self) -> Bytes:
        """The sum of the sizes."""
        return Bytes(sum(self.sizes))

    @property
    def gap(self) -> float:
        """By what share the sum may be above the lowest possible one, 0 where it is not."""
        return (self.height - self.lower_bound) / self.lower_bound if self.lower_bound else 0.0


class _State(NamedTuple):
    """Portions at one moment, sorted: size so far, and the step in which it gets free or _FREE.

    parent, size: the state before, and the size of the portion that its last block went into.
    """

    portions: tuple[tuple[int, int], ...]
    parent: int
    size: int


def plan_portions(problem: Problem, *, seconds: float = 60.0) -> PortionSolution:
    """The fewest portions, and the smallest sum of their sizes that can be found in a time.

    Small problems are solved exactly: what may be in the portions is followed from step to step,
    without what cannot beat the best known. Larger ones keep only the most promising states. The
    same problem gets the same answer, unless the time runs out.
    """
    begin = perf_counter()
    blocks = sorted(merge(problem), key=lambda block: (block.start, -block.size, block.end))
    needs = _needs(blocks)
    attempts = [_best_fit(blocks, [0] * len(needs)), _best_fit(blocks, needs)]
    best = min(attempts, key=lambda chosen: _total(blocks, chosen))
    lower = sum(needs)
    widths = _WIDTHS if len(needs) <= _COMPARED else ()
    for width in widths:
        if _total(blocks, best) == lower or perf_counter() - begin > seconds:
            break
        found, exact = _follow(blocks, needs, _total(blocks, best), width, begin + seconds)
        best = found or best
        if exact:
            lower = _total(blocks, best)
    return _solution(problem, blocks, best, lower, Seconds(perf_counter() - begin))


def portion_violations(problem: Problem, solution: PortionSolution) -> list[str]:
    """Everything that is wrong with a solution, each as a sentence; quadratic, and independent.

    A solution without portions has nothing to violate.
    """
    if not solution.portions:
        return []
    blocks = merge(problem)
    where = [{solution.portions[name] for name in block.places} for block in blocks]
    found = []
    for number, (block, portions) in enumerate(zip(blocks, where, strict=True)):
        name = next(iter(block.places))
        if len(portions) != 1 or not portions <= set(range(len(solution.sizes))):
            found.append(f"'{name}' is not in one portion.")
            continue
        if block.size > solution.sizes[min(portions)]:
            found.append(f"'{name}' is larger than its portion.")
        for other, others in zip(blocks[:number], where[:number], strict=True):
            if others == portions and block.start < other.end and other.start < block.end:
                found.append(f"'{name}' shares its portion with '{next(iter(other.places))}'.")
    live = [sum(b.start <= block.start < b.end for b in blocks) for block in blocks]
    if len(solution.sizes) != max(live):
        found.append(f"There are {len(solution.sizes)} portions, and {max(live)} are enough.")
    return found


def _needs(blocks: Sequence[Block]) -> list[int]:
    """A size for each portion, largest first, that no choice of portions can be below.

    Where three blocks are alive, the third largest portion is as large as their smallest at least.
    """
    needs: list[int] = []
    live: list[Block] = []
    for block in blocks:
        live = [other for other in live if other.end > block.start] + [block]
        sizes = sorted((other.size for other in live), reverse=True)
        needs += [0] * (len(sizes) - len(needs))
        needs[: len(sizes)] = map(max, needs, sizes)
    return needs


def _best_fit(blocks: Sequence[Block], first: Sequence[int]) -> list[int]:
    """A portion per block: the smallest free one that is large enough, or the largest free one.

    first: the sizes of the portions as long as nothing larger was put into them.
    """
    count = len(first)
    sizes, free_from = list(first), [_FREE] * count
    chosen = []
    for block in blocks:
        free = [p for p in range(count) if free_from[p] == _FREE or free_from[p] <= block.start]
        portion = min(free, key=lambda p: (sizes[p] < block.size, abs(sizes[p] - block.size), p))
        sizes[portion] = max(sizes[portion], block.size)
        free_from[portion] = block.end
        chosen.append(portion)
    return chosen


def _follow(
    blocks: Sequence[Block], needs: Sequence[int], best: int, width: int, deadline: float
) -> tuple[list[int], bool]:
    """Portions per block with a sum below ``best``, empty if none was found.

    The second value tells whether nothing was left out, so that what was found is the smallest.
    """
    layer = [_State(tuple((0, _FREE) for _ in needs), 0, 0)]
    history = [layer]
    exact = True
    for block in blocks:
        following: dict[tuple[tuple[int, int], ...], _State] = {}
        for parent, state in enumerate(layer):
            for after in _successors(state, parent, block):
                if _bound(after, needs) < best:
                    following.setdefault(after.portions, after)
        if perf_counter() > deadline:
            return [], False
        if len(following) > width:
            exact = False
        ranked = nsmallest(width, following.values(), key=lambda s: (_bound(s, needs), s.portions))
        if not ranked:
            return [], exact
        layer = ranked
        history.append(layer)
    return _replay(blocks, history, len(needs)), exact


def _successors(state: _State, parent: int, block: Block) -> list[_State]:
    """The states after a block went into one of the free portions, one for each of their sizes."""
    freed = [
        (size, _FREE if free_from <= block.start else free_from)
        for size, free_from in state.portions
    ]
    successors = []
    for size in {size for size, free_from in freed if free_from == _FREE}:
        others = list(freed)
        others.remove((size, _FREE))
        portions = sorted([*others, (max(size, block.size), block.end)])
        successors.append(_State(tuple(portions), parent, size))
    return successors


def _bound(state: _State, needs: Sequence[int]) -> int:
    """A sum that nothing that follows from a state is below."""
    sizes = (size for size, _ in reversed(state.portions))
    return sum(map(max, sizes, needs))


def _replay(blocks: Sequence[Block], history: Sequence[Sequence[_State]], count: int) -> list[int]:
    """The portion of each block on the way to the first of the last states."""
    taken = []
    state = history[-1][0]
    for layer in reversed(history[:-1]):
        taken.append(state.size)
        state = layer[state.parent]
    sizes, free_from = [0] * count, [_FREE] * count
    chosen = []
    for block, size in zip(blocks, reversed(taken), strict=True):
        portion = next(p for p in range(count) if sizes[p] == size and free_from[p] <= block.start)
        sizes[portion], free_from[portion] = max(size, block.size), block.end
        chosen.append(portion)
    return chosen


def _portion_sizes(blocks: Sequence[Block], chosen: Sequence[int]) -> list[int]:
    sizes = [0] * (max(chosen, default=-1) + 1)
    for block, portion in zip(blocks, chosen, strict=True):
        sizes[portion] = max(sizes[portion], block.size)
    return sizes


def _total(blocks: Sequence[Block], chosen: Sequence[int]) -> int:
    return sum(_portion_sizes(blocks, chosen))


def _solution(
    problem: Problem, blocks: Sequence[Block], chosen: Sequence[int], lower: int, seconds: Seconds
) -> PortionSolution:
    """Number the portions by size, and give their places in an arena."""
    found = _portion_sizes(blocks, chosen)
    order = sorted(range(len(found)), key=lambda portion: (-found[portion], portion))
    sizes = tuple(Bytes(found[portion]) for portion in order)
    begins = list(accumulate(sizes, initial=0))
    number = {portion: position for position, portion in enumerate(order)}
    total, capacity = sum(sizes), problem.capacity
    status = Status.OPTIMAL if total == lower else Status.FEASIBLE
    if capacity is not None and total > capacity:
        return PortionSolution(
            {},
            {},
            sizes,
            Bytes(lower),
            Status.INFEASIBLE if lower > capacity else Status.UNKNOWN,
            seconds,
            f"{len(sizes)} portions need {total} bytes together, {total - capacity} more than the "
            f"capacity of {capacity}.",
        )
    placed = [(block, number[portion]) for block, portion in zip(blocks, chosen, strict=True)]
    portions = {name: portion for block, portion in placed for name in block.places}
    offsets = {
        name: Bytes(begins[portion] + place)
        for block, portion in placed
        for name, place in block.places.items()
    }
    return PortionSolution(portions, offsets, sizes, Bytes(lower), status, seconds)
