"""What a plan is compared with: the best single place, and what simpler methods find."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from farm.plan.placement.evaluate import value
from farm.plan.placement.methods.baselines import greedy, heft, single_places
from farm.plan.placement.methods.chain import chain
from farm.plan.placement.orders.order import sorted_order
from farm.plan.placement.problem import Problem
from farm.plan.placement.solution import Solution
from farm.plan.placement.tables import At, Order, Tables, tables
from farm.plan.solution import Status
from farm.units import Seconds


@dataclass(frozen=True, slots=True)
class Compared:
    """Solutions that need no search; None where a method finds none that keeps all limits."""

    single: Solution | None
    chain: Solution | None
    greedy: Solution | None
    heft: Solution | None


def compared(problem: Problem) -> Compared:
    """The best single place, the sorted chain, greedy and HEFT, by the model of cost."""
    table = tables(problem)
    given = tuple(range(len(table.costs)))
    singles = (_solution(table, at, given, "single place") for at in single_places(table))
    best = min((s for s in singles if s), key=lambda s: s.value, default=None)
    found = heft(table)
    return Compared(
        best,
        _sorted(table, chain(table, given), "sorted chain"),
        _sorted(table, greedy(table), "greedy"),
        _solution(table, *found, "heft") if found else None,
    )


def _sorted(table: Tables, at: At | None, method: str) -> Solution | None:
    if at is None:
        return None
    given = tuple(range(len(table.costs)))
    return _solution(table, at, sorted_order(table, at, given), method)


def _solution(table: Tables, at: At, order: Order, method: str) -> Solution | None:
    found = value(table, at, order)
    if found == inf:
        return None
    return Solution(
        table.assignment(at),
        tuple(table.names[i] for i in order),
        found,
        0.0,
        Status.FEASIBLE,
        Seconds(0.0),
        method=method,
    )
