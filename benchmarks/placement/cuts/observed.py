"""Recorded plans of cuts as the farm learns from pipelines: what their kernels and borders are."""

from __future__ import annotations

from itertools import pairwise

from benchmarks.placement.cuts.plans import Plan, running
from farm.costs.in_place import Observed, PartWork
from farm.model.graph import Graph, TensorKind
from farm.plan.placement.problem import CALLER
from farm.plan.placement.solution import Solution
from farm.plan.solution import Status
from farm.units import Seconds
from tuner.placing.problem import PricedProblem


def solution_of(graph: Graph, plan: Plan) -> Solution:
    """A plan as a solution whose value nobody knows yet."""
    names = tuple(op.name for op in running(graph))
    at = {name: piece.place for piece in plan for name in names[piece.start : piece.end]}
    return Solution(at, names, 0.0, 0.0, Status.FEASIBLE, Seconds(0.0))


def observed(priced: PricedProblem, graph: Graph, plan: Plan, seconds: float) -> Observed:
    """A plan with what it took: one tensor crosses each border."""
    sizes = [_crossing(graph, piece.start) for piece in plan]
    outputs = sum(graph.tensors[name].bytes for name in graph.outputs)
    engines = [_engine(piece.place) for piece in plan]
    works = []
    for part, before, after, (taken, given) in zip(
        solution_of(graph, plan).parts,
        (CALLER, *engines[:-1]),
        (*engines[1:], CALLER),
        pairwise((*sizes, outputs)),
        strict=True,
    ):
        known = sum(found.value for _, found in priced.kernels(part))
        works.append(PartWork(_engine(part.place), Seconds(known), before, after, taken, given))
    return Observed(Seconds(seconds), tuple(works))


def _engine(place: str) -> str:
    return place.partition("/")[2]


def _crossing(graph: Graph, at: int) -> int:
    """Bytes that cross at a cut point."""
    operators = running(graph)
    later = {name for op in operators[at:] for name in op.inputs}
    before = {*graph.inputs, *(name for op in operators[:at] for name in op.outputs)}
    tensors = (graph.tensors[name] for name in later & before)
    return sum(tensor.bytes for tensor in tensors if tensor.kind is not TensorKind.WEIGHT)
