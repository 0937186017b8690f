"""``farm plan memory``: the memory of a model, or of a problem in a CSV file, planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from farm.errors import OptionError
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.memory.arena import Solution, plan_memory
from farm.plan.memory.csv_files import read_problem
from farm.plan.memory.of_model import model_problem
from farm.plan.memory.portions import PortionSolution, plan_portions
from farm.plan.memory.problem import Problem
from farm.plan.solution import Status
from farm.units import Bytes


class PlanMode(StrEnum):
    """What is planned: offsets in one arena, or portions that buffers share in turn."""

    ARENA = "arena"
    PORTIONS = "portions"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """One invocation. path: of an ONNX model, or of a problem with the suffix ``.csv``.

    capacity: None for no limit. seconds: at most. shapes: of a model's dynamic dimensions.
    """

    path: Path
    capacity: Bytes | None
    alignment: Bytes
    mode: PlanMode
    seconds: float
    shapes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Planned:
    """A problem and its solution."""

    problem: Problem
    solution: Solution | PortionSolution

    @property
    def fits(self) -> bool:
        """Whether there is a solution within the capacity."""
        return self.solution.status in (Status.OPTIMAL, Status.FEASIBLE)


def plan(request: PlanRequest) -> Planned:
    """Read the problem and solve it. Raises InputError: it cannot be read or makes no sense."""
    problem = _problem(request)
    if request.mode is PlanMode.PORTIONS:
        return Planned(problem, plan_portions(problem, seconds=request.seconds))
    return Planned(problem, plan_memory(problem, seconds=request.seconds))


def _problem(request: PlanRequest) -> Problem:
    if request.path.suffix.lower() == ".csv":
        if request.shapes:
            raise OptionError("--shape is for models; a problem in a CSV file has none.")
        return read_problem(request.path, request.capacity, request.alignment)
    graph = build_graph(load_model(request.path, request.shapes))
    return model_problem(graph, alignment=request.alignment, capacity=request.capacity)
