"""Exact search for the order with the lowest peak between two states of a graph.

The search holds a *level*: a peak that no order can undercut. From both ends it visits the states
that can be reached within the level. When one end has visited all of them without reaching the
other, no order keeps the level, and it rises to the least that held this end up. When the two
meet, the level is the optimum and their paths are the order.

What keeps this small: f(S), the bytes alive in state S, is submodular on down-sets, because each
tensor adds [its writer has run] - [it is not needed any more]. Suppose that W, reached from S
within the level, has f(W) <= f(Y) for every state Y with S <= Y <= W. Take any order from S on and
run the operators of W first instead. At every state T of that order,

    f(T | W) <= f(T) + f(W) - f(T & W) <= f(T),

and an operator's own step needs no more than before, because a tensor whose last reader it was
has no new readers. So some best order passes W, and all the other states visited from S can be
forgotten: the search *settles* on W. From the other end the same holds. Orders of trees have been
found by such hills and valleys since Liu (1987, "An application of generalized tree pebbling to
sparse matrix factorization"); in other graphs the valleys have to be searched for.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from farm.plan.schedule.dag import Dag, State, bits

_COMPARED = 4096  # states looked at to find where to settle; beyond them, nothing settles
_LOOKAHEAD = 4  # operators in a row that may lead down to where the first of them started


@dataclass(frozen=True, slots=True)
class Found:
    """How a search ended.

    bound: no order has a lower peak. order: one whose peak is the bound; None when the bound has
    reached the limit, or when the search was told to stop. head, tail: operators that some best
    order begins and ends with. states: how many were visited.
    """

    bound: int
    order: tuple[int, ...] | None
    head: tuple[int, ...]
    tail: tuple[int, ...]
    states: int


def search(
    dag: Dag, start: State, end: State, bound: int, limit: int, go_on: Callable[[int], bool]
) -> Found:
    """The best order of the steps that are in ``end`` and not in ``start``.

    bound: a peak that no order undercuts. limit: the peak of an order that is known already.
    go_on: gets the number of states visited so far; the search stops when it returns False.
    """
    visited = 0
    head: tuple[int, ...] = ()
    tail: tuple[int, ...] = ()
    front, back = _Frontier(dag, start, end), _Frontier(dag, end, start)
    while bound < limit and go_on(visited):
        near, far = (front, back) if len(front.seen) <= len(back.seen) else (back, front)
        if not near.active:
            bound = min(near.least_blocked(limit), limit)
            front.unblock(bound)
            back.unblock(bound)
            continue
        visited += 1
        state = near.visit(bound)
        if state in far.seen:
            order = (*head, *front.path(state), *reversed(back.path(state)), *tail)
            return Found(bound, order, head, tail, visited)
        settled = near.settle()
        if settled is None:
            continue
        path = [index for index in near.path(state) if (settled ^ near.root) >> index & 1]
        if near is front:
            start, head = settled, (*head, *path)
        else:
            end, tail = settled, (*reversed(path), *tail)
        # Both ends: what the other left out, it left out on its way to the old root.
        front, back = _Frontier(dag, start, end), _Frontier(dag, end, start)
    return Found(bound, None, head, tail, visited)


@dataclass(frozen=True, slots=True, order=True)
class _Move:
    """One operator passed: bytes alive in its step, the states on both sides, bytes beyond."""

    step: int
    state: State
    live: int
    before: State
    index: int


class _Frontier:
    """The states reached from one end, the root, on the way to the other, the goal.

    seen: the moves that led to them. active: (bytes alive, -number, state) of those not visited,
    the one with the fewest bytes first, then the latest.
    """

    def __init__(self, dag: Dag, root: State, goal: State) -> None:
        self.root = root
        self._dag = dag
        self._between = root ^ goal
        self._forward = root & ~goal == 0
        self._required = dag.needs if self._forward else dag.needed_by
        self._opens = dag.needed_by if self._forward else dag.needs
        self._root_live = dag.live(root)
        self._blocked: list[_Move] = []
        self._visited = root, self._root_live
        self.seen: dict[State, _Move] = {}
        self.active: list[tuple[int, int, State]] = []
        self._reach(_Move(0, root, self._root_live, root, -1))

    def visit(self, level: int) -> State:
        """Reach the states behind the next active one, of which there must be one."""
        live, _, state = heapq.heappop(self.active)
        self._visited = state, live
        left = self._between & ~(state ^ self.root)
        moves = [self._move(state, live, index) for index in self._passable(left, left)]
        descent = self._descent(moves, live, level, _LOOKAHEAD)
        if descent is not None:
            self._follow(descent)
            return state
        for move in moves:
            if move.state in self.seen:
                continue
            if move.step <= level:
                self._reach(move)
            else:
                heapq.heappush(self._blocked, move)
        return state

    def settle(self) -> State | None:
        """The state to settle on, now that one was visited; None where there is none."""
        state, live = self._visited
        if live > self._root_live or state == self.root:
            return None
        return self._lowest_up_to(state)

    def path(self, state: State) -> list[int]:
        """The operators between the root and a state, in the order in which they were passed."""
        path = []
        while state != self.root:
            move = self.seen[state]
            path.append(move.index)
            state = move.before
        return path[::-1]

    def least_blocked(self, otherwise: int) -> int:
        """The lowest level at which there is more to visit."""
        while self._blocked and self._blocked[0].state in self.seen:
            heapq.heappop(self._blocked)
        return self._blocked[0].step if self._blocked else otherwise

    def unblock(self, level: int) -> None:
        """Reach the states behind steps that the level now allows."""
        while self._blocked and self._blocked[0].step <= level:
            move = heapq.heappop(self._blocked)
            if move.state not in self.seen:
                self._reach(move)

    def _reach(self, move: _Move) -> None:
        self.seen[move.state] = move
        heapq.heappush(self.active, (move.live, -len(self.seen), move.state))

    def _follow(self, moves: tuple[_Move, ...]) -> None:
        """Reach the last state only: whatever the others lead to, it leads to as well."""
        if moves[-1].state not in self.seen:
            for move in moves[:-1]:
                self.seen.setdefault(move.state, move)
            self._reach(moves[-1])

    def _descent(
        self, moves: list[_Move], live: int, level: int, depth: int
    ) -> tuple[_Move, ...] | None:
        """Operators, each made passable by the one before, that lead down to ``live`` or below.

        The states between are those on the way, all of them higher, so the search may settle
        behind them as far as what was visited from here is concerned.
        """
        allowed = [move for move in moves if move.step <= level]
        for move in allowed:
            if move.live <= live:
                return (move,)
        if depth > 1:
            for move in allowed:
                further = self._descent(self._opened(move), live, level, depth - 1)
                if further is not None:
                    return (move, *further)
        return None

    def _opened(self, move: _Move) -> list[_Move]:
        """The moves that ``move`` makes possible."""
        left = self._between & ~(move.state ^ self.root)
        candidates = self._opens[move.index] & left
        return [
            self._move(move.state, move.live, index) for index in self._passable(candidates, left)
        ]

    def _passable(self, candidates: State, left: State) -> Iterator[int]:
        return (index for index in bits(candidates) if not self._required[index] & left)

    def _move(self, state: State, live: int, index: int) -> _Move:
        beyond = state ^ 1 << index
        during, after = self._dag.steps[index].change(state if self._forward else beyond)
        if self._forward:
            return _Move(live + during, beyond, live + after, state, index)
        return _Move(live - after + during, beyond, live - after, state, index)

    def _lowest_up_to(self, state: State) -> State | None:
        """Of the states between the root and this one the lowest, then the furthest.

        None where there are too many to look at.
        """
        lowest = (self._root_live, 0, self.root)
        known = {self.root}
        waiting = [(self.root, self._root_live)]
        while waiting:
            before, live = waiting.pop()
            left = (state ^ self.root) & ~(before ^ self.root)
            for index in self._passable(left, left):
                move = self._move(before, live, index)
                if move.state not in known:
                    known.add(move.state)
                    waiting.append((move.state, move.live))
                    passed = (move.state ^ self.root).bit_count()
                    lowest = min(lowest, (move.live, -passed, move.state))
            if len(known) > _COMPARED:
                return None
        return lowest[2]
