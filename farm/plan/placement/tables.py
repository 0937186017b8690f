"""A placement problem by number, as the solvers need it: names are looked up once."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from farm.plan.placement.problem import CALLER, PlacementObjective, Problem

At = tuple[int, ...]
"""The place of each operator, by number."""
Order = tuple[int, ...]
"""Operators by number, in the order in which they run."""
_Links = tuple[tuple[tuple[float, float], ...], ...]
FROM_CALLER = -1
"""In place of the number of the operator that writes a tensor: the caller gives it."""


@dataclass(frozen=True, slots=True)
class Group:
    """A fused group by number. mask: of the operators' bits."""

    operators: tuple[int, ...]
    mask: int
    place: int
    saving: float


@dataclass(frozen=True, slots=True)
class Tables:
    """Operators, places, tensors and weights by number; the caller is the place after the last.

    costs: [operator][place], infinite where the place cannot run it. reads, writes: tensors of
    each operator, each once. needs, needed_by: operators before and after each operator.
    source: of each tensor the operator that writes it, or FROM_CALLER. readers: of each tensor.
    returned: whether a tensor goes to the caller. carry: [tensor][from][to], infinite where there
    is no link, 0 from a place to itself. links: [from][to], latency and cost of a byte.
    held: the weights that each operator reads. capacities: infinite for no limit.
    group_of: [operator][place], -1 where it is in no group there. shares: [operator][place], what
    its group saves, divided among its operators by what they cost: none costs less than nothing.
    """

    names: tuple[str, ...]
    places: tuple[str, ...]
    costs: tuple[tuple[float, ...], ...]
    reads: tuple[tuple[int, ...], ...]
    writes: tuple[tuple[int, ...], ...]
    needs: tuple[tuple[int, ...], ...]
    needed_by: tuple[tuple[int, ...], ...]
    tensors: tuple[str, ...]
    sizes: tuple[int, ...]
    source: tuple[int, ...]
    readers: tuple[tuple[int, ...], ...]
    returned: tuple[bool, ...]
    carry: tuple[tuple[tuple[float, ...], ...], ...]
    links: _Links
    launch: tuple[float, ...]
    held: tuple[tuple[int, ...], ...]
    weight_sizes: tuple[int, ...]
    capacities: tuple[float, ...]
    groups: tuple[Group, ...]
    group_of: tuple[tuple[int, ...], ...]
    shares: tuple[tuple[float, ...], ...]
    objective: PlacementObjective

    @property
    def caller(self) -> int:
        """The number of the caller among the places."""
        return len(self.places)

    @property
    def additive(self) -> bool:
        """Whether the objective adds up all costs."""
        return self.objective in (PlacementObjective.LATENCY, PlacementObjective.ENERGY)

    @property
    def limited(self) -> bool:
        """Whether a place has a capacity."""
        return any(capacity < inf for capacity in self.capacities)

    def assignment(self, at: At) -> dict[str, str]:
        """By name."""
        return {name: self.places[place] for name, place in zip(self.names, at, strict=True)}

    def allowed(self, operator: int) -> tuple[int, ...]:
        """The places that can run an operator."""
        return tuple(p for p, cost in enumerate(self.costs[operator]) if cost < inf)


def tables(problem: Problem) -> Tables:
    """A problem by number, in the problem's order."""
    number = {op.name: i for i, op in enumerate(problem.operators)}
    places = tuple(place.name for place in problem.places)
    tensors = (*problem.inputs, *(name for op in problem.operators for name in op.outputs))
    tensor = {name: i for i, name in enumerate(tensors)}
    weights = tuple(problem.weight_sizes)
    weight = {name: i for i, name in enumerate(weights)}
    source = [FROM_CALLER] * len(problem.inputs)
    source += [number[op.name] for op in problem.operators for _ in op.outputs]
    reads = [tuple(dict.fromkeys(tensor[name] for name in op.inputs)) for op in problem.operators]
    readers: list[list[int]] = [[] for _ in tensors]
    for i, read in enumerate(reads):
        for t in read:
            readers[t].append(i)
    needs = [tuple(sorted({source[t] for t in read} - {FROM_CALLER})) for read in reads]
    needed_by: list[list[int]] = [[] for _ in reads]
    for i, before in enumerate(needs):
        for j in before:
            needed_by[j].append(i)
    sizes = tuple(int(problem.sizes[name]) for name in tensors)
    groups = _groups(problem, number)
    links = _links(problem)
    costs = tuple(tuple(op.costs.get(p, inf) for p in places) for op in problem.operators)
    group_of = [[-1] * len(places) for _ in reads]
    shares = [[0.0] * len(places) for _ in reads]
    for g, group in enumerate(groups):
        total = sum(costs[i][group.place] for i in group.operators)
        for i in group.operators:
            group_of[i][group.place] = g
            shares[i][group.place] = group.saving * (costs[i][group.place] / total)
    outputs = {tensor[name] for name in problem.outputs}
    return Tables(
        names=tuple(number),
        places=places,
        costs=costs,
        reads=tuple(reads),
        writes=tuple(tuple(tensor[name] for name in op.outputs) for op in problem.operators),
        needs=tuple(needs),
        needed_by=tuple(map(tuple, needed_by)),
        tensors=tensors,
        sizes=sizes,
        source=tuple(source),
        readers=tuple(map(tuple, readers)),
        returned=tuple(t in outputs and s != FROM_CALLER for t, s in enumerate(source)),
        carry=_carry(links, sizes),
        links=links,
        launch=tuple(place.launch for place in problem.places),
        held=tuple(tuple({weight[name]: 0 for name in op.weights}) for op in problem.operators),
        weight_sizes=tuple(int(problem.weight_sizes[name]) for name in weights),
        capacities=tuple(inf if p.capacity is None else p.capacity for p in problem.places),
        groups=groups,
        group_of=tuple(map(tuple, group_of)),
        shares=tuple(map(tuple, shares)),
        objective=problem.objective,
    )


def _groups(problem: Problem, number: dict[str, int]) -> tuple[Group, ...]:
    places = [place.name for place in problem.places]
    found = []
    for group in problem.groups:
        operators = tuple(sorted(number[name] for name in group.operators))
        able = all(problem.operators[i].costs.get(group.place, inf) < inf for i in operators)
        if operators and able and group.saving > 0.0:
            mask = sum(1 << i for i in operators)
            found.append(Group(operators, mask, places.index(group.place), group.saving))
    return tuple(found)


def _links(problem: Problem) -> _Links:
    ends = [*(place.name for place in problem.places), CALLER]
    rows = []
    for one in ends:
        row = []
        for two in ends:
            link = problem.links.get((one, two))
            here = (0.0, 0.0) if one == two else (inf, 0.0)
            if link is not None and one != two:
                here = (link.latency, link.per_byte + link.convert_per_byte)
            row.append(here)
        rows.append(tuple(row))
    return tuple(rows)


def _carry(links: _Links, sizes: tuple[int, ...]) -> tuple[tuple[tuple[float, ...], ...], ...]:
    of_size = {
        size: tuple(
            tuple(latency + (per_byte * size if size else 0.0) for latency, per_byte in row)
            for row in links
        )
        for size in set(sizes)
    }
    return tuple(of_size[size] for size in sizes)
