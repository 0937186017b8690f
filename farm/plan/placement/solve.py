"""Places the operators of a model: picks the methods, and proves as much as the time allows.

- Few operators: branch and bound, exact for every objective and limit, if it comes to an end.
- Sums of costs in narrow graphs: dynamic programming over the frontier, exact where no capacity
  binds.
- Else: cuts and local search from the baselines, and a bound by linear programming.

The answer is never worse than the best single place, greedy, HEFT, and the chain solution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf
from random import Random
from time import perf_counter

from farm.plan.placement.evaluate import value
from farm.plan.placement.methods import baselines
from farm.plan.placement.methods.binding import binding
from farm.plan.placement.methods.branch import branch_and_bound
from farm.plan.placement.methods.chain import chain
from farm.plan.placement.methods.domains import narrowed
from farm.plan.placement.methods.frontier import search_frontier
from farm.plan.placement.methods.improve import Placed, climb, expand, scored
from farm.plan.placement.methods.relaxation import Relaxed, relax, whole
from farm.plan.placement.methods.two_places import two_places
from farm.plan.placement.orders.best_order import best_order
from farm.plan.placement.orders.low_memory import lowest_memory
from farm.plan.placement.orders.order import sorted_order
from farm.plan.placement.problem import PlacementObjective, Problem
from farm.plan.placement.solution import Solution
from farm.plan.placement.tables import At, Order, Tables, tables
from farm.plan.solution import Status
from farm.units import Seconds, counted

_FEW = 14  # operators that branch and bound is tried on
_STATES = 10_000  # of the frontier, of equally many operators
_OPTIMAL = 1e-9  # of a value: sums in another order differ by less
_SHARES = (0.3, 0.6, 0.9)  # of the time, after which improving, exact searches, the rest ends
_MANY = 2_000  # operators from which on an integer programme is not tried
_SMALL_GAP = 1e-3  # for which it is not tried either


def place(problem: Problem, *, seconds: float = 10.0, seed: int = 0) -> Solution:
    """The best placement that is found in a time, and what is proven about it.

    The same problem and seed get the same answer, unless the time runs out. It is never worse than
    the best single place, greedy, HEFT and the chain solution, in the problem's order and sorted.
    """
    begin = perf_counter()
    table = tables(problem)
    if not table.names:
        taken = Seconds(perf_counter() - begin)
        return Solution({}, (), 0.0, 0.0, Status.OPTIMAL, taken, method="nothing to place")
    narrow = narrowed(table)
    random = Random(seed)  # noqa: S311  (in which order moves are tried)
    planner = _Planner(narrow.tables, random, begin, seconds)
    if not narrow.binding:
        planner.plan()
    return planner.solution(narrow.binding)


@dataclass(frozen=True, slots=True)
class _Best:
    at: At
    order: Order
    value: float
    method: str


class _Planner:
    """The best placement so far, and the best bound."""

    def __init__(self, table: Tables, random: Random, begin: float, seconds: float) -> None:
        self._table = table
        self._random = random
        self._begin = begin
        self._seconds = seconds
        self._best: _Best | None = None
        self._bound = _least_value(table)
        self._starts: list[tuple[At, Order]] = []
        self._why = ""

    @property
    def _value(self) -> float:
        return inf if self._best is None else self._best.value

    def plan(self) -> None:
        """Everything that the time allows, until the best is proven to be so."""
        given = tuple(range(len(self._table.names)))
        for method, at, order in _baselines(self._table, given):
            self._offer(at, order, method)
            self._offer(at, sorted_order(self._table, at, order), method)
            self._starts.append((at, order))
        for step in self._steps():
            if not self._is_settled():
                step()

    def _steps(self) -> list[Callable[[], None]]:
        """What is tried, in this order: the quick before the exact."""
        is_few = len(self._table.names) <= _FEW
        steps: list[Callable[[], None]] = [self._lowest_memory]
        if self._table.additive:
            steps += [self._expand, self._two_places, self._relax, self._frontier]
        if is_few:
            steps.append(self._branch)
        if self._table.objective is PlacementObjective.THROUGHPUT:
            steps.append(self._relax)
        if self._table.objective is not PlacementObjective.PEAK_MEMORY:
            steps.append(self._whole)
        steps.append(self._climb)
        return [*steps, self._branch_again] if is_few else steps

    def solution(self, why: str) -> Solution:
        """What was found. why: there is nothing to be found, if that is known."""
        taken = Seconds(perf_counter() - self._begin)
        if self._best is None:
            proven = bool(why) or self._bound == inf
            status = Status.INFEASIBLE if proven else Status.UNKNOWN
            why = why or self._why or binding(self._table, proven=proven, stop=self._until(2.0))
            return Solution({}, (), inf, inf if proven else self._bound, status, taken, why)
        best = self._best
        bound = best.value if self._is_settled() else min(self._bound, best.value)
        return Solution(
            assignment=self._table.assignment(best.at),
            order=tuple(self._table.names[i] for i in best.order),
            value=best.value,
            bound=max(bound, 0.0),
            status=Status.OPTIMAL if self._is_settled() else Status.FEASIBLE,
            seconds=taken,
            method=best.method,
        )

    def _is_settled(self) -> bool:
        if self._best is None:
            return self._bound == inf
        return self._best.value - self._bound <= _OPTIMAL * abs(self._best.value)

    def _until(self, share: float) -> Callable[[], bool]:
        """Whether a share of the time is over."""
        end = self._begin + share * self._seconds
        return lambda: perf_counter() >= end

    def _offer(self, at: At, order: Order, method: str) -> None:
        found = value(self._table, at, order, self._value)
        if found < self._value:
            self._best = _Best(at, order, found, method)

    def _branch(self) -> None:
        if self._table.objective is PlacementObjective.PEAK_MEMORY:
            self._settle_early()
        self._branch_until(_SHARES[1])

    def _branch_again(self) -> None:
        """With a better value known, more branches end early."""
        self._branch_until(1.0)

    def _branch_until(self, share: float) -> None:
        found = branch_and_bound(self._table, self._value, self._until(share))
        if found.at is not None:
            self._best = _Best(found.at, found.order, found.value, "branch and bound")
        self._raise(found.bound)

    def _settle_early(self) -> None:
        """A low value makes the search short, and here every order takes long to look at."""
        for start in self._ranked_starts():
            stop = self._until(_SHARES[0])
            better = climb(self._table, start, self._random, stop)
            found = best_order(self._table, better.at, self._value, stop)
            if found.order is not None:
                self._offer(better.at, found.order, "local search")

    def _raise(self, bound: float) -> None:
        self._bound = max(self._bound, bound)

    def _expand(self) -> None:
        stop = self._until(_SHARES[0])
        for start in self._ranked_starts():
            if stop():
                return
            better = expand(self._table, start, stop)
            self._offer(better.at, better.order, "cuts")

    def _frontier(self) -> None:
        found = search_frontier(self._table, self._value, self._until(_SHARES[1]), _STATES)
        if found is None:
            return
        self._raise(found.value)
        if found.at is not None:
            self._offer(found.at, found.order, "frontier")

    def _two_places(self) -> None:
        if len(self._table.places) != 2:
            return
        found = two_places(self._table, self._until(_SHARES[1]))
        self._raise(found.bound)
        self._offer(found.at, sorted_order(self._table, found.at, range(len(found.at))), "cut")

    def _relax(self) -> None:
        found = relax(self._table, self._value, self._left(_SHARES[2]))
        self._learn(found, "linear programme")

    def _whole(self) -> None:
        """Where cuts leave a gap: a capacity binds, or the largest sum counts."""
        if len(self._table.names) > _MANY or self._gap() < _SMALL_GAP:
            return
        found = whole(self._table, self._value, self._left(_SHARES[1]))
        self._learn(found, "integer programme")

    def _learn(self, found: Relaxed, method: str) -> None:
        """The bound of a programme, and what is near to its solution."""
        if found.infeasible and self._best is None:
            self._raise(inf)
            return
        self._raise(min(found.bound, self._value))
        if found.shares is None or self._is_settled():
            return
        at = tuple(int(p) for p in found.shares.argmax(axis=1))
        order = sorted_order(self._table, at, range(len(at)))
        self._offer(at, order, method)
        self._starts.append((at, order))
        if self._table.additive:
            better = expand(self._table, scored(self._table, at, order), self._until(1.0))
            self._offer(better.at, better.order, f"{method} and cuts")

    def _left(self, share: float) -> float:
        """Seconds until a share of the time is over."""
        return self._begin + share * self._seconds - perf_counter()

    def _gap(self) -> float:
        return (self._value - self._bound) / self._value if self._value < inf else inf

    def _climb(self) -> None:
        """From the starts, the best first, as long as there is time."""
        if self._table.additive and not self._table.limited:
            return
        for start in self._ranked_starts():
            better = climb(self._table, start, self._random, self._until(_SHARES[2]))
            self._offer(better.at, better.order, "local search")
            if self._until(_SHARES[2])():
                return

    def _ranked_starts(self) -> list[Placed]:
        """The best so far, then the baselines, the best first."""
        found = [scored(self._table, at, order) for at, order in self._starts]
        if self._best is not None:
            found.append(scored(self._table, self._best.at, self._best.order))
        distinct: dict[At, Placed] = {}
        for placed in sorted(found, key=lambda p: p.score):
            distinct.setdefault(placed.at, placed)
        return list(distinct.values())

    def _lowest_memory(self) -> None:
        """Where bytes count: the starts in an order that needs few, and whether all have room."""
        is_objective = self._table.objective is PlacementObjective.PEAK_MEMORY
        if not is_objective and not self._table.limited:
            return
        found = lowest_memory(self._table, self._until(_SHARES[0]))
        for at in dict.fromkeys(at for at, _ in self._starts):
            self._offer(at, found.order, "schedule")
            self._starts.append((at, found.order))
        room = sum(self._table.capacities)
        if is_objective:
            self._raise(float(found.bound))
        if found.bound > room:
            self._raise(inf)
            self._why = (
                f"All places together hold {counted(int(room), 'byte')}, and every placement "
                f"needs {found.bound:,} at least."
            )


def _least_value(table: Tables) -> float:
    """What every placement costs: its operators where each costs least, all groups whole."""
    if table.objective is PlacementObjective.PEAK_MEMORY:
        return 0.0
    least = sum(
        min(cost - share for cost, share in zip(costs, shares, strict=True))
        for costs, shares in zip(table.costs, table.shares, strict=True)
    )
    return max(least, 0.0) / (1 if table.additive else len(table.places))


def _baselines(table: Tables, given: Order) -> Iterator[tuple[str, At, Order]]:
    for at in baselines.single_places(table):
        yield "single place", at, given
    if (greedy := baselines.greedy(table)) is not None:
        yield "greedy", greedy, given
    if (heft := baselines.heft(table)) is not None:
        yield "HEFT", *heft
    if (along := chain(table, given)) is not None:
        yield "chain", along, given
