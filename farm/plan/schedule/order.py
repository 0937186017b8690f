"""Finds the order of a graph's operators that needs the least memory at its peak."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from farm.model.graph import Graph, TensorKind
from farm.plan.schedule.beam import beam_search
from farm.plan.schedule.dag import Dag, State, bits, dag_of, union
from farm.plan.schedule.merge import merged
from farm.plan.schedule.problem import Operator, Problem, peak_of
from farm.plan.schedule.search import search
from farm.plan.solution import Status
from farm.units import Bytes, Seconds

__all__ = [
    "Operator",
    "Problem",
    "Solution",
    "from_graph",
    "peak_of",
    "plan_schedule",
    "validate",
]

_PATIENCE = Seconds(60.0)


@dataclass(frozen=True, slots=True)
class Solution:
    """An order of all operators.

    order: names of operators. peak: bytes alive in its largest step. lower_bound: no order has a
    lower peak. default_peak: that of the problem's own order, which ``peak`` never exceeds.
    status: optimal when peak and bound are equal, else feasible. seconds: taken to find it.
    """

    order: tuple[str, ...]
    peak: Bytes
    lower_bound: Bytes
    default_peak: Bytes
    status: Status
    seconds: Seconds


def plan_schedule(
    problem: Problem,
    *,
    seconds: Seconds = _PATIENCE,
    beam: int = 64,
    states: int = 200_000,
) -> Solution:
    """Find an order with a low peak; mostly the lowest, and then it is proven.

    seconds: when to stop proving; only a safety net, since what is found before depends on the
    machine. beam: states that the beam search keeps. states: that the exact search visits in one
    cell before it leaves the cell to the beam search.

    Raises ValueError when beam is below 1.
    """
    if beam < 1:
        raise ValueError(f"a beam keeps at least 1 state; got {beam}")
    began = time.monotonic()
    default = tuple(operator.name for operator in problem.operators)
    default_peak = peak_of(problem, default)
    groups = merged(problem)
    dag = dag_of(problem, groups)
    cells, bound = _Planner(dag, beam, states, began + seconds).plan()
    peak = max((cell.peak for cell in cells), default=0)
    steps = (groups[step] for cell in cells for step in cell.order)
    order = tuple(default[index] for step in steps for index in step)
    return Solution(
        order=order if peak < default_peak else default,
        peak=Bytes(peak),
        lower_bound=Bytes(bound),
        default_peak=default_peak,
        status=Status.OPTIMAL if peak == bound else Status.FEASIBLE,
        seconds=Seconds(time.monotonic() - began),
    )


def validate(problem: Problem, solution: Solution) -> str | None:
    """What is wrong with a solution, None when nothing is; knows nothing of how it was found.

    That an optimal one is optimal it cannot tell.
    """
    try:
        peak = peak_of(problem, solution.order)
    except ValueError as error:
        return str(error)
    default = peak_of(problem, [operator.name for operator in problem.operators])
    if (peak, default) != (solution.peak, solution.default_peak):
        return (
            f"the order peaks at {peak} bytes and the default order at {default}; the solution "
            f"says {solution.peak} and {solution.default_peak}"
        )
    if peak > default:
        return f"the order peaks at {peak} bytes, above the {default} of the default order"
    if solution.lower_bound > peak:
        return f"the lower bound {solution.lower_bound} is above the peak {peak}"
    if (solution.status is Status.OPTIMAL) != (solution.lower_bound == peak):
        return (
            f"a peak of {peak} bytes with a lower bound of {solution.lower_bound} is not "
            f"{solution.status}"
        )
    return None


def from_graph(graph: Graph) -> Problem:
    """The problem of a model's operators, in the model's own order.

    Weights are no tensors here, and operators that engines fold are left out. Nothing is taken
    to run in place or to need scratch: that depends on who runs it. Tensors of unknown shape
    count 0 bytes, as in the graph.
    """
    alive = {name for name, t in graph.tensors.items() if t.kind is not TensorKind.WEIGHT}
    return Problem(
        operators=tuple(
            Operator(
                name=operator.name,
                reads=tuple(name for name in operator.inputs if name in alive),
                writes=operator.outputs,
            )
            for operator in graph.operators
            if not operator.folded
        ),
        sizes={name: graph.tensors[name].bytes for name in alive},
        inputs=graph.inputs,
        outputs=tuple(name for name in graph.outputs if name in alive),
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    """The steps between two states that every order passes, in an order, and its peak."""

    start: State
    end: State
    order: tuple[int, ...]
    peak: int


@dataclass(frozen=True, slots=True)
class _Planner:
    """Improves the orders of cells until their highest peak is proven to be the lowest."""

    dag: Dag
    beam: int
    states: int
    deadline: float  # of time.monotonic

    def plan(self) -> tuple[list[_Cell], int]:
        """The cells in order, and a bound that the highest of their peaks cannot undercut."""
        bound = max((self.dag.least(index) for index in range(len(self.dag.steps))), default=0)
        cells = [self._beamed(cell, bound) for cell in _cells(self.dag)]
        for position in sorted(range(len(cells)), key=lambda position: -cells[position].peak):
            cells[position], bound = self._searched(cells[position], bound)
        return cells, bound

    def _beamed(self, cell: _Cell, bound: int) -> _Cell:
        if cell.peak <= bound:
            return cell
        return self._better(cell, beam_search(self.dag, cell.start, cell.end, self.beam))

    def _searched(self, cell: _Cell, bound: int) -> tuple[_Cell, int]:
        """The cell with a better order if there is one, and the bound that this has proven.

        bound: on the peak of all cells. One that keeps it needs no better order.
        """
        if cell.peak <= bound:
            return cell, bound
        found = search(self.dag, cell.start, cell.end, bound, cell.peak, self._may_go_on)
        if found.order is not None:
            cell = self._better(cell, found.order)
        elif found.bound < cell.peak and (found.head or found.tail):
            start = cell.start | union(1 << index for index in found.head)
            end = cell.end & ~union(1 << index for index in found.tail)
            middle = beam_search(self.dag, start, end, self.beam)
            cell = self._better(cell, (*found.head, *middle, *found.tail))
        return cell, found.bound

    def _may_go_on(self, visited: int) -> bool:
        return visited < self.states and time.monotonic() < self.deadline

    def _better(self, cell: _Cell, order: tuple[int, ...]) -> _Cell:
        peak = self.dag.peak(cell.start, order)
        return replace(cell, order=order, peak=peak) if peak < cell.peak else cell


def _cells(dag: Dag) -> Iterator[_Cell]:
    """Cuts the graph behind every step that all the others must run before or after."""
    start = 0
    for index, (before, after) in enumerate(zip(dag.before, dag.after, strict=True)):
        end = before | 1 << index
        if end | after == dag.all:
            order = tuple(bits(end ^ start))
            yield _Cell(start, end, order, dag.peak(start, order))
            start = end
    if start != dag.all:
        order = tuple(bits(dag.all ^ start))
        yield _Cell(start, dag.all, order, dag.peak(start, order))
