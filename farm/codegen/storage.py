"""Gives every tensor of a program its place: in the caller's arrays, or in the one static arena.

Views have the bytes of what they show, and parts of a concatenation lie in its result. A kernel
that may work in place writes over an input that nothing reads any more. What is left are buffers
with lifetimes, and the memory planner places them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate

from farm.codegen.ops.movement import Concat
from farm.codegen.program import Copy, Program, Step, Tensor, View
from farm.codegen.siblings import Parts
from farm.plan.memory.arena import Solution, plan_memory
from farm.plan.memory.problem import Alias, Buffer, Problem
from farm.plan.schedule import problem as schedule
from farm.plan.schedule.order import plan_schedule
from farm.units import Bytes

ALIGNMENT = Bytes(4)
_MOST_NODES = 2_048_000  # of one exact search for places, a second or two
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


def store(program: Program) -> Storage:
    """Place the tensors of a program: the same program gets the same places on every machine.

    Concatenations whose parts can be computed in place are no steps any more, unless that would
    make the arena higher: the whole result is then alive as early as its first part.
    """
    found = _Storing(program, join=True).storage()
    if not any(isinstance(step, Concat) for step in program.steps):
        return found
    copied = _Storing(program, join=False).storage()
    return copied if copied.arena_bytes < found.arena_bytes else found


class _Storing:
    """Places of one program's tensors. join: compute the parts of concatenations in place."""

    def __init__(self, program: Program, *, join: bool) -> None:
        self._program = program
        self._shown: dict[str, tuple[str, int]] = {}  # what a view shows, from which byte on
        self._inside: dict[str, tuple[str, int]] = {}  # the result a part lies in, at which byte
        self._parts: dict[str, tuple[str, ...]] = {}  # of results
        self._divided: set[str] = set()  # tensors that others are runs of
        self._steps = list(zip(program.steps, program.operators, strict=True))
        self._fixed = {t.name: Place(Area.INPUT, i) for i, t in enumerate(program.inputs)}
        self._fixed |= {t.name: Place(Area.OUTPUT, i) for i, t in enumerate(program.outputs)}
        self._share_views()
        if join:
            self._join_parts()

    def storage(self) -> Storage:
        calls = self._ordered(
            [(s, name) for s, name in self._steps if not isinstance(s, View | Parts)]
        )
        problem = self._problem(calls)
        plan = plan_memory(problem, nodes=_MOST_NODES)
        places = dict(self._fixed)
        for name in (t.name for step in self._program.steps for t in step.outputs):
            root, offset = self._spot(name)
            if root in self._fixed:
                places[name] = self._fixed[root]
            else:
                places[name] = Place(Area.ARENA, plan.offsets[root] + offset)
        scratch = max((step.scratch_bytes for step, _ in calls), default=0)
        return Storage(places, problem, plan, Bytes(scratch), calls)

    def _own(self, name: str) -> str:
        """The tensor whose bytes a tensor has."""
        while name in self._shown:
            name = self._shown[name][0]
        return name

    def _root(self, name: str) -> str:
        """The tensor in which a tensor lies."""
        return self._spot(name)[0]

    def _spot(self, name: str) -> tuple[str, int]:
        """That tensor, and the byte in it where the tensor begins."""
        offset = 0
        while (further := self._shown.get(name) or self._inside.get(name)) is not None:
            name, offset = further[0], offset + further[1]
        return name, offset

    def _units(self, name: str) -> tuple[str, ...]:
        """The tensors that steps write, of which a tensor is made."""
        own = self._own(name)
        if own not in self._parts:
            return (own,)
        return tuple(unit for part in self._parts[own] for unit in self._units(part))

    def _share_views(self) -> None:
        """Unite views with what they show.

        Copy where two of the caller's arrays would meet, or where one would have to hold all of
        what it gets a part of.
        """
        for index, (step, operator) in enumerate(self._steps):
            if isinstance(step, Parts):
                merged = step.inputs[0].name
                self._divided.add(merged)
                pairs = zip(step.outputs, step.offsets(), strict=True)
                self._shown |= {tensor.name: (merged, offset) for tensor, offset in pairs}
            if not isinstance(step, View):
                continue
            shown, view = self._own(step.inputs[0].name), step.outputs[0].name
            if view in self._fixed and (shown in self._fixed or shown in self._divided):
                self._steps[index] = (Copy(step.inputs, step.outputs), operator)
            elif view in self._fixed:
                self._shown[shown] = (view, 0)
            else:
                self._shown[view] = (step.inputs[0].name, 0)

    def _join_parts(self) -> None:
        """Let the inputs of concatenations lie in the result, where that is possible for all."""
        kept = []
        for step, operator in self._steps:
            if isinstance(step, Concat) and self._can_join(step):
                names = tuple(self._own(tensor.name) for tensor in step.inputs)
                begins = accumulate((t.bytes for t in step.inputs), initial=0)
                result = step.outputs[0].name
                self._parts[result] = names
                self._inside |= {n: (result, b) for n, b in zip(names, begins, strict=False)}
            else:
                kept.append((step, operator))
        self._steps = kept

    def _can_join(self, step: Concat) -> bool:
        """Whether every part is a run of the result and a whole tensor of its own in the arena."""
        names = [self._own(tensor.name) for tensor in step.inputs]
        runs = step.is_contiguous and all(t.bytes % ALIGNMENT == 0 for t in step.inputs)
        taken = self._fixed.keys() | self._inside.keys() | self._divided
        free = not taken & {self._own(step.outputs[0].name), *names}
        return runs and free and len(set(names)) == len(names)

    def _ordered(self, calls: list[_Call]) -> tuple[_Call, ...]:
        """The calls in the order that needs least memory; the model's own where none is better."""
        sizes: dict[str, Bytes] = {}
        for tensor in (t for step, _ in calls for t in (*step.inputs, *step.outputs)):
            own = self._own(tensor.name)
            if own not in self._parts:
                size = 0 if own in self._fixed else _padded(tensor)
                sizes[own] = Bytes(max(size, sizes.get(own, 0)))
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
        reads = tuple(dict.fromkeys(u for tensor in step.inputs for u in self._units(tensor.name)))
        writes = tuple(self._own(tensor.name) for tensor in step.outputs)
        pairs = [
            (self._own(step.inputs[given].name), writes[output])
            for output, given in self._pairs(step)
        ]
        fitting = tuple((old, new) for old, new in pairs if sizes[new] <= sizes.get(old, 0))
        return schedule.Operator(name, reads, writes, fitting)

    def _problem(self, calls: tuple[_Call, ...]) -> Problem:
        start: dict[str, int] = {}
        end: dict[str, int] = {}
        size: dict[str, int] = {}
        for index, (step, _) in enumerate(calls):
            for tensor in (*step.outputs, *step.inputs):
                root, offset = self._spot(tensor.name)
                start.setdefault(root, index)
                end[root] = index + 1
                size[root] = max(size.get(root, 0), offset + _padded(tensor))
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
        """The pairs (output, input) of a step that may share a place, each tensor in one.

        Parts of others, and what others are parts of, are in no pair.
        """
        pairs: list[tuple[int, int]] = []
        taken = self._fixed.keys() | self._inside.keys() | self._parts.keys() | self._divided
        for output, given in step.in_place:
            new, old = self._own(step.outputs[output].name), self._own(step.inputs[given].name)
            read_twice = sum(self._own(t.name) == old for t in step.inputs) > 1
            if not ({old, new} & taken or read_twice):
                pairs.append((output, given))
                taken |= {old, new}
        return pairs


def _padded(tensor: Tensor) -> int:
    return -(-tensor.bytes // ALIGNMENT) * ALIGNMENT
