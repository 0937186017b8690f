"""A priced problem in joules: what its seconds and the work of its operators take of power.

As ``farm.devices.energy`` models a run: static power for as long as an operator runs, and what its
arithmetic and its traffic take. Of a processor whose packets are counted, packets follow from
seconds; how many of them have vector instructions is not known of one operator, so that these are
left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from farm.devices.profile import DeviceProfile, PowerFigures
from farm.model.graph import Graph, Operator
from farm.plan.placement.problem import Link, PlacementObjective, Problem
from farm.prediction import Prediction
from tuner.placing.problem import PricedProblem
from tuner.placing.support import DevicePlace


def in_joules(
    priced: PricedProblem, graph: Graph, places: Sequence[DevicePlace]
) -> PricedProblem | None:
    """The problem whose costs are joules; None where a device has no power figures."""
    of = {each.place.name: each for each in places}
    if any(each.profile.power is None for each in places):
        return None
    operators = {op.name: op for op in graph.operators}
    costs = {
        (name, place): _joules(found, of[place], [operators[name]])
        for (name, place), found in priced.costs.items()
    }
    groups = tuple(
        _joules(found, of[group.place], [operators[name] for name in group.operators])
        for group, found in zip(priced.problem.groups, priced.groups, strict=True)
    )
    return replace(priced, problem=_problem(priced, costs, groups, of), costs=costs, groups=groups)


def _problem(
    priced: PricedProblem,
    costs: Mapping[tuple[str, str], Prediction],
    groups: Sequence[Prediction],
    of: Mapping[str, DevicePlace],
) -> Problem:
    given = priced.problem
    watts = {name: _power(each.profile).static_watts for name, each in of.items()}
    fused = (
        replace(
            group,
            saving=max(
                0.0, sum(costs[name, group.place].value for name in group.operators) - found.value
            ),
        )
        for group, found in zip(given.groups, groups, strict=True)
    )
    return replace(
        given,
        operators=tuple(
            replace(op, costs={place: costs[op.name, place].value for place in op.costs})
            for op in given.operators
        ),
        places=tuple(replace(p, launch=p.launch * watts[p.name]) for p in given.places),
        links={
            ends: _link(link, watts.get(ends[1]) or watts[ends[0]], ends, of)
            for ends, link in given.links.items()
        },
        groups=tuple(fused),
        objective=PlacementObjective.ENERGY,
    )


def _link(link: Link, watts: float, ends: tuple[str, str], of: Mapping[str, DevicePlace]) -> Link:
    """Static power while something is transferred, and the traffic at either end."""
    traffic = sum(_power(of[name].profile).joules_per_byte for name in ends if name in of)
    return Link(
        link.latency * watts, link.per_byte * watts + traffic, link.convert_per_byte * watts
    )


def _joules(found: Prediction, each: DevicePlace, operators: Sequence[Operator]) -> Prediction:
    """Of a kernel that takes so many seconds."""
    value, low, high = (
        _of_seconds(each, operators, seconds) for seconds in (found.value, found.low, found.high)
    )
    return Prediction(value, low, high, "J", found.basis, found.rows)


def _of_seconds(each: DevicePlace, operators: Sequence[Operator], seconds: float) -> float:
    power, package = _power(each.profile), each.profile.package
    joules = power.static_watts * seconds
    if power.joules_per_packet and package is not None and package.clock_hz:
        return joules + seconds * package.clock_hz / package.cycles_per_packet * (
            power.joules_per_packet
        )
    share = 0.25 if each.place.precision == "int8" else 1.0
    per_mac = power.joules_per_mac.get(
        each.place.precision, power.joules_per_mac.get("float32", 0.0)
    )
    for op in operators:
        joules += op.macs * per_mac
        joules += share * (op.weight_bytes + op.activation_bytes) * power.joules_per_byte
    return joules


def _power(profile: DeviceProfile) -> PowerFigures:
    assert profile.power is not None, "looked at before"
    return profile.power
