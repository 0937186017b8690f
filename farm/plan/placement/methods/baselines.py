"""Placements that need no search: one place for all, greedy, and by earliest finish (HEFT)."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from heapq import heapify, heappop, heappush
from itertools import islice
from math import inf

from farm.plan.placement.tables import FROM_CALLER, At, Order, Tables


def single_places(table: Tables) -> list[At]:
    """Everything at one place, for each place that can run everything."""
    return [
        (place,) * len(table.costs)
        for place in range(len(table.places))
        if all(costs[place] < inf for costs in table.costs)
    ]


def greedy(table: Tables) -> At | None:
    """Each operator in turn where it adds least; None where one can run nowhere then."""
    at: list[int] = []
    sent: set[tuple[int, int]] = set()
    for i, costs in enumerate(table.costs):
        here = at[-1] if at else -1
        added = [
            costs[p] + _arriving(table, at, sent, i, p) + (table.launch[p] if p != here else 0.0)
            for p in range(len(table.places))
        ]
        place = min(range(len(added)), key=added.__getitem__)
        if added[place] == inf:
            return None
        at.append(place)
        sent.update((t, place) for t in table.reads[i])
    return tuple(at)


def heft(table: Tables) -> tuple[At, Order] | None:
    """Heterogeneous earliest finish time: by upward rank, where each operator would end first.

    Places work at the same time, and an operator may run in a gap between others: Topcuoglu,
    Hariri and Wu (2002, "Performance-effective and low-complexity task scheduling for
    heterogeneous computing"). None where an operator can run nowhere that its inputs reach.
    """
    ranks = _upward_ranks(table)
    at = [-1] * len(table.costs)
    ends = [0.0] * len(table.costs)
    busy: list[list[tuple[float, float]]] = [[] for _ in table.places]
    order = _by_rank(table, ranks)
    for i in order:
        options = []
        for p in table.allowed(i):
            arrival = _ready_time(table, at, ends, i, p)
            if arrival < inf:
                begin = _gap(busy[p], arrival, table.costs[i][p])
                options.append((begin + table.costs[i][p], p))
        if not options:
            return None
        ends[i], at[i] = min(options)
        insort(busy[at[i]], (ends[i] - table.costs[i][at[i]], ends[i]))
    return tuple(at), order


def _arriving(
    table: Tables, at: Sequence[int], sent: set[tuple[int, int]], operator: int, place: int
) -> float:
    """Transfers that a place causes: of what its operator reads, and of what the caller gets."""
    total = 0.0
    for t in table.reads[operator]:
        source = table.source[t]
        here = table.caller if source == FROM_CALLER else at[source]
        if (t, place) not in sent:
            total += table.carry[t][here][place]
    for t in table.writes[operator]:
        if table.returned[t]:
            total += table.carry[t][place][table.caller]
    return total


def _upward_ranks(table: Tables) -> list[float]:
    """The mean cost of the dearest path from each operator to the end."""
    ranks = [0.0] * len(table.costs)
    for i in range(len(ranks) - 1, -1, -1):
        behind = 0.0
        for t in table.writes[i]:
            between = _mean_carry(table, t)
            behind = max([behind, *(between + ranks[j] for j in table.readers[t])])
        able = [table.costs[i][p] for p in table.allowed(i)]
        ranks[i] = behind + (sum(able) / len(able) if able else 0.0)
    return ranks


def _mean_carry(table: Tables, tensor: int) -> float:
    places = range(len(table.places))
    costs = [table.carry[tensor][p][q] for p in places for q in places]
    finite = [cost for cost in costs if cost < inf]
    return sum(finite) / len(finite)


def _by_rank(table: Tables, ranks: Sequence[float]) -> Order:
    """A topological order, the highest rank of what is ready first."""
    missing = [len(needs) for needs in table.needs]
    ready = [(-ranks[i], i) for i, count in enumerate(missing) if count == 0]
    heapify(ready)
    order = []
    while ready:
        _, i = heappop(ready)
        order.append(i)
        for j in table.needed_by[i]:
            missing[j] -= 1
            if missing[j] == 0:
                heappush(ready, (-ranks[j], j))
    return tuple(order)


def _ready_time(
    table: Tables, at: Sequence[int], ends: Sequence[float], operator: int, place: int
) -> float:
    """When all that an operator reads has reached a place."""
    latest = 0.0
    for t in table.reads[operator]:
        source = table.source[t]
        here = table.caller if source == FROM_CALLER else at[source]
        written = 0.0 if source == FROM_CALLER else ends[source]
        latest = max(latest, written + table.carry[t][here][place])
    for t in table.writes[operator]:
        if table.returned[t] and table.carry[t][place][table.caller] == inf:
            return inf
    return latest


def _gap(busy: Sequence[tuple[float, float]], earliest: float, duration: float) -> float:
    """The first time from ``earliest`` on at which a place is free for so long."""
    begin = earliest
    first = max(0, bisect_right(busy, (earliest, inf)) - 1)
    for start, end in islice(busy, first, None):
        if begin + duration <= start:
            break
        begin = max(begin, end)
    return begin
