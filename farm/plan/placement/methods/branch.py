"""Branch and bound over assignments, exact for graphs of few operators.

Operators get their places in topological order. A branch ends where its bound is no less than the
best value known: what its operators cost so far, with every fused group that is still possible,
the least of the operators that are left, and the launches that every order has (of the dearest
path, and of each place in use once).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

from farm.plan.placement.methods.certain import CertainLoads
from farm.plan.placement.orders.best_order import best_order, least_load
from farm.plan.placement.problem import PlacementObjective
from farm.plan.placement.tables import FROM_CALLER, At, Order, Tables


@dataclass(frozen=True, slots=True)
class Branched:
    """at, order: None and empty where nothing better than the start was found.

    bound: no placement has less, or none has less than the start. complete: not stopped before.
    """

    at: At | None
    order: Order
    value: float
    bound: float
    complete: bool


def branch_and_bound(
    table: Tables, below: float, stop: Callable[[], bool], most: int = 1 << 62
) -> Branched:
    """The best placement, if its value is less than ``below``.

    stop: ends the search when it returns true. most: branches looked at.
    """
    search = _Branches(table, below, stop, most)
    nothing = (0,) * len(table.places)
    search.go(0, _Node((0.0,) * len(nothing), 0, 0.0, nothing, nothing))
    bound = search.best if search.complete else search.root
    return Branched(
        search.at,
        search.order,
        search.best,
        max(search.root, min(bound, search.unproven, search.best)),
        search.complete,
    )


@dataclass(frozen=True, slots=True)
class _Node:
    """The first operators placed.

    sums: costs of each place. broken: groups that cannot be whole any more, as bits. path:
    launches of the dearest path. shares: bytes of tensors that each place holds in one step, at
    least. weights: bytes of weights that each place holds.
    """

    sums: tuple[float, ...]
    broken: int
    path: float
    shares: tuple[int, ...]
    weights: tuple[int, ...]


class _Branches:
    def __init__(self, table: Tables, below: float, stop: Callable[[], bool], most: int) -> None:
        self._table = table
        self._stop = stop
        self._most = most
        self._memory = table.objective is PlacementObjective.PEAK_MEMORY
        self._at = [-1] * len(table.costs)
        self._runs = [0.0] * len(table.costs)
        self._rest = _least_left(table)
        self._unread = _unread_weights(table)
        self._peak = least_load(table, stop) if self._memory else 0
        self._certain = CertainLoads(table)
        self.best, self.unproven, self.root = below, inf, 0.0
        self.at: At | None = None
        self.order: Order = ()
        self.complete = True
        self._visited = 0

    def go(self, operator: int, node: _Node) -> None:
        """Everything behind a node."""
        self._visited += 1
        if self._visited > self._most or self._stop():
            self.complete = False
            return
        if operator == len(self._at):
            self._finish()
            return
        branches = []
        for place in self._table.allowed(operator):
            further = self._placed(node, operator, place)
            if further is not None:
                bound = self._bound(further, operator + 1)
                branches.append((bound, place, further))
        branches.sort(key=lambda branch: branch[:2])
        if operator == 0:
            self.root = branches[0][0] if branches else inf
        for bound, place, further in branches:
            if bound >= self.best or not self.complete:
                return
            self._at[operator] = place
            self._runs[operator] = self._run(operator, place)
            if not self._memory or self._held_for_certain(further, operator + 1) < self.best:
                self.go(operator + 1, further)
            self._at[operator] = -1

    def _held_for_certain(self, node: _Node, placed: int) -> float:
        """A better bound of bytes, which takes longer to find."""
        weights = sum(node.weights) + self._unread[placed]
        return float(weights + sum(self._certain.of(self._at)))

    def _finish(self) -> None:
        at = tuple(self._at)
        found = best_order(self._table, at, self.best, self._stop)
        if found.order is not None:
            self.at, self.order, self.best = at, found.order, found.value
        if found.bound < (self.best if found.order is None else found.value):
            self.unproven = min(self.unproven, found.bound)

    def _placed(self, node: _Node, operator: int, place: int) -> _Node | None:
        """A node with one operator more; None where its place cannot hold or reach it."""
        table, sums = self._table, list(node.sums)
        sums[place] += table.costs[operator][place] + self._transfers(operator, place)
        broken = node.broken
        for other, number in enumerate(table.group_of[operator]):
            if number < 0 or broken >> number & 1:
                continue
            group = table.groups[number]
            if other == place:
                sums[place] -= table.shares[operator][place]
            else:
                broken |= 1 << number
                sums[other] += sum(table.shares[i][other] for i in group.operators if i < operator)
        if sums[place] == inf:
            return None
        path = max(node.path, self._run(operator, place))
        further = replace(node, sums=tuple(sums), broken=broken, path=path)
        return self._held(further, operator, place)

    def _held(self, node: _Node, operator: int, place: int) -> _Node | None:
        """A node with what its place has to hold for one operator more."""
        table = self._table
        if not self._memory and not table.limited:
            return node
        touched = {*table.reads[operator], *table.writes[operator]}
        shares, weights = list(node.shares), list(node.weights)
        shares[place] = max(shares[place], sum(table.sizes[t] for t in touched))
        weights[place] += sum(
            table.weight_sizes[w]
            for w in table.held[operator]
            if not any(w in table.held[i] and self._at[i] == place for i in range(operator))
        )
        if shares[place] + weights[place] > table.capacities[place]:
            return None
        return replace(node, shares=tuple(shares), weights=tuple(weights))

    def _transfers(self, operator: int, place: int) -> float:
        """Of what an operator reads that is not at its place yet, and of what the caller gets."""
        table, total = self._table, 0.0
        for t in table.reads[operator]:
            source = table.source[t]
            here = table.caller if source == FROM_CALLER else self._at[source]
            if not any(self._at[i] == place for i in table.readers[t] if i < operator):
                total += table.carry[t][here][place]
        for t in table.writes[operator]:
            if table.returned[t]:
                total += table.carry[t][place][table.caller]
        return total

    def _run(self, operator: int, place: int) -> float:
        """Launches of the dearest path that ends at an operator."""
        launch = self._table.launch[place]
        return max(
            (
                self._runs[j] + (launch if self._at[j] != place else 0.0)
                for j in self._table.needs[operator]
            ),
            default=launch,
        )

    def _bound(self, node: _Node, placed: int) -> float:
        rest = self._rest[placed]
        if self._memory:
            weights = sum(node.weights) + self._unread[placed]
            return float(weights + max(self._peak, sum(node.shares)))
        used = [
            launch if s else 0.0 for launch, s in zip(self._table.launch, node.sums, strict=True)
        ]
        if self._table.objective is PlacementObjective.THROUGHPUT:
            launched = [s + once for s, once in zip(node.sums, used, strict=True)]
            return max(*launched, (sum(launched) + rest) / len(launched))
        return sum(node.sums) + rest + max(node.path, sum(used))


def _unread_weights(table: Tables) -> list[int]:
    """Bytes of the weights that only the operators from each one on read."""
    unread = [0] * (len(table.costs) + 1)
    for w, size in enumerate(table.weight_sizes):
        first = min((i for i, held in enumerate(table.held) if w in held), default=-1)
        for i in range(first + 1):
            unread[i] += size
    return unread


def _least_left(table: Tables) -> list[float]:
    """What the operators from each one on cost at least, with all that groups may save."""
    rest = [0.0] * (len(table.costs) + 1)
    for i in range(len(table.costs) - 1, -1, -1):
        costs = zip(table.costs[i], table.shares[i], strict=True)
        rest[i] = rest[i + 1] + min(cost - share for cost, share in costs)
    return rest
