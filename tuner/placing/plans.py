"""Where the operators of a model are to run, by what the store knows of their costs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from db.reader import StoreReader
from farm.candidate import Candidate, PackageEngine
from farm.compile.annotate import annotated, label
from farm.costs.calibration import Calibration
from farm.costs.model import MeasuredThenRoofline
from farm.costs.operators import costed_operators, members_of
from farm.devices.profile import DeviceProfile
from farm.errors import DeviceError, PlanError
from farm.model.graph import Graph
from farm.model.model import Model, save_model
from farm.plan.placement.compared import Compared, compared
from farm.plan.placement.problem import PlacementObjective
from farm.plan.placement.record import Baselines, PlacementPlan, PlannedModel
from farm.plan.placement.registry import known_registry
from farm.plan.placement.solution import Solution
from farm.plan.placement.solve import place
from farm.plan.solution import Status
from farm.plan.state import device_of
from farm.prediction import Basis
from farm.text import listed
from tuner.calibrating.places import MeasuredPlace, places_of
from tuner.placing.asked import engine_obstacles
from tuner.placing.costs import read_costs
from tuner.placing.energy import in_joules
from tuner.placing.from_store import calibrated_places, problem_at
from tuner.placing.learnt import taught
from tuner.placing.problem import PricedProblem
from tuner.placing.recording import Planned, record
from tuner.placing.support import DevicePlace, Obstacles, obstacles
from tuner.runs.record.machines import machine_of
from workers.executor import Executor
from workers.jobs import DeviceFacts

_FLOAT32 = "float32"
_ALL_OF_IT = 0.9  # of the time that planning may take: a search looks at the clock now and then


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known before a plan is made: the model, the places, and what operators cost there.

    candidates: the whole model at each place, by the place's name. unknown: names of places that
    are left out, because the calibration of their device says nothing of them. said: what engines
    that were asked have against operators.
    """

    model: Model
    graph: Graph
    places: tuple[DevicePlace, ...]
    candidates: Mapping[str, Candidate]
    costs: MeasuredThenRoofline
    unknown: tuple[str, ...] = ()
    said: Obstacles = field(default_factory=dict)

    @property
    def calibrations(self) -> Mapping[str, Calibration]:
        """Of the devices, by name."""
        return self.costs.calibrations

    def unprofiled(self) -> tuple[DevicePlace, ...]:
        """Places at which no operator of this model was ever profiled."""
        signatures = {op.signature for op in costed_operators(self.model.proto, self.graph)}
        return tuple(
            each
            for each in self.places
            if not any(
                signatures.intersection(members_of(group))
                for group in self.costs.profiled.seconds.get(each.place, {})
            )
        )


def look(
    store: StoreReader,
    facts: Mapping[str, DeviceFacts],
    model: Model,
    graph: Graph,
    profiles: Sequence[DeviceProfile],
    threads: int = 0,
) -> Situation:
    """Read from the store what a model's operators cost at the places of devices.

    facts: what the devices' workers say, by name; they are on one machine. threads: of every
    engine that may have several; 0 leaves that to it.

    Raises DeviceError: a device was never calibrated or has no place, or no link leads to it.
    """
    machine = machine_of(next(iter(facts.values()))).id
    candidates = dict(_candidates(profiles, facts, threads))
    operators = costed_operators(model.proto, graph)
    costs = read_costs(store, profiles, machine, model.sha256, operators, threads)
    costs = taught(store, profiles, machine, costs)
    calibrated = calibrated_places(profiles, costs.calibrations)
    places = tuple(each for each in calibrated if each.place.name in candidates)
    left_out = tuple(sorted(set(candidates).difference(each.place.name for each in places)))
    for profile in profiles:
        if not any(each.place.device == profile.name for each in places):
            raise DeviceError(_nowhere(profile, costs.calibrations[profile.name]))
    return Situation(model, graph, places, candidates, costs, left_out)


def asked(situation: Situation, executor: Executor) -> Situation:
    """The situation after engines at which the model was never profiled have tried it.

    The code generator is asked in any case. Raises InfrastructureError.
    """
    said: dict[tuple[str, str], str] = {}
    for each in situation.unprofiled():
        candidate = situation.candidates[each.place.name]
        if not isinstance(candidate.engine, PackageEngine):
            at = MeasuredPlace(each.place, candidate)
            said |= engine_obstacles(executor, at, situation.model.proto, situation.graph)
    return replace(situation, said=said)


def plan_placement(
    situation: Situation,
    objective: PlacementObjective = PlacementObjective.LATENCY,
    seconds: float = 10.0,
) -> PlacementPlan:
    """Place the operators. seconds: that planning takes at most.

    Raises PlanError: no device runs some operator, a capacity is too small, two devices cannot
    reach each other, or energy is asked for and a device has no power figures; it says which.
    """
    timed = _in_seconds(situation)
    joules = in_joules(timed, situation.graph, situation.places)
    priced = _priced(timed, joules, objective, situation)
    solution = place(priced.problem, seconds=seconds)
    if not solution.order:
        raise PlanError(solution.binding)
    others = compared(priced.problem)
    recorded = record(
        Planned(
            PlannedModel(
                situation.model.name, situation.model.sha256, dict(situation.model.shapes)
            ),
            priced,
            timed,
            joules,
            solution,
            others.single,
            _baselines(others),
            tuple(_notes(situation, solution, objective, seconds)),
            folded_before(situation.graph),
        )
    )
    places = (each.place.name for each in situation.places)
    return replace(recorded, engines={at: situation.candidates[at].engine for at in places})


def folded_before(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Operators that depend on weights alone, by the first operator that needs what they give.

    What nobody needs goes with the first operator of all.
    """
    readers: dict[str, str] = {}
    found: dict[str, tuple[str, ...]] = {}
    first = next((op.name for op in graph.operators if not op.folded), "")
    for op in graph.operators[::-1]:
        needed = (readers[name] for name in op.outputs if name in readers)
        by = next(needed, first) if op.folded else op.name
        readers.update(dict.fromkeys(op.inputs, by))
        if op.folded:
            found[by] = (op.name, *found.get(by, ()))
    return found


def to_measure(situation: Situation) -> dict[str, list[Candidate]]:
    """Candidates whose profiles would say what operators cost, by device.

    They are those that stand for places where no operator was profiled and all of them can run.
    """
    found: dict[str, list[Candidate]] = {}
    refused = obstacles(situation.model.proto, situation.graph, situation.places, known_registry())
    blocked = {place for _, place in (*refused, *situation.said)}
    for each in situation.unprofiled():
        if each.place.name not in blocked:
            found.setdefault(each.place.device, []).append(situation.candidates[each.place.name])
    return found


def write_annotated(plan: PlacementPlan, situation: Situation, path: Path) -> None:
    """Write the model with the label of its place on each operator. Raises OSError."""
    placed = {name: label(place) for name, place in plan.assignment.items()}
    save_model(annotated(situation.model.proto, placed), path)


def _nowhere(profile: DeviceProfile, calibration: Calibration) -> str:
    """Why a device has no place."""
    again = f"farm devices calibrate {profile.name}"
    if calibration.places and not calibration.ends and "caller" not in profile.links:
        return (
            f"There is no link between the caller and device {profile.name}: its profile has no "
            f"[links.caller]; add one, and then {again}"
        )
    return (
        f"The calibration of device {profile.name} says nothing of any of its engines; make a new "
        f"one, with more time: {again}"
    )


def _candidates(
    profiles: Sequence[DeviceProfile], facts: Mapping[str, DeviceFacts], threads: int
) -> Iterator[tuple[str, Candidate]]:
    """The model in float32 on each engine of the devices, by the place's name."""
    for profile in profiles:
        for each in places_of(profile.name, facts[profile.name], threads):
            if each.place.precision == _FLOAT32:
                yield each.place.name, each.candidate


def _in_seconds(situation: Situation) -> PricedProblem:
    model, graph, said = situation.model, situation.graph, situation.said
    return problem_at(model, graph, situation.places, situation.costs, said=said)


def _priced(
    timed: PricedProblem,
    joules: PricedProblem | None,
    objective: PlacementObjective,
    situation: Situation,
) -> PricedProblem:
    """The problem of the objective. Raises PlanError."""
    if objective is PlacementObjective.ENERGY:
        if joules is None:
            profiles = {each.profile.name: each.profile for each in situation.places}
            silent = [name for name, profile in profiles.items() if profile.power is None]
            raise PlanError(
                f"Energy cannot be planned: the profile of {listed(silent)} has no [power] "
                "figures; add them, or plan another objective."
            )
        return joules
    return replace(timed, problem=replace(timed.problem, objective=objective))


def _baselines(others: Compared) -> Baselines:
    def value(found: Solution | None) -> float | None:
        return None if found is None else found.value

    return Baselines(value(others.chain), value(others.greedy), value(others.heft))


def _notes(
    situation: Situation, solution: Solution, objective: PlacementObjective, seconds: float
) -> Iterator[str]:
    """Sentences about a plan. seconds: that planning was allowed to take."""
    devices = {device_of(name) for name in solution.places}
    if objective is PlacementObjective.THROUGHPUT and len(devices) < len(solution.places):
        yield (
            "Places of one device share its processors: they work at the same time only as far as "
            "there are some for each."
        )
    if solution.status is not Status.OPTIMAL and solution.gap > 0.0:
        unproven = "it was proven that no plan is better"
        if solution.seconds >= _ALL_OF_IT * seconds:
            yield f"The time ran out before {unproven}; give a longer --time."
        else:
            yield f"The search ended before {unproven}."
    if situation.unknown:
        yield (
            f"Left out, because the calibration says nothing of {listed(situation.unknown)}: make "
            "a new one, with more time."
        )
    if unprofiled := [each.place.name for each in situation.unprofiled()]:
        yield (
            f"The model's operators were never profiled at {listed(unprofiled)}: costs there are "
            f"{Basis.ROOFLINE} only."
        )
