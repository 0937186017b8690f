"""Plans that cut a model into consecutive pieces: where it can be cut, and which plans there are.

Operators are numbered in the model's order, folded ones left out. A *cut point* ``k`` lies before
operator ``k``; pieces are between *bounds*: 0, the chosen cut points, and the number of operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from random import Random

from farm.errors import PlanError
from farm.model.graph import Graph, Operator, TensorKind


@dataclass(frozen=True, slots=True, order=True)
class Piece:
    """Operators ``start <= i < end`` at a place, by its name."""

    start: int
    end: int
    place: str


Plan = tuple[Piece, ...]
"""Pieces in a row that have all operators; neighbours are at different places."""


def running(graph: Graph) -> tuple[Operator, ...]:
    """The operators that run, in the model's order."""
    return tuple(op for op in graph.operators if not op.folded)


def cut_points(graph: Graph) -> tuple[int, ...]:
    """Where exactly one tensor crosses: it is given or written before, and read afterwards."""
    operators = running(graph)
    moving = {n for n, t in graph.tensors.items() if t.kind is not TensorKind.WEIGHT}
    last: dict[str, int] = {}
    for at, op in enumerate(operators):
        last.update(dict.fromkeys(moving.intersection(op.inputs), at))
    there = set(graph.inputs)
    found = []
    for at, op in enumerate(operators):
        if at and sum(last.get(name, -1) >= at for name in there) == 1:
            found.append(at)
        there.update(op.outputs)
    return tuple(found)


def distinct(points: Sequence[int], survives: Sequence[bool]) -> tuple[int, ...]:
    """Cut points with something to run before, between and behind them.

    survives: of each operator, whether it is still there once the graph is prepared. Of points
    with nothing between them the first is kept.
    """
    found: list[int] = []
    before = 0
    for point in sorted(points):
        if any(survives[before:point]) and any(survives[point:]):
            found.append(point)
            before = point
    return tuple(found)


def evenly(points: Sequence[int], work: Sequence[float], most: int) -> tuple[int, ...]:
    """At most so many cut points, as even over the work as there are points.

    work: of each operator, 0 or more. Raises PlanError: ``most`` is below 1.
    """
    if most < 1:
        raise PlanError(f"A model is cut at 1 point or more, not at {most}.")
    before = [0.0]
    for each in work:
        before.append(before[-1] + each)
    left, chosen = sorted(points), []
    for number in range(1, min(most, len(points)) + 1):
        wanted = before[-1] * number / (min(most, len(points)) + 1)
        nearest = min(left, key=lambda point: (abs(before[point] - wanted), point))
        left.remove(nearest)
        chosen.append(nearest)
    return tuple(sorted(chosen))


def plans(bounds: Sequence[int], places: Sequence[str], most: int = 3) -> Iterator[Plan]:
    """Every partition into at most so many pieces over places, those with few pieces first.

    bounds: 0, the cut points, and the number of operators.
    """
    inner = bounds[1:-1]
    for pieces in range(1, most + 1):
        for cuts in combinations(inner, pieces - 1):
            ends = (bounds[0], *cuts, bounds[-1])
            for chosen in product(places, repeat=pieces):
                if all(one != other for one, other in pairwise(chosen)):
                    yield tuple(
                        Piece(start, end, place)
                        for (start, end), place in zip(pairwise(ends), chosen, strict=True)
                    )


def sampled(all_plans: Sequence[Plan], most: int, seed: int) -> tuple[Plan, ...]:
    """At most so many plans: those of one and two pieces, and of others a random choice.

    The order of the given ones is kept. Where ``most`` is below the number of plans of one and two
    pieces, all of these are there nevertheless.
    """
    few = [plan for plan in all_plans if len(plan) <= 2]
    many = [plan for plan in all_plans if len(plan) > 2]
    count = min(len(many), max(0, most - len(few)))
    chosen = set(Random(seed).sample(many, count)) | set(few)
    return tuple(plan for plan in all_plans if plan in chosen)


def plan_of(parts: Sequence[tuple[str, Sequence[str]]], graph: Graph) -> Plan:
    """The plan of parts: places with names of operators in the model's order.

    Parts that follow each other at one place are one piece.

    Raises PlanError: parts are not in the model's order, or do not have all of its operators.
    """
    names = [op.name for op in running(graph)]
    if [name for _, part in parts for name in part] != names:
        raise PlanError("The parts do not have all operators of the model in its order.")
    pieces: list[Piece] = []
    at = 0
    for place, part in parts:
        start, at = at, at + len(part)
        if pieces and pieces[-1].place == place:
            start = pieces.pop().start
        pieces.append(Piece(start, at, place))
    return tuple(pieces)
