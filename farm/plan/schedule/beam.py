"""Beam search for a good order between two states of a graph.

One step at a time it keeps the most promising states: those with the lowest peak so far, and
among these with the fewest bytes alive. Two ways to one state differ in their peak only, so the
worse is dropped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from farm.plan.schedule.dag import Dag, State, bits


@dataclass(frozen=True, slots=True)
class _Partial:
    """Some steps run: the peak so far, bytes alive now, the last step, those before."""

    peak: int
    live: int
    state: State
    index: int
    before: _Partial | None


def beam_search(dag: Dag, start: State, end: State, width: int) -> tuple[int, ...]:
    """An order of the steps that are in ``end`` and not in ``start``.

    width: how many states are kept at each step, at least 1.
    """
    kept = [_Partial(0, dag.live(start), start, -1, None)]
    for _ in range((end ^ start).bit_count()):
        best: dict[State, _Partial] = {}
        for partial in kept:
            for longer in _extended(dag, partial, end):
                rival = best.get(longer.state)
                if rival is None or longer.peak < rival.peak:
                    best[longer.state] = longer
        kept = sorted(best.values(), key=lambda p: (p.peak, p.live, p.state))[:width]
    return _order(kept[0])


def _extended(dag: Dag, partial: _Partial, end: State) -> Iterator[_Partial]:
    left = end & ~partial.state
    for index in bits(left):
        if not dag.needs[index] & left:
            during, after = dag.steps[index].change(partial.state)
            yield _Partial(
                max(partial.peak, partial.live + during),
                partial.live + after,
                partial.state | 1 << index,
                index,
                partial,
            )


def _order(partial: _Partial) -> tuple[int, ...]:
    order = []
    while partial.before is not None:
        order.append(partial.index)
        partial = partial.before
    return tuple(reversed(order))
