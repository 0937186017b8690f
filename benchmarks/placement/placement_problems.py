"""Placement problems: random ones with every cost, chains, and layers of many operators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from random import Random

from farm.model.graph import Graph, TensorKind
from farm.plan.placement.problem import (
    CALLER,
    FusedGroup,
    Link,
    Place,
    PlacedOperator,
    PlacementObjective,
    Problem,
)
from farm.units import Bytes

MICRO = 1e-6
SPEEDS = {"cpu": (60e9, 12e9), "gpu": (240e9, 40e9), "npu": (400e9, 8e9)}
"""Of three places: floating-point operations and bytes a second, of the roofline."""


@dataclass(frozen=True, slots=True)
class Kind:
    """How costs are drawn: the largest factor of an operator's cost, and microseconds of links."""

    spread: float
    latencies: tuple[float, float]


SLOW_LINKS = Kind(3.0, (50.0, 400.0))
MIXING = Kind(30.0, (5.0, 40.0))
"""Nearly every operator has a place of its own that is much better: plans have very many parts."""

_FUSED = ("Conv", "BatchNormalization", "Mul", "Add", "Relu")  # in a row, one kernel
OBJECTIVES = (
    *(PlacementObjective.LATENCY,) * 4,
    PlacementObjective.ENERGY,
    *(PlacementObjective.THROUGHPUT,) * 2,
    PlacementObjective.PEAK_MEMORY,
)


def random_problem(
    random: Random,
    *,
    most: int = 12,
    places: int = 3,
    objective: PlacementObjective | None = None,
) -> Problem:
    """Up to ``most`` operators with branches, several outputs, weights that some share, groups.

    Some pairs are not supported, some links are missing, some places have a capacity.
    """
    names = [f"p{p}" for p in range(places)]
    sizes = {f"x{i}": Bytes(random.randint(1, 40)) for i in range(random.randint(1, 2))}
    inputs = tuple(sizes)
    weights: dict[str, Bytes] = {}
    operators: list[PlacedOperator] = []
    for i in range(random.randint(1, most)):
        known = list(sizes)
        recent = known[-5:]
        count = min(len(recent), random.choice([1, 1, 1, 2, 2, 3]))
        reads = tuple(random.sample(recent, count)) if random.random() < 0.95 else ()
        writes = tuple(f"t{i}{letter}" for letter in random.choice(["a", "a", "a", "ab"]))
        sizes |= {name: Bytes(random.choice([0, *range(1, 40)])) for name in writes}
        if random.random() < 0.5:
            weights[f"w{i}"] = Bytes(random.randint(1, 60))
        held = random.sample(sorted(weights), min(len(weights), random.choice([0, 1, 1, 2])))
        able = [name for name in names if random.random() < 0.9] or [random.choice(names)]
        costs = {name: random.choice([5, 20, 80]) * random.uniform(0.5, 2.0) for name in able}
        operators.append(PlacedOperator(f"op{i}", reads, writes, costs, tuple(held)))
    unread = set(sizes) - {name for op in operators for name in op.inputs} - set(inputs)
    outputs = sorted(unread | set(random.sample(sorted(sizes), 1)))
    problem = Problem(
        operators=tuple(operators),
        places=tuple(Place(name, random.choice([0.0, 3.0, 15.0, 40.0])) for name in names),
        links=random_links(random, names),
        sizes=sizes,
        inputs=inputs,
        outputs=tuple(outputs),
        weight_sizes=weights,
        groups=random_groups(random, operators, names),
        objective=objective or random.choice(OBJECTIVES),
    )
    return with_capacities(random, problem)


def random_links(random: Random, names: list[str]) -> dict[tuple[str, str], Link]:
    """Between places and from and to the caller; one in twelve between places is missing."""
    ends = [*names, CALLER]
    return {
        (one, two): Link(
            random.choice([0.0, 2.0, 10.0, 30.0]),
            random.uniform(0.0, 0.5),
            random.choice([0.0, 0.0, 0.3]),
        )
        for one in ends
        for two in ends
        if one != two and (CALLER in (one, two) or random.random() < 11 / 12)
    }


def random_groups(
    random: Random, operators: list[PlacedOperator], names: list[str]
) -> tuple[FusedGroup, ...]:
    """Neighbours, and some that are not, that save up to all of what they cost."""
    groups = []
    for name in names:
        free = [op for op in operators if name in op.costs]
        while len(free) > 1 and random.random() < 0.6:
            first = random.randrange(len(free) - 1)
            members = free[first : first + random.choice([2, 2, 3])]
            free = [op for op in free if op not in members]
            saving = random.uniform(0.1, 1.0) * sum(op.costs[name] for op in members)
            groups.append(FusedGroup(frozenset(op.name for op in members), name, saving))
    return tuple(groups)


def with_capacities(random: Random, problem: Problem) -> Problem:
    """One place in four can hold some share only of all weights and tensors."""
    everything = sum(problem.weight_sizes.values()) + sum(problem.sizes.values())
    places = tuple(
        replace(place, capacity=Bytes(int(everything * random.uniform(0.2, 0.8))))
        if random.random() < 0.25
        else place
        for place in problem.places
    )
    return replace(problem, places=places)


def chain_problem(random: Random, count: int, places: int = 3) -> Problem:
    """Operators in a row, each of which reads what the one before writes."""
    names = [f"p{p}" for p in range(places)]
    sizes = {"t0": Bytes(random.randint(1, 99))}
    operators = []
    for i in range(count):
        sizes[f"t{i + 1}"] = Bytes(random.randint(0, 99))
        able = [name for name in names if random.random() < 0.9] or names
        costs = {name: random.uniform(1.0, 40.0) for name in able}
        operators.append(PlacedOperator(f"op{i}", (f"t{i}",), (f"t{i + 1}",), costs))
    links = {
        (one, two): Link(random.uniform(0.0, 20.0), random.uniform(0.0, 0.5))
        for one in (*names, CALLER)
        for two in (*names, CALLER)
        if one != two
    }
    return Problem(
        operators=tuple(operators),
        places=tuple(Place(name, random.uniform(0.0, 20.0)) for name in names),
        links=links,
        sizes=sizes,
        inputs=("t0",),
        outputs=(f"t{count}",),
        groups=tuple(
            FusedGroup(
                frozenset((one.name, two.name)),
                name,
                random.uniform(0.0, 1.0) * (one.costs[name] + two.costs[name]),
            )
            for one, two in zip(operators[::2], operators[1::2], strict=False)
            for name in names
            if name in one.costs and name in two.costs and random.random() < 0.2
        ),
    )


def without_ways(problem: Problem) -> Problem:
    """The same, where it costs infinitely much to go from place to place."""
    places = {place.name for place in problem.places}
    links = {
        pair: Link(inf) if places.issuperset(pair) else link
        for pair, link in problem.links.items()
    }
    return replace(problem, links=links)


def graph_problem(random: Random, graph: Graph, kind: Kind = SLOW_LINKS) -> Problem:
    """The operators of a model, with launches of 10 to 60 us.

    Operators cost what a roofline says, each times a random factor. Convolutions are fused with
    what follows them, where nothing else reads what is between.
    """
    operators = []
    for op in graph.operators:
        if op.folded:
            continue
        kinds = {name: graph.tensors[name].kind for name in op.inputs if name in graph.tensors}
        weights = tuple(n for n, kind in kinds.items() if kind is TensorKind.WEIGHT)
        reads = tuple(n for n, kind in kinds.items() if kind is not TensorKind.WEIGHT)
        costs = roofline(random, op.flops, op.activation_bytes + op.weight_bytes, kind)
        operators.append(PlacedOperator(op.name, reads, op.outputs, costs, weights))
    tensors = graph.tensors.values()
    return Problem(
        operators=tuple(operators),
        places=launching_places(random),
        links=links_of(random, kind),
        sizes={t.name: t.bytes for t in tensors if t.kind is not TensorKind.WEIGHT},
        inputs=graph.inputs,
        outputs=graph.outputs,
        weight_sizes={t.name: t.bytes for t in tensors if t.kind is TensorKind.WEIGHT},
        groups=fused_rows(random, graph, operators),
    )


def roofline(random: Random, flops: float, moved: float, kind: Kind) -> dict[str, float]:
    """Seconds at each place: the slower of computing and moving, times a factor."""
    return {
        name: (max(flops / speed, moved / bandwidth) + 2 * MICRO)
        * kind.spread ** random.uniform(-1.0, 1.0)
        for name, (speed, bandwidth) in SPEEDS.items()
    }


def launching_places(random: Random) -> tuple[Place, ...]:
    """Without capacities."""
    return tuple(Place(name, random.uniform(10, 60) * MICRO) for name in SPEEDS)


def links_of(random: Random, kind: Kind) -> dict[tuple[str, str], Link]:
    """Between all places, and from and to the caller."""
    ends = (*SPEEDS, CALLER)
    return {
        (one, two): Link(random.uniform(*kind.latencies) * MICRO, 1 / random.uniform(2e9, 12e9))
        for one in ends
        for two in ends
        if one != two
    }


def fused_rows(
    random: Random, graph: Graph, operators: list[PlacedOperator]
) -> tuple[FusedGroup, ...]:
    """At each place, convolutions with the rows of simple operators behind them."""
    kind = {op.name: op.op_type for op in graph.operators}
    readers: dict[str, list[PlacedOperator]] = {}
    for op in operators:
        for name in op.inputs:
            readers.setdefault(name, []).append(op)
    groups = []
    for op in operators:
        row = [op]
        while kind[op.name] == "Conv" and len(behind := readers.get(row[-1].outputs[0], [])) == 1:
            if kind[behind[0].name] not in _FUSED[1:]:
                break
            row.append(behind[0])
        if len(row) > 1:
            named = frozenset(member.name for member in row)
            groups += [
                FusedGroup(named, p, random.uniform(0.5, 1.0) * sum(m.costs[p] for m in row[1:]))
                for p in SPEEDS
            ]
    return tuple(groups)


def layered_problem(random: Random, count: int, width: int) -> Problem:
    """Layers of up to ``width`` operators, with costs as of ``graph_problem``.

    Each reads one to three tensors of the layer before, and one in ten one of the layer before
    that, too.
    """
    sizes = {"x": Bytes(200_000)}
    layers = [["x"]]
    operators: list[PlacedOperator] = []
    while len(operators) < count:
        layer = []
        for _ in range(min(random.randint(1, width), count - len(operators))):
            i = len(operators)
            reads = random.sample(layers[-1], min(len(layers[-1]), random.choice([1, 1, 2, 3])))
            if len(layers) > 1 and random.random() < 0.1:
                reads.append(random.choice(layers[-2]))
            sizes[f"t{i}"] = Bytes(random.randint(10_000, 800_000))
            costs = roofline(random, 10 ** random.uniform(5, 8.5), sizes[f"t{i}"] * 2, SLOW_LINKS)
            operators.append(PlacedOperator(f"op{i}", tuple(reads), (f"t{i}",), costs))
            layer.append(f"t{i}")
        layers.append(layer)
    read = {name for op in operators for name in op.inputs}
    return Problem(
        operators=tuple(operators),
        places=launching_places(random),
        links=links_of(random, SLOW_LINKS),
        sizes=sizes,
        inputs=("x",),
        outputs=tuple(name for name in sizes if name not in read),
    )
