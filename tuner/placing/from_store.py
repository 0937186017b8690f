"""The places of devices and the problem of placing a model on them, from what a store knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from db.reader import StoreReader
from farm.costs.calibration import Calibration, CostPlace
from farm.costs.model import MeasuredThenRoofline
from farm.costs.operators import costed_operators
from farm.devices.profile import DeviceProfile
from farm.model.graph import Graph
from farm.model.model import Model
from farm.plan.placement.problem import PlacementObjective
from farm.plan.placement.registry import known_registry
from tuner.placing.costs import read_costs
from tuner.placing.learnt import taught
from tuner.placing.problem import PricedProblem, build_problem
from tuner.placing.support import NO_OBSTACLES, DevicePlace, Obstacles, obstacles


def problem_from_store(
    store: StoreReader,
    model: Model,
    graph: Graph,
    profiles: Sequence[DeviceProfile],
    machine_id: str,
    precision: str = "float32",
) -> tuple[PricedProblem, tuple[DevicePlace, ...]]:
    """The problem of placing a model on every engine of some devices, and these places.

    graph: the view of the model. machine_id: of the machine that the devices are of.

    Raises DeviceError: a device was never calibrated, or none of its engines in this precision.
    Raises PlanError: no place can run some operator. Raises StoreError.
    """
    operators = costed_operators(model.proto, graph)
    costs = read_costs(store, profiles, machine_id, model.sha256, operators)
    costs = taught(store, profiles, machine_id, costs)
    places = calibrated_places(profiles, costs.calibrations, precision)
    return problem_at(model, graph, places, costs), places


def problem_at(
    model: Model,
    graph: Graph,
    places: Sequence[DevicePlace],
    costs: MeasuredThenRoofline,
    objective: PlacementObjective = PlacementObjective.LATENCY,
    said: Obstacles = NO_OBSTACLES,
) -> PricedProblem:
    """The problem of placing a model at places that were chosen, each of another name.

    said: what engines themselves have against operators, beside what is known of them.

    Raises DeviceError, PlanError: see ``build_problem``.
    """
    against = {**obstacles(model.proto, graph, places, known_registry()), **said}
    return build_problem(model, graph, places, costs, costs.calibrations, against, objective)


def calibrated_places(
    profiles: Sequence[DeviceProfile],
    calibrations: Mapping[str, Calibration],
    precision: str = "float32",
) -> tuple[DevicePlace, ...]:
    """The places of devices whose kernels and borders are known in a precision."""
    return tuple(
        DevicePlace(place, profile)
        for profile in profiles
        for known in calibrations[profile.name].places
        if known.precision == precision
        for place in [CostPlace(profile.name, known.engine, precision)]
        if calibrations[profile.name].ends_of(place) is not None
    )
