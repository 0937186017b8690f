"""Gives every tensor of a program its place: in the caller's arrays, or in the one static arena.

Views have the bytes of what they show. A kernel that may work in place writes over an input that
nothing reads any more. What is left are buffers with lifetimes, and the memory planner places
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from farm.codegen.program import Copy, Program, Step, Tensor, View
from farm.plan import schedule_problem as schedule
from farm.plan.memory import Solution, plan_memory
from farm.plan.memory_problem import Alias, Buffer, Problem
from farm.plan.schedule import plan_schedule
from farm.units import Bytes

ALIGNMENT = Bytes(4)
"""Of tensors in the arena: a block of four channels, or one float."""


class Area(StrEnum):
    """Who owns a tensor's bytes."""

    INPUT = "input"
    OUTPUT = "output"
    ARENA = "arena"


_Call = tuple[Step, str]  # and the name of the operator it belongs to


@dataclass(frozen=True, slots=True)
class Place:
    """Where a tensor lies. position: of the input or output, or byte offset in the arena."""

    area: Area
    position: int


@dataclass(frozen=True, slots=True)
class Storage:
    """Places of all tensors, by name.

    plan: the arena's plan. scratch_bytes: largest scratch memory of a step, which follows the
    arena. steps: those that call a kernel, with the operators that they belong to.
    """

    places: Mapping[str, Place]
    problem: Problem
    plan: Solution
    scratch_bytes: Bytes
    steps: tuple[_Call, ...]

    @property
    def arena_bytes(self) -> Bytes:
        """Height of the arena."""
        return self.plan.height


def store(program: Program, seconds: float = 10.0) -> Storage:
    """Place the tensors of a program. seconds: the memory planner's limit."""
    return _Storing(program).storage(seconds)


class _Storing:
    def __init__(self, program: Program) -> None:
        self._program = program
        self._roots: dict[str, str] = {}
        self._steps = list(zip(program.steps, program.operators, strict=True))
        self._share_views()
        self._fixed = {t.name: Place(Area.INPUT, i) for i, t in enumerate(program.inputs)}
        self._fixed |= {t.name: Place(Area.OUTPUT, i) for i, t in enumerate(program.outputs)}

    def storage(self, seconds: float) -> Storage:
        calls = self._ordered([(s, name) for s, name in self._steps if not isinstance(s, View)])
        problem = self._problem(calls)
        plan = plan_memory(problem, seconds=seconds)
        places = dict(self._fixed)
        for name in (t.name for step in self._program.steps for t in step.outputs):
            root = self._root(name)
            places[name] = self._fixed.get(root) or Place(Area.ARENA, plan.offsets[root])
        scratch = max((step.scratch_bytes for step, _ in calls), default=0)
        return Storage(places, problem, plan, Bytes(scratch), calls)

    def _root(self, name: str) -> str:
        while (parent := self._roots.get(name, name)) != name:
            name = parent
        return name

    def _share_views(self) -> None:
        """Unite views with what they show; copy where two of the caller's arrays would meet."""
        owned = {t.name for t in (*self._program.inputs, *self._program.outputs)}
        for index, (step, operator) in enumerate(self._steps):
            if not isinstance(step, View):
                continue
            shown, view = self._root(step.inputs[0].name), step.outputs[0].name
            if shown in owned and view in owned:
                self._steps[index] = (Copy(step.inputs, step.outputs), operator)
            elif view in owned:
                self._roots[shown] = view
            else:
                self._roots[view] = shown

    def _ordered(self, calls: list[_Call]) -> tuple[_Call, ...]:
        """The calls in the order that needs least memory; the model's own where none is better."""
        sizes: dict[str, Bytes] = {}
        for tensor in (t for step, _ in calls for t in (*step.inputs, *step.outputs)):
            root = self._root(tensor.name)
            own = 0 if root in self._fixed else _padded(tensor)
            sizes[root] = Bytes(max(sizes.get(root, 0), own))
        problem = schedule.Problem(
            tuple(self._operator(str(i), step, sizes) for i, (step, _) in enumerate(calls)),
            sizes,
            tuple(t.name for t in self._program.inputs if t.name in sizes),
            tuple(t.name for t in self._program.outputs if t.name in sizes),
        )
        found = plan_schedule(problem)
        if found.peak >= found.default_peak:
            return tuple(calls)
        return tuple(calls[int(name)] for name in found.order)

    def _operator(self, name: str, step: Step, sizes: Mapping[str, Bytes]) -> schedule.Operator:
        reads = tuple(dict.fromkeys(self._root(tensor.name) for tensor in step.inputs))
        writes = tuple(self._root(tensor.name) for tensor in step.outputs)
        pairs = [
            (self._root(step.inputs[given].name), writes[output])
            for output, given in self._pairs(step)
        ]
        fitting = tuple((old, new) for old, new in pairs if sizes[new] <= sizes[old])
        return schedule.Operator(name, reads, writes, fitting)

    def _problem(self, calls: tuple[_Call, ...]) -> Problem:
        start: dict[str, int] = {}
        end: dict[str, int] = {}
        size: dict[str, int] = {}
        for index, (step, _) in enumerate(calls):
            for tensor in (*step.outputs, *step.inputs):
                root = self._root(tensor.name)
                start.setdefault(root, index)
                end[root] = index + 1
                size[root] = max(size.get(root, 0), _padded(tensor))
        names = [name for name in start if name not in self._fixed]
        buffers = tuple(Buffer(name, start[name], end[name], Bytes(size[name])) for name in names)
        aliases = tuple(self._aliases(calls, end, size))
        return Problem(buffers, alignment=ALIGNMENT, aliases=aliases)

    def _aliases(
        self, calls: tuple[_Call, ...], end: Mapping[str, int], size: Mapping[str, int]
    ) -> list[Alias]:
        """Outputs that take the place of an input that dies in their step."""
        found = []
        for index, (step, _) in enumerate(calls):
            for output, given in self._pairs(step):
                new = self._root(step.outputs[output].name)
                old = self._root(step.inputs[given].name)
                if end[old] == index + 1 and size[new] <= size[old]:
                    found.append(Alias(new, old))
        return found

    def _pairs(self, step: Step) -> list[tuple[int, int]]:
        """The pairs (output, input) of a step that may share a place, each tensor in one."""
        pairs: list[tuple[int, int]] = []
        taken: set[str] = set()
        for output, given in step.in_place:
            new = self._root(step.outputs[output].name)
            old = self._root(step.inputs[given].name)
            read_twice = sum(self._root(t.name) == old for t in step.inputs) > 1
            if not ({old, new} & (taken | self._fixed.keys()) or read_twice):
                pairs.append((output, given))
                taken |= {old, new}
        return pairs


def _padded(tensor: Tensor) -> int:
    return -(-tensor.bytes // ALIGNMENT) * ALIGNMENT
