"""``farm plan apply``: where a plan's operators run now."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from farm.candidate import Candidate
from farm.compile.annotate import annotated, label
from farm.devices.profile import DeviceProfile
from farm.errors import OptionError, PlanError
from farm.model.file import read_model_file
from farm.model.model import load_model, save_model
from farm.plan.override import Decision, decide
from farm.plan.placement.record import PlacementPlan
from farm.plan.state import IDLE, Priority, State, device_of, of_place
from farm.units import Seconds, counted
from tuner.placing.candidates import candidate_at
from workers.observing import observe

_PREFERRED = 0.5  # of a place's weight
_STRICT = ConfigDict(extra="forbid", strict=True)
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Positive = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class StateFile:
    """A state as its JSON file describes it; see ``farm.plan.state.State``."""

    __pydantic_config__ = _STRICT
    utilisation: dict[str, _Share] = field(default_factory=dict)
    priority: Priority = Priority.NORMAL
    weights: dict[str, _Positive] = field(default_factory=dict)
    battery: _Share | None = None
    watts: _Positive | None = None
    power_budget: _Positive | None = None
    avoided: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """A decision. seconds: how long deciding took. notes: sentences about the state."""

    decision: Decision
    state: State
    seconds: Seconds
    notes: tuple[str, ...] = ()


_STATE: TypeAdapter[StateFile] = TypeAdapter(StateFile)


def read_state(path: Path) -> State:
    """Read a state's file. Raises PlanError: it cannot be read, or says something wrong."""
    try:
        read = _STATE.validate_json(path.read_bytes())
    except OSError as error:
        raise PlanError(f"Cannot read state {path}: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the top level"
        raise PlanError(f"{path} is no state: at {where}: {first['msg']}.") from None
    return State(
        read.utilisation,
        read.priority,
        read.weights,
        read.battery,
        read.watts,
        read.power_budget,
        read.avoided,
    )


def state_of(
    plan: PlacementPlan, file: Path | None, observed: Mapping[str, DeviceProfile] | None
) -> tuple[State, tuple[str, ...]]:
    """A state, and sentences on what of it cannot be seen.

    file: to read; else ``observed``, the device profiles by name, are looked at, and without these
    all devices are idle. Raises PlanError: see ``read_state``.
    """
    if file is not None:
        return read_state(file), ()
    return (IDLE, ()) if observed is None else _observed(plan, observed)


def _observed(
    plan: PlacementPlan, profiles: Mapping[str, DeviceProfile]
) -> tuple[State, tuple[str, ...]]:
    devices = dict.fromkeys(map(device_of, plan.places))
    seen = observe(profiles[name] for name in devices if name in profiles)
    return State(seen.utilisation, battery=seen.battery), seen.notes


def with_wishes(
    plan: PlacementPlan,
    state: State,
    prefer: Iterable[str],
    avoid: Iterable[str],
    power_budget: float | None,
) -> State:
    """A state with what the command line adds to it; a place goes before its device.

    Raises OptionError: a place or device that the plan does not have, or one both ways. Raises
    PlanError: the plan contradicts itself.
    """
    preferred, shunned = set(prefer), set(avoid)
    _refuse_wishes(plan, preferred, shunned)
    weights, avoided = dict(state.weights), dict.fromkeys(state.avoided)
    for place in plan.again().places:
        named = place if place in preferred | shunned else device_of(place)
        if named in preferred:
            weights[place] = _PREFERRED * of_place(state.weights, place, 1.0)
        elif named in shunned:
            avoided[place] = None
    budget = state.power_budget if power_budget is None else power_budget
    return replace(state, weights=weights, avoided=tuple(avoided), power_budget=budget)


def _refuse_wishes(plan: PlacementPlan, prefer: set[str], avoid: set[str]) -> None:
    """Raise OptionError where the plan has no such place or device, or one is wished both ways."""
    known = {name for place in plan.places for name in (place, device_of(place))}
    for option, names in (("--prefer", prefer), ("--avoid", avoid)):
        if unknown := sorted(names - known):
            raise OptionError(
                f"{option} {unknown[0]}: the plan has no such place; it has "
                f"{', '.join(plan.places)}."
            )
    if both := sorted(prefer & avoid):
        raise OptionError(f"{both[0]} cannot be preferred and avoided at once.")


def apply(plan: PlacementPlan, state: State, notes: Iterable[str] = ()) -> Applied:
    """Decide. Raises PlanError: the plan contradicts itself, the state names what it has not."""
    steps = plan.again()
    begin = time.perf_counter()
    decision = decide(steps, state)
    seconds = Seconds(time.perf_counter() - begin)
    decision = _of_all_operators(plan, decision)
    return Applied(decision, state, seconds, (*notes, *_at_avoided(decision, state)))


def _at_avoided(decision: Decision, state: State) -> Iterator[str]:
    """What runs at places to avoid all the same."""
    at = Counter(place for place in decision.assignment.values() if state.avoids(place))
    for place, count in at.items():
        yield (
            f"{counted(count, 'operator')} {'runs' if count == 1 else 'run'} at {place}, which is "
            "to be avoided: no place that is not can take what runs there."
        )


def _of_all_operators(plan: PlacementPlan, decision: Decision) -> Decision:
    """The decision, with operators that depend on weights alone beside those that need them."""
    followers = plan.followers()
    assignment = {
        name: place for step, place in decision.assignment.items() for name in followers[step]
    }
    moves = (
        replace(move, operators=tuple(n for step in move.operators for n in followers[step]))
        for move in decision.moves
    )
    return replace(decision, assignment=assignment, moves=tuple(moves))


def candidate_of(plan: PlacementPlan, decision: Decision) -> Candidate:
    """What runs as was decided; see ``tuner.placing.candidates.candidate_of``.

    Raises PlanError: the plan is of an older farm, and does not say with which engines.
    """
    steps = [step.operator for step in plan.steps]
    runs = groupby(steps, key=decision.assignment.__getitem__)
    parts = [(place, tuple(names)) for place, names in runs]
    if missing := next((place for place, _ in parts if place not in plan.engines), None):
        raise PlanError(
            f"The plan does not say with which options {missing} runs, as those of older farms: "
            "make it again with `farm plan placement`."
        )
    return candidate_at(parts, plan.engines)


def write_annotated(
    plan: PlacementPlan, assignment: Mapping[str, str], model: Path, to: Path
) -> None:
    """Write a model with the label of its place on each operator.

    Raises OptionError: it is another model than the plan's. Raises OSError.
    """
    found = read_model_file(model).sha256
    if found != plan.model.sha256:
        raise OptionError(
            f"The plan is of {plan.model.name} ({plan.model.sha256[:12]}), and {model} is another "
            f"model ({found[:12]}); plan it with `farm plan placement {model}`."
        )
    loaded = load_model(model, plan.model.shapes)
    save_model(
        annotated(loaded.proto, {name: label(place) for name, place in assignment.items()}), to
    )
