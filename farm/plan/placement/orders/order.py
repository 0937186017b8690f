"""The sorted order of an assignment: operators of one place side by side, so that parts are few.

List scheduling that stays at a place as long as an operator there is ready; where it has to leave,
it tries every place that has ready operators, and keeps the most promising ways (a beam). To run
what is ready at the present place is never worse where only launches count: an order that runs it
later has as many parts or more. A fused group breaks this rule, so one that the part cannot finish
is also held back for a later part.

A way is judged by its launches so far and by what must still be launched along the dearest path of
operators that are left: on a path each change of place begins a part in every order.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from farm.plan.placement.tables import Group, Order, Tables

_STEPS = 400_000  # operators that one call may schedule, all ways together, for ways beyond one
_WIDEST = 512  # ways kept


def sorted_order(tables: Tables, at: Sequence[int], given: Sequence[int]) -> Order:
    """A topological order with few launches, each worth its cost, and many whole groups.

    given: a topological order; the answer is never worse than it.
    """
    search = _Search(tables, at, given)
    found = search.run()
    if found is None or order_cost(tables, at, given) <= order_cost(tables, at, found):
        return tuple(given)
    return found


def order_cost(tables: Tables, at: Sequence[int], order: Sequence[int]) -> float:
    """The launches of an order's parts less what its whole groups save."""
    part, total = [0] * len(at), 0.0
    for number, (place, run) in enumerate(groupby(order, key=at.__getitem__)):
        total += tables.launch[place]
        for i in run:
            part[i] = number
    for group in tables.groups:
        first = part[group.operators[0]]
        if all(at[i] == group.place and part[i] == first for i in group.operators):
            total -= group.saving
    return total


def least_launches(tables: Tables, at: Sequence[int]) -> float:
    """What all orders launch at least: along one path, and at each place in use once."""
    tails = launches_behind(tables, at)
    path = max((tables.launch[at[i]] + tail for i, tail in enumerate(tails)), default=0.0)
    return max(path, sum(tables.launch[place] for place in set(at)))


def launches_behind(tables: Tables, at: Sequence[int]) -> list[float]:
    """What the dearest path that begins at each operator launches after it."""
    tails = [0.0] * len(at)
    for i in range(len(at) - 1, -1, -1):
        for j in tables.needed_by[i]:
            further = tails[j] + (tables.launch[at[j]] if at[j] != at[i] else 0.0)
            tails[i] = max(tails[i], further)
    return tails


@dataclass(slots=True)
class _Way:
    """Some operators run.

    missing: how many operators each one still waits for. ready: by place, heaps of ranks.
    lost: groups that cannot be whole any more. cost: of launches, and of the savings lost.
    run: the operators of the last part. least: no continuation costs less.
    """

    missing: list[int]
    ready: list[list[int]]
    done: int
    lost: frozenset[int]
    cost: float
    place: int
    run: list[int]
    before: _Way | None
    least: float = 0.0


class _Search:
    """One beam search. Operators are known by their rank in the given order."""

    def __init__(self, tables: Tables, at: Sequence[int], given: Sequence[int]) -> None:
        self._tables = tables
        self._given = given
        rank = [0] * len(at)
        for k, i in enumerate(given):
            rank[i] = k
        self._place = [at[i] for i in given]
        self._next = [[rank[j] for j in tables.needed_by[i]] for i in given]
        behind = launches_behind(tables, at)
        self._behind = [behind[i] for i in given]
        whole = [g for g in tables.groups if all(at[i] == g.place for i in g.operators)]
        self._groups = [_ranked(group, rank) for group in whole]
        self._group_of = {i: g for g, group in enumerate(self._groups) for i in group.operators}
        self._width = max(1, min(_WIDEST, _STEPS // max(1, 2 * len(given))))

    def run(self) -> Order | None:
        best: _Way | None = None
        ways = [self._start()]
        while ways:
            longer: dict[tuple[int, int], _Way] = {}
            for way in ways:
                for further in self._continued(way):
                    key = (further.done, further.place)
                    rival = longer.get(key)
                    if rival is None or further.cost < rival.cost:
                        longer[key] = further
            finished = [way for way in longer.values() if not any(way.ready)]
            best = min([*([best] if best else []), *finished], key=lambda w: w.cost, default=None)
            open_ = [
                way
                for way in longer.values()
                if any(way.ready) and (best is None or way.least < best.cost)
            ]
            open_.sort(key=lambda way: (way.least, -way.done.bit_count()))
            ways = open_[: self._width]
        return None if best is None else self._traced(best)

    def _start(self) -> _Way:
        missing = [len(self._tables.needs[i]) for i in self._given]
        ready: list[list[int]] = [[] for _ in self._tables.places]
        for k, count in enumerate(missing):
            if count == 0:
                ready[self._place[k]].append(k)
        return _Way(missing, ready, 0, frozenset(), 0.0, -1, [], None)

    def _continued(self, way: _Way) -> list[_Way]:
        found = []
        for place, ready in enumerate(way.ready):
            if not ready or place == way.place:
                continue
            part = self._part(way, place, frozenset())
            found.append(part)
            held = part.lost - way.lost
            if held:
                shorter = self._part(way, place, held)
                while more := shorter.lost - way.lost:
                    held |= more
                    shorter = self._part(way, place, held)
                if shorter.run:
                    found.append(shorter)
        return found

    def _part(self, way: _Way, place: int, held: frozenset[int]) -> _Way:
        """What is ready at a place, and becomes so, but for the groups that are held back."""
        missing, ready = way.missing.copy(), [list(heap) for heap in way.ready]
        heap, kept, run, done = ready[place], [], [], way.done
        while heap:
            k = heapq.heappop(heap)
            if self._group_of.get(k, -1) in held:
                kept.append(k)
                continue
            run.append(k)
            done |= 1 << k
            for j in self._next[k]:
                missing[j] -= 1
                if missing[j] == 0:
                    heapq.heappush(ready[self._place[j]], j)
        ready[place] = kept
        cost = way.cost + self._tables.launch[place]
        part = _Way(missing, ready, done, way.lost, cost, place, run, way)
        broken = self._unfinished(part)
        part.lost |= broken
        part.cost += sum(self._groups[g].saving for g in broken)
        part.least = part.cost + self._ahead(part)
        return part

    def _unfinished(self, way: _Way) -> frozenset[int]:
        """Groups that the last part has begun and not finished."""
        begun = {self._group_of[k] for k in way.run if k in self._group_of} - way.lost
        inside = set(way.run)
        return frozenset(g for g in begun if not inside.issuperset(self._groups[g].operators))

    def _ahead(self, way: _Way) -> float:
        """What is launched after a part, at least."""
        return max(
            (
                self._behind[k] + (self._tables.launch[place] if place != way.place else 0.0)
                for place, heap in enumerate(way.ready)
                for k in heap
            ),
            default=0.0,
        )

    def _traced(self, way: _Way) -> Order:
        runs = []
        here: _Way | None = way
        while here is not None:
            runs.append(here.run)
            here = here.before
        return tuple(self._given[k] for run in reversed(runs) for k in run)


def _ranked(group: Group, rank: Sequence[int]) -> Group:
    operators = tuple(rank[i] for i in group.operators)
    return Group(operators, sum(1 << k for k in operators), group.place, group.saving)
