"""The best of two places by a minimum cut, and a bound that holds for every order.

A cut knows launches between given neighbours only. Along a path of the graph they are a lower
bound of the launches of every order, and so is any mean over several paths: the path on which the
last cut launches most joins those before it.
"""

from __future__ import annotations

from collections.abc import Callable

from farm.plan.placement.methods.cut import Moved, Pair, move_to
from farm.plan.placement.orders.order import launches_behind
from farm.plan.placement.tables import At, Tables

_ROUNDS = 8


def two_places(table: Tables, stop: Callable[[], bool]) -> Moved:
    """The places of the cut with the best bound. There must be two."""
    everything = (0,) * len(table.names)
    path = _dearest_path(table, tuple(i % 2 for i in range(len(table.names))))
    pairs: list[Pair] = path
    best = move_to(table, everything, 1, pairs)
    at = best.at
    for number in range(2, _ROUNDS + 2):
        if stop():
            break
        weight = 1.0 / number
        pairs = [(i, j, w * (1.0 - weight)) for i, j, w in pairs]
        pairs += [(i, j, w * weight) for i, j, w in _dearest_path(table, at)]
        found = move_to(table, everything, 1, pairs)
        at = found.at
        if found.bound > best.bound:
            best = found
    return best


def _dearest_path(table: Tables, at: At) -> list[Pair]:
    """The path of the graph with the most launches, from its beginning."""
    behind = launches_behind(table, at)
    launch = [table.launch[place] for place in at]
    firsts = [i for i, needs in enumerate(table.needs) if not needs]
    here = max(firsts, key=lambda i: (launch[i] + behind[i], -i))
    pairs: list[Pair] = [(-1, here, 1.0)]
    while table.needed_by[here]:
        before = here
        here = max(
            table.needed_by[before],
            key=lambda j: (behind[j] + (launch[j] if at[j] != at[before] else 0.0), -j),
        )
        pairs.append((before, here, 1.0))
    return pairs
