"""Local search: operators move to one place together by cuts, parts and their borders by trying.

Both take turns with sorting the order, because what is worth moving depends on the order, and the
best order on what has moved.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf
from random import Random

from farm.plan.placement import shares
from farm.plan.placement.evaluate import cost
from farm.plan.placement.methods.cut import move_to, order_pairs
from farm.plan.placement.orders.order import sorted_order
from farm.plan.placement.problem import PlacementObjective
from farm.plan.placement.tables import At, Order, Tables

_SHIFTS = (1, 2, 4, 8, 16)  # operators by which a border moves
_NEVER_WORSE = 1e-9  # of a value: less is no gain


@dataclass(frozen=True, slots=True)
class Placed:
    """Places, an order, and how bad they are: bytes above the capacities, then the value."""

    at: At
    order: Order
    score: tuple[float, float]


def scored(table: Tables, at: At, order: Order) -> Placed:
    """A placement with its score. Arenas count as high as their fullest step."""
    peak = table.objective is PlacementObjective.PEAK_MEMORY
    if not peak and not table.limited:
        return Placed(at, order, (0.0, cost(table, at, order)))
    above, held = 0.0, 0.0
    for place, capacity in enumerate(table.capacities):
        if peak or capacity < inf:
            need = int(shares.weights_at(table, at, place))
            need += shares.load(shares.buffers_at(table, at, order, place))
            held += need
            above += max(0.0, need - capacity)
    paid = cost(table, at, order)
    if peak:
        paid = held if paid < inf else inf
    return Placed(at, order, (above, paid))


def expand(table: Tables, start: Placed, stop: Callable[[], bool]) -> Placed:
    """Moves to one place after another until none gains; for objectives that add up all costs."""
    best = start
    targets = list(range(len(table.places)))
    idle = 0
    while idle < len(targets) and not stop():
        target = targets[0]
        targets = [*targets[1:], target]
        moved = move_to(table, best.at, target, order_pairs(best.order)).at
        order = sorted_order(table, moved, best.order) if moved != best.at else best.order
        further = scored(table, moved, order)
        if _is_better(further, best):
            best, idle = further, 0
        else:
            idle += 1
    return best


def climb(table: Tables, start: Placed, random: Random, stop: Callable[[], bool]) -> Placed:
    """Moves of parts, of their ends, and of single operators until none gains; any objective."""
    best = start
    gained = True
    while gained and not stop():
        gained = False
        runs = list(_runs(best))
        random.shuffle(runs)
        for run in runs:
            if stop():
                break
            for place in range(len(table.places)):
                further = _moved(table, best, run, place)
                if further is not None and _is_better(further, best):
                    best, gained = further, True
        order = sorted_order(table, best.at, best.order)
        further = scored(table, best.at, order)
        if _is_better(further, best):
            best, gained = further, True
    return best


def _is_better(one: Placed, two: Placed) -> bool:
    above, value = one.score
    if above != two.score[0]:
        return above < two.score[0]
    return value < two.score[1] - _NEVER_WORSE * abs(value) if two.score[1] < inf else value < inf


def _runs(placed: Placed) -> Iterator[tuple[int, ...]]:
    """Operators that may move together: parts, their first ones and last ones, each by itself."""
    for _, run in groupby(placed.order, key=placed.at.__getitem__):
        part = tuple(run)
        yield part
        for count in _SHIFTS:
            if count < len(part):
                yield part[:count]
                yield part[-count:]
    yield from ((i,) for i in placed.order)


def _moved(table: Tables, placed: Placed, run: Sequence[int], place: int) -> Placed | None:
    """None where nothing moves, or an operator cannot run there."""
    at = list(placed.at)
    for i in run:
        if table.costs[i][place] == inf:
            return None
        at[i] = place
    if tuple(at) == placed.at:
        return None
    return scored(table, tuple(at), placed.order)
