"""A solution of a placement problem as the plan that is printed and kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from farm.plan.placement.evaluate import evaluate, transfers
from farm.plan.placement.problem import CALLER, PlacementObjective, Problem
from farm.plan.placement.record import (
    Baselines,
    PlacedWhole,
    PlacementPlan,
    PlannedBorder,
    PlannedModel,
    PlannedPart,
    PlannedStep,
    PlannedTransfer,
    RefusedSplit,
)
from farm.plan.placement.solution import Solution
from farm.prediction import Basis, Prediction, total
from tuner.placing.problem import PricedProblem

UNITS = {
    PlacementObjective.LATENCY: "s",
    PlacementObjective.ENERGY: "J",
    PlacementObjective.PEAK_MEMORY: "B",
    PlacementObjective.THROUGHPUT: "s",
}


@dataclass(frozen=True, slots=True)
class Planned:
    """What a plan is recorded from.

    priced: by the objective. seconds, joules: the same problem in both; joules is None where a
    device has no power figures. single: the best single place; None where none runs everything.
    baselines: values of simpler methods. folded: operators that depend on weights alone, by the
    operator in whose part they are, the first one that reads what comes of them.
    """

    model: PlannedModel
    priced: PricedProblem
    seconds: PricedProblem
    joules: PricedProblem | None
    solution: Solution
    single: Solution | None
    baselines: Baselines
    notes: tuple[str, ...] = ()
    folded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def record(planned: Planned) -> PlacementPlan:
    """The plan, with the interval of everything that is predicted.

    Of a split that does not pay, the plan is the best single place, and the split is told of.
    """
    refused, single = None, planned.single
    if single is not None and not pays(planned.priced, planned.solution, single):
        split = planned.solution
        if len(split.places) > 1:
            predicted = _whole(planned.priced, split)
            refused = RefusedSplit(split.places, len(split.parts), predicted)
        whole = replace(single, bound=split.bound, seconds=split.seconds)
        planned = replace(planned, solution=whole)
    return _recorded(planned, refused)


def _recorded(planned: Planned, refused: RefusedSplit | None) -> PlacementPlan:
    problem, solution, single = planned.priced.problem, planned.solution, planned.single
    predicted = _whole(planned.priced, solution)
    return PlacementPlan(
        model=planned.model,
        places=tuple(place.name for place in problem.places),
        objective=str(problem.objective),
        predicted=predicted,
        bound=solution.bound,
        gap=solution.gap,
        seconds=solution.seconds,
        parts=tuple(_parts(planned)),
        transfers=tuple(_transfers(problem, solution)),
        best_single=(
            None
            if single is None
            else PlacedWhole(single.places[0], _whole(planned.priced, single))
        ),
        baselines=planned.baselines,
        refused=refused,
        steps=tuple(_steps(planned)),
        borders=tuple(_borders(planned)),
        notes=planned.notes,
    )


def pays(priced: PricedProblem, split: Solution, single: Solution) -> bool:
    """Whether a plan gains more over a single place than the uncertainty of what differs.

    What runs at the same place in both is as uncertain in both, and does not count. Errors of the
    others are taken to go the worst way, because those of one place have one cause.
    """
    moved = {op for op in split.order if split.assignment[op] != single.assignment[op]}
    if not moved:
        return False
    gain = single.value - split.value
    kernels = [*_kernels(priced, split, moved), *_kernels(priced, single, moved)]
    return gain > sum(max(p.high - p.value, p.value - p.low) for p in kernels)


def _whole(priced: PricedProblem, solution: Solution) -> Prediction:
    """The value of a solution, with its interval around it.

    Of a throughput and of memory the intervals are as wide as those of all kernels together.
    """
    kernels = total(_kernels(priced, solution, set(solution.order)))
    unit = UNITS[priced.problem.objective]
    if priced.problem.objective is PlacementObjective.PEAK_MEMORY:
        return Prediction(
            solution.value, solution.value, solution.value, unit, Basis.MEASURED, kernels.rows
        )
    scale = min(1.0, solution.value / kernels.value) if kernels.value else 1.0
    low, high = (scale * (end - kernels.value) for end in (kernels.low, kernels.high))
    return Prediction(
        solution.value,
        max(0.0, solution.value + low),
        solution.value + high,
        unit,
        kernels.basis,
        kernels.rows,
    )


def _kernels(priced: PricedProblem, solution: Solution, wanted: set[str]) -> Iterator[Prediction]:
    """Predictions of the kernels in which any of these operators is."""
    for part in solution.parts:
        for names, found in priced.kernels(part):
            if wanted & names:
                yield found


def _parts(planned: Planned) -> Iterator[PlannedPart]:
    """Parts with what they cost, launches included; of memory, what their places hold."""
    priced, solution, problem = planned.priced, planned.solution, planned.priced.problem
    unit = UNITS[problem.objective]
    launches = {place.name: place.launch for place in problem.places}
    held = evaluate(problem, solution.assignment, solution.order).memory
    told: set[str] = set()
    for part in solution.parts:
        if problem.objective is PlacementObjective.PEAK_MEMORY:
            size = 0.0 if part.place in told else float(held[part.place])
            found = Prediction(size, size, size, unit, Basis.MEASURED, 0)
        else:
            kernels = [found for _, found in priced.kernels(part)]
            launch = _certain(launches[part.place], unit)
            found = total([*kernels, launch], unit)
        told.add(part.place)
        names = (each for op in part.operators for each in (*planned.folded.get(op, ()), op))
        yield PlannedPart(part.place, tuple(names), found)


def _transfers(problem: Problem, solution: Solution) -> Iterator[PlannedTransfer]:
    unit = UNITS[problem.objective]
    for each in transfers(problem, solution.assignment):
        cost = each.cost if unit != "B" else float(each.bytes)
        yield PlannedTransfer(
            each.source, each.target, each.tensor, each.bytes, _certain(cost, unit)
        )


def _certain(value: float, unit: str) -> Prediction:
    """What a calibration measured of a border: of that no interval is known."""
    return Prediction(value, value, value, unit, Basis.MEASURED, 1)


def _steps(planned: Planned) -> Iterator[PlannedStep]:
    """Operators in the plan's order, with what they take wherever they could run."""
    solution, problem = planned.solution, planned.seconds.problem
    seconds = _apart(planned.seconds)
    joules = _apart(planned.joules) if planned.joules else {}
    crossing = _crossing(problem, solution.order)
    for name, size in zip(solution.order, crossing, strict=True):
        yield PlannedStep(
            name, solution.assignment[name], seconds[name], joules.get(name, {}), size
        )


def _apart(priced: PricedProblem) -> Mapping[str, dict[str, float]]:
    """The cost of each operator at each place that can hold it.

    Of what its group there saves it has its share less.
    """
    costs = {op.name: dict(op.costs) for op in priced.problem.operators}
    for group in priced.problem.groups:
        whole = sum(costs[name].get(group.place, 0.0) for name in group.operators)
        share = 1.0 - group.saving / whole if whole else 1.0
        for name in group.operators:
            if group.place in costs[name]:
                costs[name][group.place] *= max(0.0, share)
    for name, place in _too_large(priced.problem):
        costs[name].pop(place, None)
    return costs


def _too_large(problem: Problem) -> Iterator[tuple[str, str]]:
    """Operators whose own tensors and weights do not fit a place, with the place."""
    for op in problem.operators:
        tensors = sum(problem.sizes[name] for name in {*op.inputs, *op.outputs})
        touched = tensors + sum(problem.weight_sizes[name] for name in set(op.weights))
        for place in problem.places:
            if place.capacity is not None and touched > place.capacity:
                yield op.name, place.name


def _crossing(problem: Problem, order: Sequence[str]) -> Iterator[int]:
    """Bytes that were written before each operator and are read by it or later."""
    position = {name: at for at, name in enumerate(order)}
    written = {t: position[op.name] for op in problem.operators for t in op.outputs}
    last = {t: position[op.name] for op in problem.operators for t in op.inputs}
    for op in sorted(problem.operators, key=lambda op: position[op.name]):
        last.update({t: max(last.get(t, 0), position[op.name]) for t in op.inputs})
    changes = [0] * (len(order) + 1)
    for tensor, begin in written.items():
        if tensor in last:
            changes[begin + 1] += problem.sizes[tensor]
            changes[last[tensor] + 1] -= problem.sizes[tensor]
    crossing = 0
    for change in changes[: len(order)]:
        crossing += change
        yield crossing


def _borders(planned: Planned) -> Iterator[PlannedBorder]:
    """A change of place with the launch that it makes necessary."""
    problem = planned.seconds.problem
    launches = {place.name: place.launch for place in problem.places}
    watts = planned.joules.problem if planned.joules else None
    joules = {place.name: place.launch for place in watts.places} if watts else {}
    for (source, target), link in problem.links.items():
        if CALLER in (source, target):
            continue
        energy = watts.links.get((source, target)) if watts else None
        yield PlannedBorder(
            source,
            target,
            link.latency + launches[target],
            link.per_byte + link.convert_per_byte,
            (energy.latency if energy else 0.0) + joules.get(target, 0.0),
            energy.per_byte + energy.convert_per_byte if energy else 0.0,
        )
