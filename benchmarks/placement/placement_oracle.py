"""The best placement by brute force: all assignments, and of each all topological orders.

Nothing of the planner's solvers is used, only the words of its model of cost.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from math import inf

from farm.plan.memory.arena import plan_memory
from farm.plan.memory.problem import Buffer
from farm.plan.memory.problem import Problem as MemoryProblem
from farm.plan.placement.problem import (
    CALLER,
    PlacementObjective,
    Problem,
    producers,
    readers,
)

Assignment = dict[str, str]
_Way = tuple[tuple[float, ...], tuple[int, ...]]  # costs by place, and the order so far


def best_value(problem: Problem, below: float = inf) -> float:
    """The least value of all that keeps all limits, or what it is to be below if nothing is.

    below: of a placement that is known to be valid, so that less has to be looked at. Assignments
    are given up where what their first operators cost, by themselves, is not below the best.
    """
    best = below
    chosen: Assignment = {}

    def further(index: int) -> None:
        nonlocal best
        sums = costs_without_order(problem, chosen)
        if inf in sums.values() or least(problem, chosen, sums) >= best:
            return
        if index == len(problem.operators):
            best = min(best, _Orders(problem, chosen, sums).best(best))
            return
        op = problem.operators[index]
        for place in op.costs:
            chosen[op.name] = place
            further(index + 1)
            del chosen[op.name]

    further(0)
    return best


def costs_without_order(problem: Problem, assignment: Assignment) -> dict[str, float]:
    """What each place's operators and transfers cost, of the operators that have a place."""
    sums = {place.name: 0.0 for place in problem.places}
    for op in problem.operators:
        if op.name in assignment:
            sums[assignment[op.name]] += op.costs[assignment[op.name]]
    written_by, read_by = producers(problem), readers(problem)
    for name, size in problem.sizes.items():
        if name in written_by and written_by[name] not in assignment:
            continue
        source = assignment[written_by[name]] if name in written_by else CALLER
        targets = {assignment[reader] for reader in read_by[name] if reader in assignment}
        for target in targets - {source}:
            link = problem.links.get((source, target))
            sums[target] += inf if link is None else link.cost(size)
        if name in problem.outputs and source != CALLER:
            link = problem.links.get((source, CALLER))
            sums[source] += inf if link is None else link.cost(size)
    return sums


def least(problem: Problem, assignment: Assignment, sums: dict[str, float]) -> float:
    """What no order can undercut, and can be seen at once, of the operators that have a place."""
    used = set(assignment.values())
    if problem.objective is PlacementObjective.PEAK_MEMORY:
        return float(sum(least_held(problem, assignment, place) for place in used))
    sums = dict(sums)
    for place in problem.places:
        sums[place.name] += place.launch if place.name in used else 0.0
    for group in problem.groups:
        if all(assignment.get(name, group.place) == group.place for name in group.operators):
            sums[group.place] -= group.saving
    if problem.objective is PlacementObjective.THROUGHPUT:
        return max(sums.values())
    return sum(sums.values()) + sum(
        min(op.costs.values()) for op in problem.operators if op.name not in assignment
    )


def least_held(problem: Problem, assignment: Assignment, place: str) -> int:
    """The weights of a place, and the most that one of its operators reads and writes."""
    here = [op for op in problem.operators if assignment.get(op.name) == place]
    weights = {name for op in here for name in op.weights}
    touched = [sum(problem.sizes[t] for t in {*op.inputs, *op.outputs}) for op in here]
    return sum(problem.weight_sizes[name] for name in weights) + max(touched)


class _Orders:
    """All topological orders of one assignment."""

    def __init__(self, problem: Problem, assignment: Assignment, sums: dict[str, float]) -> None:
        self.problem = problem
        self.sums = sums
        self.operators = problem.operators
        self.place = [assignment[op.name] for op in problem.operators]
        number = {op.name: i for i, op in enumerate(problem.operators)}
        self.written_by = {t: number[name] for t, name in producers(problem).items()}
        self.read_by = {t: [number[n] for n in names] for t, names in readers(problem).items()}
        self.needs = [
            {self.written_by[t] for t in op.inputs if t in self.written_by}
            for op in problem.operators
        ]
        self.launch = {place.name: place.launch for place in problem.places}
        self.capacity = {place.name: place.capacity for place in problem.places}
        self.weights = {
            place.name: sum(
                problem.weight_sizes[w]
                for w in {
                    w
                    for i, op in enumerate(problem.operators)
                    if self.place[i] == place.name
                    for w in op.weights
                }
            )
            for place in problem.places
        }
        self.groups = [
            (frozenset(number[name] for name in g.operators), g.place, g.saving)
            for g in problem.groups
            if all(assignment[name] == g.place for name in g.operators)
        ]
        self.fused = frozenset(i for members, _, _ in self.groups for i in members)
        self.loads: dict[tuple[frozenset[int], int], tuple[float, ...]] = {}
        self.is_peak = problem.objective is PlacementObjective.PEAK_MEMORY
        self.counts_memory = problem.objective is PlacementObjective.PEAK_MEMORY or any(
            capacity is not None for capacity in self.capacity.values()
        )

    def best(self, below: float) -> float:
        """The least value, if it is below; otherwise what is given.

        What the fullest step of an order has is what its arenas have, nearly always. Where the
        best order's need more, all orders are looked at.
        """
        if any(c is not None and self.weights[p] > c for p, c in self.capacity.items()):
            return below
        ends = sorted((self._worth(vector), order) for vector, order in self._ends())
        if not ends or ends[0][0] >= below:
            return below
        bound, order = ends[0]
        found = self._planned(order, bound)
        if found <= bound:
            return found
        below = min(below, found)
        for order in self._all(()):
            below = min(below, self._planned(order, self._value(order)))
        return below

    def _ends(self) -> list[tuple[tuple[float, ...], tuple[int, ...]]]:
        """Costs by place and order of all that may be best, one down-set after another."""
        names = list(self.launch)
        level: dict[tuple[frozenset[int], str, frozenset[int]], list[_Way]] = {
            (frozenset(), "", frozenset()): [((0.0,) * len(names), ())]
        }
        for _ in self.operators:
            longer: dict[tuple[frozenset[int], str, frozenset[int]], list[_Way]] = {}
            for (done, last, part), ways in level.items():
                for i in self._ready(done):
                    loads = self._loads(done, i)
                    if self._is_full(loads):
                        continue
                    place = self.place[i]
                    inside = part if place == last else frozenset()
                    inside |= frozenset({i}) & self.fused
                    key = (done | {i}, place, inside)
                    for vector, order in ways:
                        if self.is_peak:
                            changed = tuple(map(max, vector, loads))
                        else:
                            change = self._begun(last, part, place, names)
                            changed = tuple(a + b for a, b in zip(vector, change, strict=True))
                        _keep(longer.setdefault(key, []), (changed, (*order, i)))
            level = longer
        return [
            (
                vector
                if self.is_peak
                else tuple(
                    v - (self._saved(part, n) if n == last else 0)
                    for v, n in zip(vector, names, strict=True)
                ),
                order,
            )
            for (_, last, part), ways in level.items()
            for vector, order in ways
        ]

    def _begun(self, last: str, part: frozenset[int], place: str, names: list[str]) -> list[float]:
        """What it costs each place that an operator of ``place`` follows a part of ``last``."""
        if place == last:
            return [0.0] * len(names)
        return [
            (self.launch[name] if name == place else 0.0)
            - (self._saved(part, name) if name == last else 0.0)
            for name in names
        ]

    def _saved(self, part: frozenset[int], place: str) -> float:
        return sum(s for members, p, s in self.groups if p == place and members <= part)

    def _worth(self, vector: tuple[float, ...]) -> float:
        if self.is_peak:
            return sum(vector) + sum(self.weights.values())
        sums = [a + b for a, b in zip(self.sums.values(), vector, strict=True)]
        is_largest = self.problem.objective is PlacementObjective.THROUGHPUT
        return max(sums) if is_largest else sum(sums)

    def _value(self, order: tuple[int, ...]) -> float:
        """Of an order, memory apart."""
        if self.is_peak:
            return 0.0
        vector = dict.fromkeys(self.launch, 0.0)
        for place, run in groupby(order, key=self.place.__getitem__):
            vector[place] += self.launch[place] - self._saved(frozenset(run), place)
        return self._worth(tuple(vector.values()))

    def _planned(self, order: tuple[int, ...], value: float) -> float:
        """The value of an order with its arenas planned; infinite where a place is too small."""
        if not self.counts_memory:
            return value
        needs = {p: self.weights[p] + self._arena(order, p) for p in self.launch}
        if any(c is not None and needs[p] > c for p, c in self.capacity.items()):
            return inf
        return float(sum(needs.values())) if self.is_peak else value

    def _all(self, order: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if len(order) == len(self.operators):
            yield order
        for i in self._ready(frozenset(order)):
            if not self._is_full(self._loads(frozenset(order), i)):
                yield from self._all((*order, i))

    def _ready(self, done: frozenset[int]) -> list[int]:
        return [i for i, needs in enumerate(self.needs) if i not in done and needs <= done]

    def _is_full(self, loads: tuple[float, ...]) -> bool:
        return any(
            c is not None and load + self.weights[p] > c
            for (p, c), load in zip(self.capacity.items(), loads, strict=True)
        )

    def _loads(self, done: frozenset[int], i: int) -> tuple[float, ...]:
        """Bytes at each place in the step of an operator, after those that are done."""
        if not self.counts_memory:
            return (0.0,) * len(self.launch)
        key = (done, i)
        if key not in self.loads:
            left = [j for j in range(len(self.operators)) if j not in done and j != i]
            order = (*sorted(done), i, *left)  # no valid order, but each stands on its side
            self.loads[key] = tuple(
                float(
                    sum(
                        self.problem.sizes[t]
                        for t, (start, end) in self._lives(order, p).items()
                        if start <= len(done) < end
                    )
                )
                for p in self.launch
            )
        return self.loads[key]

    def _lives(self, order: tuple[int, ...], place: str) -> dict[str, tuple[int, int]]:
        """First step, and step after the last, of the tensors at a place."""
        step = {i: k for k, i in enumerate(order)}
        found = {}
        for t, read_by in self.read_by.items():
            writer = self.written_by.get(t)
            start = step[writer] if writer is not None else 0
            ends = [step[i] for i in read_by if self.place[i] == place]
            if writer is not None and self.place[writer] == place:
                ends.append(start)
                others = {self.place[i] for i in read_by} - {place}
                ends += [min(step[i] for i in read_by if self.place[i] == q) for q in others]
                ends += [len(order)] if t in self.problem.outputs else []
            if ends:
                found[t] = (start, max(ends) + 1)
        return found

    def _arena(self, order: tuple[int, ...], place: str) -> int:
        buffers = tuple(
            Buffer(t, start, end, self.problem.sizes[t])
            for t, (start, end) in self._lives(order, place).items()
        )
        return plan_memory(MemoryProblem(buffers), seconds=5.0, nodes=20_000).height


def _keep(ways: list[_Way], way: _Way) -> None:
    """Keep what no other undercuts everywhere."""
    if not any(all(a <= b for a, b in zip(w[0], way[0], strict=True)) for w in ways):
        ways.append(way)


def least_order_cost(problem: Problem, assignment: Assignment) -> float:
    """Launches less what groups save, of the best of all orders; limits do not count."""
    free = replace(
        problem,
        places=tuple(replace(place, capacity=None) for place in problem.places),
        objective=PlacementObjective.LATENCY,
    )
    nothing = dict.fromkeys((place.name for place in problem.places), 0.0)
    return _Orders(free, assignment, nothing).best(inf)


def shortest_path(problem: Problem) -> float:
    """The least sum of costs of a chain whose groups are pairs: a path from caller to caller.

    A node is a step and a place; an edge costs what follows the step: transfer, launch and the
    next operator. An edge can save more than it costs, so all are relaxed until nothing changes
    (Bellman and Ford).
    """
    edges = _edges(problem)
    cost = {(-1, CALLER): 0.0}
    changed = True
    while changed:
        changed = False
        for one, two, more in edges:
            if cost.get(one, inf) + more < cost.get(two, inf):
                cost[two] = cost[one] + more
                changed = True
    return cost.get((len(problem.operators), CALLER), inf)


_Node = tuple[int, str]  # a step and the place of its operator


def _edges(problem: Problem) -> list[tuple[_Node, _Node, float]]:
    saved = {(g.place, g.operators): g.saving for g in problem.groups}
    found: list[tuple[_Node, _Node, float]] = []
    before = [CALLER]
    for step, op in enumerate(problem.operators):
        for target in problem.places:
            for place in before:
                further = op.costs.get(target.name, inf)
                if target.name != place:
                    link = problem.links[place, target.name]
                    further += link.cost(problem.sizes[op.inputs[0]]) + target.launch
                else:
                    pair = frozenset((problem.operators[step - 1].name, op.name))
                    further -= saved.get((place, pair), 0.0)
                found.append(((step - 1, place), (step, target.name), further))
        before = [place.name for place in problem.places]
    last, size = len(problem.operators) - 1, problem.sizes[problem.outputs[0]]
    return [
        *found,
        *(
            ((last, name), (last + 1, CALLER), problem.links[name, CALLER].cost(size))
            for name in before
        ),
    ]
