"""From a loaded model, places, costs and borders to a problem of placement, with its intervals."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from farm.costs.calibration import Calibration, CostPlace, Crossing, Ends, Pattern, links
from farm.costs.fused import Members, Wiring, occurrences
from farm.costs.model import CostModel
from farm.costs.operators import CostedOperator, costed_operators
from farm.errors import DeviceError, PlanError
from farm.model.graph import Graph, TensorKind
from farm.model.model import Model
from farm.plan.placement.problem import (
    CALLER,
    FusedGroup,
    Link,
    Place,
    PlacedOperator,
    PlacementObjective,
    Problem,
)
from farm.plan.placement.solution import Part, Solution
from farm.prediction import Basis, Prediction, total
from farm.units import Bytes
from tuner.placing.support import DevicePlace, Obstacles

_INT8_SHARE = 4  # bytes of float32 for each one of int8


_Key = tuple[str, str]
"""An operator and a place, by name."""


@dataclass(frozen=True, slots=True)
class _Fused:
    """Operators that one kernel of a place stands for."""

    operators: frozenset[str]
    place: str
    kernel: Prediction

    @property
    def keys(self) -> list[_Key]:
        """Of the costs of each alone."""
        return [(name, self.place) for name in sorted(self.operators)]

    def group(self, priced: Mapping[_Key, Prediction]) -> FusedGroup:
        """What is saved of the costs of each alone."""
        apart = sum(priced[key].value for key in self.keys)
        return FusedGroup(self.operators, self.place, max(0.0, apart - self.kernel.value))


@dataclass(frozen=True, slots=True)
class PricedProblem:
    """A problem with what its costs rest on.

    costs: of each operator at each place where it can run, by the names of both. groups: of each
    fused group as one kernel, in the problem's order. obstacles: why an operator cannot run
    somewhere.
    """

    problem: Problem
    costs: Mapping[tuple[str, str], Prediction]
    groups: tuple[Prediction, ...]
    obstacles: Obstacles = field(default_factory=dict)

    def total(self, solution: Solution) -> Prediction:
        """What a plan costs, with the interval that it is expected to lie in.

        The intervals of operators and fused groups are added up, see ``farm.prediction.total``;
        launches and transfers have none of their own.

        Raises PlanError: the plan has no assignment.
        """
        if not solution.order:
            raise PlanError("A plan without an assignment has no cost.")
        kernels = [found for part in solution.parts for _, found in self.kernels(part)]
        border = sum(border_costs(self.problem, solution))
        known = Prediction(border, border, border, "s", Basis.MEASURED, 0)
        return total([*kernels, known])

    def kernels(self, part: Part) -> Iterator[tuple[frozenset[str], Prediction]]:
        """The kernels of a part with their operators: fused groups that save most first."""
        left = set(part.operators)
        pairs = zip(self.problem.groups, self.groups, strict=True)
        for group, prediction in sorted(pairs, key=lambda pair: -pair[0].saving):
            if group.place == part.place and group.operators <= left:
                left -= group.operators
                yield group.operators, prediction
        for name in part.operators:
            if name in left:
                yield frozenset({name}), self.costs[name, part.place]


def border_costs(problem: Problem, solution: Solution) -> Iterator[float]:
    """Launches and transfers of a plan, see ``farm.plan.placement.problem``.

    Raises PlanError: a tensor would go where there is no link.
    """
    launches = {place.name: place.launch for place in problem.places}
    yield from (launches[part.place] for part in solution.parts)
    at: dict[str, str] = dict.fromkeys(problem.inputs, CALLER)
    for op in problem.operators:
        at.update(dict.fromkeys(op.outputs, solution.assignment[op.name]))
    going = {
        (name, solution.assignment[op.name]) for op in problem.operators for name in op.inputs
    }
    going |= {(name, CALLER) for name in problem.outputs}
    for name, target in sorted(going):
        source = at[name]
        if source == target:
            continue
        link = problem.links.get((source, target))
        if link is None:
            raise PlanError(
                f"Tensor '{name}' cannot go from {source or 'the caller'} to "
                f"{target or 'the caller'}: there is no link."
            )
        yield link.cost(problem.sizes[name])


def build_problem(
    model: Model,
    graph: Graph,
    places: Sequence[DevicePlace],
    costs: CostModel,
    calibrations: Mapping[str, Calibration],
    obstacles: Obstacles,
    objective: PlacementObjective = PlacementObjective.LATENCY,
) -> PricedProblem:
    """The problem of placing a model's operators. Folded ones follow their readers at no cost.

    graph: the view of the model. places: of one precision each. calibrations: by device.
    obstacles: of the model at these places.

    Raises DeviceError: a place was never calibrated. Raises PlanError: no place can run some
    operator.
    """
    operators = costed_operators(model.proto, graph)
    ends = {each.place: _ends(each.place, calibrations) for each in places}
    priced = dict(_priced(operators, places, costs, obstacles))
    _refuse_homeless(operators, places, priced, obstacles)
    fused = list(_fused(operators, graph, places, costs, calibrations, priced))
    priced |= dict(_apart(fused, priced))
    weights = {name: t.bytes for name, t in graph.tensors.items() if t.kind is TensorKind.WEIGHT}
    used = {operand.name for op in operators for operand in op.reads if operand.stored}
    weight_sizes = {name: size for name, size in weights.items() if name in used}
    problem = Problem(
        tuple(_placed(op, places, priced) for op in operators),
        tuple(
            Place(
                each.place.name,
                ends[each.place].launch,
                _capacity(each, Bytes(sum(weight_sizes.values()))),
            )
            for each in places
        ),
        _with_direct_links(links(ends, _crossings(calibrations)), places),
        {name: t.bytes for name, t in graph.tensors.items() if t.kind is not TensorKind.WEIGHT},
        graph.inputs,
        tuple(dict.fromkeys(name for name in graph.outputs if name not in weights)),
        weight_sizes,
        tuple(each.group(priced) for each in fused),
        objective,
    )
    kernels = tuple(each.kernel for each in fused)
    return PricedProblem(problem, priced, kernels, dict(obstacles))


def _ends(place: CostPlace, calibrations: Mapping[str, Calibration]) -> Ends:
    calibration = calibrations.get(place.device)
    ends = calibration.ends_of(place) if calibration else None
    if ends is None:
        raise DeviceError(
            f"What it takes to call {place} is not known on this machine: "
            f"farm devices calibrate {place.device}"
        )
    return ends


def _crossings(calibrations: Mapping[str, Calibration]) -> dict[tuple[str, str], Crossing]:
    """Borders in place, of all devices."""
    found: dict[tuple[str, str], Crossing] = {}
    for calibration in calibrations.values():
        found |= calibration.crossings_by_name()
    return found


def _with_direct_links(
    found: Mapping[tuple[str, str], Link], places: Sequence[DevicePlace]
) -> dict[tuple[str, str], Link]:
    """The links, where devices that are linked directly do not go through the caller."""
    direct = dict(found)
    for one in places:
        for other in places:
            figures = one.profile.links.get(other.place.device)
            if figures is None or one.place.device == other.place.device:
                continue
            for way in ((one, other), (other, one)):
                names = way[0].place.name, way[1].place.name
                per_byte = 1.0 / figures.bytes_per_second
                direct[names] = replace(
                    direct[names], latency=figures.tensor_seconds, per_byte=per_byte
                )
    return direct


def _priced(
    operators: Sequence[CostedOperator],
    places: Sequence[DevicePlace],
    costs: CostModel,
    obstacles: Obstacles,
) -> Iterator[tuple[tuple[str, str], Prediction]]:
    for op in operators:
        for each in places:
            if (op.name, each.place.name) not in obstacles:
                yield (op.name, each.place.name), costs.cost([op], each.place)


def _refuse_homeless(
    operators: Sequence[CostedOperator],
    places: Sequence[DevicePlace],
    priced: Mapping[tuple[str, str], Prediction],
    obstacles: Obstacles,
) -> None:
    for op in operators:
        if not any((op.name, each.place.name) in priced for each in places):
            why = [obstacles[op.name, each.place.name] for each in places] or ["there is none."]
            raise PlanError(f"No place can run operator {op.name}: {' '.join(dict.fromkeys(why))}")


def _placed(
    op: CostedOperator,
    places: Sequence[DevicePlace],
    priced: Mapping[tuple[str, str], Prediction],
) -> PlacedOperator:
    names = [each.place.name for each in places]
    return PlacedOperator(
        op.name,
        tuple(operand.name for operand in op.reads if not operand.stored),
        tuple(operand.name for operand in op.writes),
        {name: priced[op.name, name].value for name in names if (op.name, name) in priced},
        tuple(operand.name for operand in op.reads if operand.stored),
    )


def _fused(
    operators: Sequence[CostedOperator],
    graph: Graph,
    places: Sequence[DevicePlace],
    costs: CostModel,
    calibrations: Mapping[str, Calibration],
    priced: Mapping[tuple[str, str], Prediction],
) -> Iterator[_Fused]:
    """Groups that profiles of the very operators show, then those like groups of a calibration."""
    wiring = Wiring(operators, graph.outputs)
    for each in places:
        place, taken = each.place, set[str]()
        for members in _groups_at(wiring, place, costs, calibrations):
            names = frozenset(op.name for op in members)
            if names & taken or any((name, place.name) not in priced for name in names):
                continue
            taken |= names
            yield _Fused(names, place.name, costs.cost(members, place))


def _apart(
    fused: Iterable[_Fused], priced: Mapping[_Key, Prediction]
) -> Iterator[tuple[_Key, Prediction]]:
    """Costs of operators apart that agree with the kernel that stands for all of them.

    An engine fuses what then costs less, so that they cost at least what the kernel does. And a
    kernel that was measured costs no less than what is left of it without its cheapest operator:
    of the others, an engine makes a kernel, too. What was measured alone stays as it was.
    """
    for each in fused:
        own = {key: priced[key] for key in each.keys}
        apart = sum(found.value for found in own.values())
        if each.kernel.value > apart > 0.0:
            yield from _scaled(own, each.kernel.value / apart)
        elif each.kernel.basis is Basis.MEASURED and len(own) > 1:
            own.pop(min(own, key=lambda key: own[key].value))
            rest = sum(found.value for found in own.values())
            if rest > each.kernel.value and all(
                f.basis is not Basis.MEASURED for f in own.values()
            ):
                yield from _scaled(own, each.kernel.value / rest)


def _scaled(found: Mapping[_Key, Prediction], by: float) -> Iterator[tuple[_Key, Prediction]]:
    for key, of in found.items():
        yield key, replace(of, value=by * of.value, low=by * of.low, high=by * of.high)


def _groups_at(
    wiring: Wiring,
    place: CostPlace,
    costs: CostModel,
    calibrations: Mapping[str, Calibration],
) -> Iterator[Members]:
    measured = costs.groups_at(place)
    yield from occurrences(wiring, lambda op: op.signature, measured)
    constants = calibrations[place.device].constants(place)
    patterns: Iterable[Pattern] = constants.patterns if constants else ()
    yield from occurrences(wiring, lambda op: op.op_type, patterns)


def _capacity(each: DevicePlace, weights: Bytes) -> Bytes | None:
    """Bytes of weights and arena in the model's own format, which in int8 are a quarter.

    Where a profile limits the arena alone, all weights are added to it: the limit then holds for
    the arena of a place that has every operator, and is wide for others.
    """
    figures = each.profile.package
    if figures is None or not figures.arena_bytes:
        return Bytes(each.profile.memory_bytes) if each.profile.memory_bytes else None
    share = _INT8_SHARE if each.place.precision == "int8" else 1
    room = share * figures.weight_bytes if figures.weight_bytes else weights
    return Bytes(share * figures.arena_bytes + room)
