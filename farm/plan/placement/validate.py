"""Checks solutions by the words of the model of cost, with nothing that a solver computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isclose

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
from farm.plan.placement.solution import Part, Solution
from farm.plan.solution import Status

_ROUNDING = 1e-9  # sums in another order differ by so much
_NODES = 20_000  # of the search of one arena


def violations(problem: Problem, solution: Solution) -> list[str]:
    """Everything that is wrong with a solution, each as a sentence.

    A solution without an assignment must say why.
    """
    if solution.status in (Status.INFEASIBLE, Status.UNKNOWN):
        found = [] if solution.binding else ["It does not say why there is no assignment."]
        return found + (["It has an assignment."] if solution.assignment else [])
    found = _assignment(problem, solution.assignment) + _order(problem, solution.order)
    if found:
        return found
    costs = sum_of_costs(problem, solution)
    if missing := [pair for pair in _ways(problem, solution) if pair not in problem.links]:
        return [f"There is no link from '{one}' to '{two}'." for one, two in missing]
    is_peak = problem.objective is PlacementObjective.PEAK_MEMORY
    needs = {
        place.name: need(problem, solution, place.name)
        for place in problem.places
        if is_peak or place.capacity is not None
    }
    found += [
        f"'{place.name}' has to hold {needs[place.name]} bytes, and it has {place.capacity}."
        for place in problem.places
        if place.capacity is not None and needs[place.name] > place.capacity
    ]
    value = {
        PlacementObjective.PEAK_MEMORY: float(sum(needs.values())),
        PlacementObjective.THROUGHPUT: max(costs.values()),
    }.get(problem.objective, sum(costs.values()))
    if not isclose(solution.value, value, rel_tol=_ROUNDING):
        found.append(f"The value is {value}, not {solution.value}.")
    if solution.bound > solution.value:
        found.append(f"The value {solution.value} is below its bound {solution.bound}.")
    return found


def sum_of_costs(problem: Problem, solution: Solution) -> dict[str, float]:
    """By place: its operators less what its groups save, its launches, and its transfers."""
    at = solution.assignment
    sums = {place.name: 0.0 for place in problem.places}
    for op in problem.operators:
        sums[at[op.name]] += op.costs[at[op.name]]
    for group in problem.groups:
        if any(_is_whole_in(group.operators, group.place, part) for part in solution.parts):
            sums[group.place] -= group.saving
    for part in solution.parts:
        sums[part.place] += sum(p.launch for p in problem.places if p.name == part.place)
    for name, source, target in _sent(problem, solution):
        if (source, target) in problem.links:
            paid = source if target == CALLER else target
            sums[paid] += problem.links[source, target].cost(problem.sizes[name])
    return sums


def need(problem: Problem, solution: Solution, place: str) -> int:
    """Bytes of the weights and of the arena of a place."""
    here = [op for op in problem.operators if solution.assignment[op.name] == place]
    weights = {name for op in here for name in op.weights}
    touched = {name for op in here for name in (*op.inputs, *op.outputs)}
    buffers = tuple(
        Buffer(name, *_lifetime(problem, solution, place, name), problem.sizes[name])
        for name in problem.sizes
        if name in touched
    )
    arena = plan_memory(MemoryProblem(buffers), seconds=5.0, nodes=_NODES).height
    return sum(problem.weight_sizes[name] for name in weights) + arena


def _assignment(problem: Problem, assignment: Mapping[str, str]) -> list[str]:
    found = []
    for op in problem.operators:
        if op.name not in assignment:
            found.append(f"'{op.name}' has no place.")
        elif assignment[op.name] not in op.costs:
            found.append(f"'{op.name}' cannot run at '{assignment[op.name]}'.")
    return found


def _order(problem: Problem, order: Sequence[str]) -> list[str]:
    names = [op.name for op in problem.operators]
    if sorted(order) != sorted(names):
        return ["The order does not have each operator once."]
    by_name = {op.name: op for op in problem.operators}
    written = set(problem.inputs)
    found = []
    for name in order:
        found += [
            f"'{name}' runs before what writes '{tensor}'."
            for tensor in by_name[name].inputs
            if tensor not in written
        ]
        written |= set(by_name[name].outputs)
    return found


def _sent(problem: Problem, solution: Solution) -> list[tuple[str, str, str]]:
    """Tensor, source and target of every transfer."""
    found = []
    written_by, read_by = producers(problem), readers(problem)
    for name in problem.sizes:
        source = solution.assignment[written_by[name]] if name in written_by else CALLER
        targets = {solution.assignment[reader] for reader in read_by[name]}
        if name in problem.outputs:
            targets.add(CALLER)
        found += [(name, source, target) for target in sorted(targets - {source})]
    return found


def _ways(problem: Problem, solution: Solution) -> list[tuple[str, str]]:
    return sorted({(source, target) for _, source, target in _sent(problem, solution)})


def _is_whole_in(operators: frozenset[str], place: str, part: Part) -> bool:
    return part.place == place and operators <= set(part.operators)


def _lifetime(problem: Problem, solution: Solution, place: str, name: str) -> tuple[int, int]:
    """The first step of a tensor at a place, and the step after the last."""
    at, step = solution.assignment, solution.order.index
    written_by = producers(problem)
    read_by = readers(problem)[name]
    start = step(written_by[name]) if name in written_by else 0
    steps = [start] + [step(reader) for reader in read_by if at[reader] == place]
    if name in written_by and at[written_by[name]] == place:
        others = {at[reader] for reader in read_by} - {place}
        steps += [min(step(r) for r in read_by if at[r] == other) for other in others]
        if name in problem.outputs:
            steps.append(len(problem.operators))
    return start, max(steps) + 1
