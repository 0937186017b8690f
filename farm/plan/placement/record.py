"""A placement plan as it is printed, kept in a file and applied: plain JSON, strictly read.

``objective`` to ``baselines`` are what a program that asks for a plan reads. ``steps`` and
``borders`` are what the plan is decided again with when it is applied, see ``farm.plan.override``.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from farm.candidate import Engine
from farm.errors import PlanError
from farm.plan.override import Border, Step, Steps
from farm.prediction import Prediction
from farm.units import Bytes, Joules, Seconds

_STRICT = ConfigDict(extra="forbid", defer_build=True, ser_json_inf_nan="constants")
_NotNegative = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class PlannedModel:
    """The model that a plan is of. sha256: of its file. shapes: of its dynamic dimensions."""

    __pydantic_config__ = _STRICT
    name: str
    sha256: str
    shapes: dict[str, int]


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """Operators that run one after another at one place, in this order."""

    __pydantic_config__ = _STRICT
    place: str
    operators: tuple[str, ...]
    predicted: Prediction


@dataclass(frozen=True, slots=True)
class PlannedTransfer:
    """A tensor that goes from one place to another; "" stands for the caller."""

    __pydantic_config__ = _STRICT
    source: Annotated[str, Field(alias="from")]
    target: Annotated[str, Field(alias="to")]
    tensor: str
    bytes: Annotated[int, Field(ge=0)]
    predicted: Prediction


@dataclass(frozen=True, slots=True)
class PlacedWhole:
    """The whole model at one place."""

    __pydantic_config__ = _STRICT
    place: str
    predicted: Prediction


@dataclass(frozen=True, slots=True)
class RefusedSplit:
    """A split that costs less than one place alone, by no more than its uncertainty."""

    __pydantic_config__ = _STRICT
    places: tuple[str, ...]
    parts: int
    predicted: Prediction


@dataclass(frozen=True, slots=True)
class Baselines:
    """What simpler methods reach, in the objective's unit; None where they find nothing."""

    __pydantic_config__ = _STRICT
    chain: float | None
    greedy: float | None
    heft: float | None


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One operator of a plan; see ``farm.plan.override.Step``."""

    __pydantic_config__ = _STRICT
    operator: str
    place: str
    seconds: dict[str, _NotNegative]
    joules: dict[str, _NotNegative]
    crossing: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class PlannedBorder:
    """A change of place; see ``farm.plan.override.Border``."""

    __pydantic_config__ = _STRICT
    source: Annotated[str, Field(alias="from")]
    target: Annotated[str, Field(alias="to")]
    seconds: _NotNegative
    seconds_per_byte: _NotNegative
    joules: _NotNegative = 0.0
    joules_per_byte: _NotNegative = 0.0


@dataclass(frozen=True, slots=True)
class PlacementPlan:
    """Where the operators of a model run.

    places: that were planned for. predicted: of the whole. bound: it is proven that no plan has
    less, if the costs are right. gap: by what share the plan may be above the best. seconds: how
    long planning took. best_single: None where no place runs the whole model. refused: a split
    that was found, and is not the plan. notes: sentences for people. engines: of the whole model
    at each place, with their options; none in plans of older farms.
    """

    __pydantic_config__ = _STRICT
    model: PlannedModel
    places: tuple[str, ...]
    objective: str
    predicted: Prediction
    bound: float
    gap: float
    seconds: float
    parts: tuple[PlannedPart, ...]
    transfers: tuple[PlannedTransfer, ...]
    best_single: PlacedWhole | None
    baselines: Baselines
    refused: RefusedSplit | None
    steps: tuple[PlannedStep, ...]
    borders: tuple[PlannedBorder, ...]
    notes: tuple[str, ...] = ()
    engines: dict[str, Engine] = field(default_factory=dict)
    format: Literal[1] = field(default=1)

    @property
    def assignment(self) -> dict[str, str]:
        """The place of each operator."""
        return {name: part.place for part in self.parts for name in part.operators}

    def again(self) -> Steps:
        """What it is decided again with. Raises PlanError: it contradicts itself."""
        _refuse_contradictions(self)
        return Steps(
            tuple(_step(step) for step in self.steps),
            {
                (b.source, b.target): Border(
                    Seconds(b.seconds), b.seconds_per_byte, Joules(b.joules), b.joules_per_byte
                )
                for b in self.borders
            },
        )

    def followers(self) -> dict[str, tuple[str, ...]]:
        """Every operator by the step that it goes with: itself, and what depends on weights alone.

        The latter come before what needs them first; at a part's end they go with the last step.
        """
        steps = {step.operator for step in self.steps}
        found: dict[str, tuple[str, ...]] = {}
        for part in self.parts:
            waiting: list[str] = []
            last = ""
            for name in part.operators:
                waiting.append(name)
                if name in steps:
                    found[name], last, waiting = tuple(waiting), name, []
            if waiting and last:
                found[last] += tuple(waiting)
        return found


def _refuse_contradictions(plan: PlacementPlan) -> None:
    """Raise PlanError where steps and parts do not say the same."""
    named = [name for part in plan.parts for name in part.operators]
    if again := next((name for name, count in Counter(named).items() if count > 1), None):
        raise PlanError(f"The plan has operator '{again}' in more than one place.")
    at = plan.assignment
    stepped = {step.operator for step in plan.steps}
    for step in plan.steps:
        if at.get(step.operator) != step.place:
            where = f"at {at[step.operator]}" if step.operator in at else "in none"
            raise PlanError(
                f"The plan contradicts itself: operator '{step.operator}' is a step at "
                f"{step.place}, and of its parts {where}."
            )
        if unknown := sorted({step.place, *step.seconds} - set(plan.places)):
            raise PlanError(
                f"The plan contradicts itself: operator '{step.operator}' names {unknown[0]}, "
                "which is none of its places."
            )
    for part in plan.parts:
        if not stepped & set(part.operators):
            raise PlanError(
                f"The plan contradicts itself: no operator of its part at {part.place} is a step."
            )
    if not plan.parts:
        raise PlanError("The plan has no parts.")


_ADAPTER: TypeAdapter[PlacementPlan] = TypeAdapter(PlacementPlan)


def plan_json(plan: PlacementPlan) -> dict[str, Any]:
    """The plan as plain JSON values."""
    plain: dict[str, Any] = _ADAPTER.dump_python(plan, mode="json", by_alias=True)
    return plain


def plan_text(plan: PlacementPlan) -> str:
    """What a plan's file holds."""
    return json.dumps(plan_json(plan), indent=1) + "\n"


def read_plan(path: Path) -> PlacementPlan:
    """Read a plan's file. Raises PlanError: it cannot be read, or is none."""
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise PlanError(f"Cannot read plan {path}: {error.strerror}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the top level"
        raise PlanError(
            f"{path} is no placement plan: at {where}: {first['msg']}. "
            "`farm plan placement MODEL -o plan.json` writes one."
        ) from None


def _step(step: PlannedStep) -> Step:
    seconds = {place: Seconds(value) for place, value in step.seconds.items()}
    joules = {place: Joules(value) for place, value in step.joules.items()}
    return Step(step.operator, step.place, seconds, joules, Bytes(step.crossing))
