"""A scheduling problem as bit masks: what the searches walk on.

A state is the set of steps that have run, one bit each, closed under dependencies (a
*down-set*). Which tensors are alive between two steps depends on the state only, never on the
order that led to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from farm.plan.schedule.problem import Operator, Problem

State = int  # bit i: step i has run


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor. writer: its bit, 0 of an input. readers: their bits. needed: an output."""

    size: int
    writer: State
    readers: State
    needed: bool


@dataclass(frozen=True, slots=True)
class Part:
    """What running one operator does to the bytes that are alive.

    grows: what it writes, and its scratch. keeps: what it writes and somebody needs later.
    frees: (state, bytes) of each tensor it reads: that state, all the other readers, must have
    run for the bytes to become free after this operator.
    takes_over: (states, bytes) of each tensor that it may write in place: one of those states
    must have run for the bytes not to be needed while it runs.
    """

    grows: int
    keeps: int
    frees: tuple[tuple[State, int], ...]
    takes_over: tuple[tuple[tuple[State, ...], int], ...]

    def change(self, before: State) -> tuple[int, int]:
        """Bytes to add to those alive before: while the operator runs, and after it."""
        during, after = self.grows, self.keeps
        for others, size in self.frees:
            if others & before == others:
                after -= size
        for offers, size in self.takes_over:
            if any(others & before == others for others in offers):
                during -= size
        return during, after


@dataclass(frozen=True, slots=True)
class Step:
    """Operators that run directly one after the other, as one bit of a state."""

    parts: tuple[Part, ...]

    def change(self, before: State) -> tuple[int, int]:
        """Bytes to add to those alive before: at the peak of the step, and after it."""
        peak, live = self.parts[0].change(before)
        for part in self.parts[1:]:
            during, after = part.change(before)
            peak, live = max(peak, live + during), live + after
        return peak, live


@dataclass(frozen=True, slots=True)
class Dag:
    """The steps of a problem in an order in which they can run.

    needs, needed_by: direct predecessors and successors of each step. before, after: all of
    them. all: the state in which everything has run.
    """

    steps: tuple[Step, ...]
    tensors: tuple[Tensor, ...]
    needs: tuple[State, ...]
    needed_by: tuple[State, ...]
    before: tuple[State, ...]
    after: tuple[State, ...]
    all: State

    def live(self, state: State) -> int:
        """Bytes alive between the steps of ``state`` and all the others."""
        return sum(
            tensor.size
            for tensor in self.tensors
            if tensor.writer & state == tensor.writer
            and (tensor.needed or tensor.readers & ~state)
        )

    def peak(self, start: State, order: Sequence[int]) -> int:
        """The most bytes alive in one step when these steps run from ``start`` on."""
        peak, live, state = 0, self.live(start), start
        for index in order:
            during, after = self.steps[index].change(state)
            peak, live, state = max(peak, live + during), live + after, state | 1 << index
        return peak

    def least(self, index: int) -> int:
        """Bytes that are alive in a step in whatever order.

        Those are what its first operator reads and writes, and what was written by steps before
        it for steps after it.
        """
        first, own, later = self.steps[index].parts[0], 1 << index, self.after[index]
        around = sum(
            tensor.size
            for tensor in self.tensors
            if tensor.writer & self.before[index] == tensor.writer
            and (tensor.needed or tensor.readers & (own | later))
        )
        saved = sum(
            size
            for offers, size in first.takes_over
            if any(not others & later for others in offers)
        )
        return around + first.grows - saved


def bits(state: State) -> Iterator[int]:
    """The positions of the bits that are set, rising."""
    while state:
        lowest = state & -state
        yield lowest.bit_length() - 1
        state ^= lowest


def union(states: Iterable[State]) -> State:
    """Everything that has run in one of the states."""
    return reduce(or_, states, 0)


def dag_of(problem: Problem, groups: Sequence[Sequence[int]]) -> Dag:
    """The problem as bit masks.

    groups: positions of the operators of each step, in an order in which they can run.
    """
    steps = [[problem.operators[index] for index in group] for group in groups]
    tensors = _tensors(problem, steps)
    needs = [
        union(tensors[name].writer for operator in step for name in operator.reads) & ~(1 << index)
        for index, step in enumerate(steps)
    ]
    needed_by = [0] * len(needs)
    for index, direct in enumerate(needs):
        for other in bits(direct):
            needed_by[other] |= 1 << index
    before, after = [0] * len(needs), [0] * len(needs)
    for index in range(len(needs)):
        before[index] = needs[index] | union(before[other] for other in bits(needs[index]))
    for index in reversed(range(len(needs))):
        after[index] = needed_by[index] | union(after[other] for other in bits(needed_by[index]))
    return Dag(
        steps=tuple(_step(1 << index, step, tensors) for index, step in enumerate(steps)),
        tensors=tuple(tensors.values()),
        needs=tuple(needs),
        needed_by=tuple(needed_by),
        before=tuple(before),
        after=tuple(after),
        all=(1 << len(needs)) - 1,
    )


def _tensors(problem: Problem, steps: Sequence[Sequence[Operator]]) -> dict[str, Tensor]:
    writers = dict.fromkeys(problem.inputs, 0)
    readers: dict[str, State] = {}
    for index, step in enumerate(steps):
        for operator in step:
            writers.update(dict.fromkeys(operator.writes, 1 << index))
            for name in operator.reads:
                readers[name] = readers.get(name, 0) | 1 << index
    needed = set(problem.outputs)
    return {
        name: Tensor(problem.sizes[name], writer, readers.get(name, 0), name in needed)
        for name, writer in writers.items()
    }


def _step(bit: State, step: Sequence[Operator], tensors: Mapping[str, Tensor]) -> Step:
    parts = []
    for position, operator in enumerate(step):
        later = {name for other in step[position + 1 :] for name in other.reads}
        others = {
            name: tensors[name].readers & ~bit
            for name in operator.reads
            if not tensors[name].needed and name not in later
        }
        parts.append(_part(operator, others, tensors))
    return Step(tuple(parts))


def _part(operator: Operator, others: Mapping[str, State], tensors: Mapping[str, Tensor]) -> Part:
    """others: the steps that read a tensor as well, of each that it may be the last to read."""
    written = [tensors[name] for name in operator.writes]
    takes_over: dict[str, list[State]] = {}
    for old, new in operator.in_place:
        if old in others:
            takes_over.setdefault(new, []).append(others[old])
    return Part(
        grows=sum(tensor.size for tensor in written) + operator.scratch,
        keeps=sum(tensor.size for tensor in written if tensor.needed or tensor.readers),
        frees=tuple((state, tensors[name].size) for name, state in others.items()),
        takes_over=tuple(
            (tuple(offers), tensors[name].size) for name, offers in takes_over.items()
        ),
    )
