"""Merges operators that some best order runs directly one after the other.

An operator v with a single successor w may wait until just before w without harm if

1. it never lowers the bytes alive: as long as it waits, no other step needs more, not even one
   that overwrites a tensor which v reads, too: what it no longer saves is no larger than what v,
   before it, added and did not free; and
2. its own step, taken that late, needs no more than the step of w that follows it anyway.

Both are tested with bounds that hold in every state, and again on the merged operators.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from farm.plan.schedule.problem import Problem


@dataclass(frozen=True, slots=True)
class _Bounds:
    """What running some operators, one directly after the other, does to the bytes alive.

    after: added at the end, at least. during: added at the peak, at least. falls: from the peak
    to the end, at most.
    """

    after: int
    during: int
    falls: int

    def may_wait_for(self, other: _Bounds) -> bool:
        """Whether the two conditions above hold, for these operators as v and others as w."""
        return self.after >= 0 and self.falls <= other.during

    def then(self, other: _Bounds) -> _Bounds:
        """The same of these operators with others directly behind them."""
        return _Bounds(
            after=self.after + other.after,
            during=max(self.during, self.after + other.during),
            falls=max(other.falls, self.falls - other.after),
        )


def merged(problem: Problem) -> tuple[tuple[int, ...], ...]:
    """Positions of the operators that run as one, in an order in which all of them can run."""
    bounds = _bounds(problem)
    before, after = _neighbours(problem)
    groups: list[tuple[int, ...]] = [(index,) for index in range(len(bounds))]
    for last in range(len(bounds)):
        waiting = set(before[last])
        while waiting:
            index = max(waiting)
            waiting.remove(index)
            if after[index] == {last} and bounds[index].may_wait_for(bounds[last]):
                bounds[last] = bounds[index].then(bounds[last])
                groups[last] = groups[index] + groups[last]
                groups[index] = ()
                for other in before[index]:
                    after[other] = after[other] - {index} | {last}
                before[last] = before[last] - {index} | before[index]
                waiting = set(before[last])  # once more: the step that they wait for has changed
    return tuple(group for group in groups if group)


def _bounds(problem: Problem) -> list[_Bounds]:
    needed = set(problem.outputs)
    wanted = needed.union(*(operator.reads for operator in problem.operators))
    bounds = []
    for operator in problem.operators:
        offered = {new for old, new in operator.in_place if old not in needed}
        grows = _bytes(problem, operator.writes) + operator.scratch
        keeps = _bytes(problem, wanted.intersection(operator.writes))
        frees = _bytes(problem, set(operator.reads) - needed)
        saves = _bytes(problem, offered)
        bounds.append(_Bounds(keeps - frees, grows - saves, grows - saves - (keeps - frees)))
    return bounds


def _bytes(problem: Problem, names: Iterable[str]) -> int:
    return sum(problem.sizes[name] for name in names)


def _neighbours(problem: Problem) -> tuple[list[set[int]], list[set[int]]]:
    """Direct predecessors and successors of every operator."""
    writers = {
        name: index for index, operator in enumerate(problem.operators) for name in operator.writes
    }
    before = [
        {writers[name] for name in operator.reads if name in writers}
        for operator in problem.operators
    ]
    after: list[set[int]] = [set() for _ in before]
    for index, others in enumerate(before):
        for other in others:
            after[other].add(index)
    return before, after
