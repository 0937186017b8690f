"""Minimum cuts: which operators move to one place, and the best of two places.

Each operator either stays where it is or moves to one given place, the target. What the placement
then costs is a sum of terms that are submodular (with a few exceptions, below), so the best such
move of all operators at once is a minimum cut: Boykov, Veksler and Zabih (2001, "Fast approximate
energy minimization via graph cuts"). A transfer that is paid once for all readers at a place gets
a node of its own. Where all operators are at one of two places and move to the other, this is the
exact minimum.

The exceptions: a transfer that is cheaper from the target than from where its source is now is
taken to cost the same, which is an upper bound; what is reached is always valued anew.

Launches are those of given neighbours: in an order all neighbours, each with weight 1; along a
path they are a lower bound of the launches of every order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long

from farm.plan.placement.tables import FROM_CALLER, At, Tables

_SOURCE, _SINK = 0, 1  # what stays is on the source's side
_MOST = 1 << 30  # of a capacity, in the integers of scipy's maximum flow

Pair = tuple[int, int, float]
"""Two operators, the first one before the other, and the weight of the launch between them."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The places after the best move, and what it costs at least, by these launches."""

    at: At
    bound: float


def order_pairs(order: Sequence[int]) -> list[Pair]:
    """The neighbours of an order, the first operator's launch included."""
    return [(i, j, 1.0) for i, j in zip((-1, *order), order, strict=False)]


def move_to(table: Tables, at: Sequence[int], target: int, launches: Sequence[Pair]) -> Moved:
    """The best that can be had by moving operators to a place.

    launches: an operator -1 before another one stands for the beginning of an order.
    """
    network = _Network(table, at, target)
    for i in range(len(at)):
        network.add_operator(i)
    for t in range(len(table.tensors)):
        network.add_tensor(t)
    for one, two, weight in launches:
        network.add_launch(one, two, weight)
    for number in range(len(table.groups)):
        network.add_group(number)
    return network.solve()


class _Network:
    """Costs as capacities. A node is on the sink's side where its operator moves."""

    def __init__(self, table: Tables, at: Sequence[int], target: int) -> None:
        self._table = table
        self._at = at
        self._target = target
        self._nodes = 2
        self._node = [_SINK if place == target else self._new() for place in at]
        self._sides: dict[int, tuple[float, float]] = {}  # what it costs to stay, and to move
        self._constant = 0.0
        self._edges: list[tuple[int, int, float]] = []

    def _new(self) -> int:
        self._nodes += 1
        return self._nodes - 1

    def add_operator(self, i: int) -> None:
        costs = self._table.costs[i]
        self._unary(self._node[i], costs[self._at[i]], costs[self._target])

    def add_tensor(self, t: int) -> None:
        """Where it goes, by the places where its readers are now."""
        table, source = self._table, self._table.source[t]
        here = table.caller if source == FROM_CALLER else self._at[source]
        node = _SOURCE if source == FROM_CALLER else self._node[source]
        carry = table.carry[t]
        readers: dict[int, list[int]] = {}
        for i in table.readers[t]:
            readers.setdefault(self._at[i], []).append(self._node[i])
        for place, nodes in readers.items():
            if place != self._target:
                stays = nodes[0] if len(nodes) == 1 else self._any_stays(nodes)
                self._edge(stays, _SINK, carry[here][place])
                dearer = carry[self._target][place] - carry[here][place]
                if dearer > 0.0 and node != _SOURCE:
                    self._edge(stays, node, dearer)
        if here != self._target:
            if self._target in readers:
                self._edge(node, _SINK, carry[here][self._target])
            elif readers:
                moving = [n for nodes in readers.values() for n in nodes]
                moves = moving[0] if len(moving) == 1 else self._any_moves(moving)
                self._edge(node, moves, carry[here][self._target])
        if table.returned[t]:
            self._unary(node, carry[here][table.caller], carry[self._target][table.caller])

    def add_launch(self, one: int, two: int, weight: float) -> None:
        """The launch of a part that begins with the second of two neighbours."""
        launch, place = self._table.launch, self._at[two]
        there = weight * launch[self._target]
        stays = weight * launch[place]
        if one < 0:
            self._unary(self._node[two], stays, there)
            return
        differ = stays if self._at[one] != place else 0.0
        self._unary(self._node[one], differ, stays if place != self._target else 0.0)
        if place != self._target:
            self._unary(self._node[two], 0.0, -stays)
        both = (there if self._at[one] != self._target else 0.0) - differ
        both += stays if place != self._target else 0.0
        self._edge(self._node[one], self._node[two], both)

    def add_group(self, number: int) -> None:
        """What a group saves that is whole already, or would be at the target."""
        group = self._table.groups[number]
        nodes = [self._node[i] for i in group.operators]
        self._constant -= group.saving
        if group.place == self._target:
            whole = self._new()
            self._edge(whole, _SINK, group.saving)
            for node in nodes:
                self._edge(node, whole, inf)
        elif all(self._at[i] == group.place for i in group.operators):
            whole = self._new()
            self._edge(_SOURCE, whole, group.saving)
            for node in nodes:
                self._edge(whole, node, inf)
        else:
            self._constant += group.saving

    def solve(self) -> Moved:
        edges = list(self._edges)
        constant = self._constant
        for node, (stays, moves) in self._sides.items():
            least = min(stays, moves)
            constant += least
            if least < inf:
                edges += [(_SOURCE, node, moves - least), (node, _SINK, stays - least)]
        rows = np.array([edge[0] for edge in edges], dtype=np.int64)
        columns = np.array([edge[1] for edge in edges], dtype=np.int64)
        amounts = np.array([edge[2] for edge in edges])
        total = float(amounts[np.isfinite(amounts)].sum())
        scale = (_MOST / 2) / total if total > 0.0 else 1.0  # no finite cut is above half of it
        whole = np.minimum(np.floor(amounts * scale), _MOST).astype(np.int64)
        shape = (self._nodes, self._nodes)
        summed = scipy.sparse.coo_array((whole, (rows, columns)), shape=shape).tocsr()
        capacities = np.minimum(summed.data, _MOST).astype(np.int32)
        graph = scipy.sparse.csr_array((capacities, summed.indices, summed.indptr), shape=shape)
        result = scipy.sparse.csgraph.maximum_flow(graph, _SOURCE, _SINK)
        left = scipy.sparse.csr_array(graph - result.flow)
        left.data = np.maximum(left.data, 0)
        left.eliminate_zeros()
        reached = scipy.sparse.csgraph.breadth_first_order(
            left, _SOURCE, return_predecessors=False
        )
        staying = set(reached.tolist())
        at = tuple(
            place if node in staying else self._target
            for node, place in zip(self._node, self._at, strict=True)
        )
        return Moved(at, constant + float(result.flow_value) / scale)

    def _any_stays(self, nodes: Sequence[int]) -> int:
        """A node that stays if any of these does."""
        found = self._new()
        for node in nodes:
            self._edge(node, found, inf)
        return found

    def _any_moves(self, nodes: Sequence[int]) -> int:
        """A node that moves if any of these does."""
        found = self._new()
        for node in nodes:
            self._edge(found, node, inf)
        return found

    def _unary(self, node: int, stays: float, moves: float) -> None:
        """Costs of a node on either side; of one whose side is known a constant."""
        if node == _SINK:
            self._constant += moves
        elif node == _SOURCE:
            self._constant += stays
        else:
            known = self._sides.get(node, (0.0, 0.0))
            self._sides[node] = (known[0] + stays, known[1] + moves)

    def _edge(self, one: int, two: int, amount: float) -> None:
        """What it costs that the first is on the source's side and the second is not."""
        if amount > 0.0 and one not in (two, _SINK) and two != _SOURCE:
            self._edges.append((one, two, amount))
