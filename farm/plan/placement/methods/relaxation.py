"""A lower bound of the value by linear programming, whole or in parts, and the places it prefers.

Operators may be at several places in part. With x[i, p] how much of operator i is at place p:

- a tensor goes from its source's place s to q by w[t, s, q] <= x[source, s], and each reader
  keeps x[reader, q] - x[source, q] <= sum of w[t, s, q] over s; with a single reader, all that
  goes from s together is at most x[source, s];
- a fused group is whole by z <= x[member, place];
- parts begin along every path: the launches up to an operator are at least those up to the one
  before it, plus launch[p] (x[i, p] - x[before, p]) wherever that is positive; and a place in use
  launches once. No order has fewer.

With ``throughput`` the largest sum of a place counts, instead of all of them. A capacity limits
the weights of a place and what its operators read and write.

The bound of the relaxation is not what the solver says it is, but computed from its dual values:
weak duality holds for any of them, however inexact the solver is. Where operators must be whole,
the bound is the solver's, less the millionth that its tolerances leave open. Even then launches
and arenas are only bounded from below, so what it prefers may break a capacity. Costs are counted
in their mean and bytes in capacities, because the tolerances are absolute.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np
import scipy  # its packages are loaded where they are used, which takes long
from numpy.typing import NDArray

from farm.host.silence import silenced
from farm.plan.placement.tables import FROM_CALLER, Tables

_TOLERANCE = 1e-6  # of the solver, relative

_Terms = Sequence[tuple[int, float]]  # variables and their factors


@dataclass(frozen=True, slots=True)
class Relaxed:
    """bound: no placement has less. shares: [operator][place], none where there is no solution.

    infeasible: not even parts of operators keep the limits.
    """

    bound: float
    shares: NDArray[np.float64] | None
    infeasible: bool = False


def relax(table: Tables, below: float, seconds: float) -> Relaxed:
    """The bound, as far as it is below a value that is known to be reached."""
    unit = _unit(table)
    programme = _Programme(_in_units(table, unit), below / unit)
    programme.build()
    found = programme.solve(seconds)
    return replace(found, bound=found.bound * unit)


def whole(table: Tables, below: float, seconds: float) -> Relaxed:
    """The same with every operator at one place: dearer to solve, and mostly a better bound."""
    unit = _unit(table)
    programme = _Programme(_in_units(table, unit), below / unit)
    programme.build()
    found = programme.solve_whole(seconds)
    return replace(found, bound=found.bound * unit)


def _unit(table: Tables) -> float:
    """The mean of what operators cost at least."""
    return sum(min(costs) for costs in table.costs) / len(table.costs) or 1.0


def _in_units(table: Tables, unit: float) -> Tables:
    """The same with all costs in a unit."""
    carry = {
        rows: tuple(tuple(cost / unit for cost in row) for row in rows)
        for rows in set(table.carry)
    }
    return replace(
        table,
        costs=tuple(tuple(cost / unit for cost in costs) for costs in table.costs),
        carry=tuple(carry[rows] for rows in table.carry),
        launch=tuple(launch / unit for launch in table.launch),
        groups=tuple(replace(group, saving=group.saving / unit) for group in table.groups),
    )


@dataclass(slots=True)
class _Rows:
    """Rows of a matrix, and their right-hand sides."""

    values: list[float] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    sides: list[float] = field(default_factory=list)

    def add(self, terms: _Terms, side: float) -> None:
        for column, factor in terms:
            self.columns.append(column)
            self.values.append(factor)
        self.starts.append(len(self.columns))
        self.sides.append(side)

    def matrix(self, width: int) -> scipy.sparse.csr_array:
        shape = (len(self.sides), width)
        matrix = scipy.sparse.csr_array((self.values, self.columns, self.starts), shape=shape)
        matrix.sum_duplicates()
        return matrix


class _Programme:
    def __init__(self, table: Tables, below: float) -> None:
        self._table = table
        self._width = len(table.places)
        self._costs: list[float] = []
        self._most: list[float] = []
        self._below = below
        self._at_most = _Rows()
        self._equal = _Rows()
        self._sums: list[list[tuple[int, float]]] = [[] for _ in table.places]

    def build(self) -> None:
        """All variables and rows."""
        table = self._table
        for i, costs in enumerate(table.costs):
            for cost in costs:
                self._variable(1.0 if cost < inf else 0.0)
            self._equal.add([(self._x(i, p), 1.0) for p in range(self._width)], 1.0)
            for p, cost in enumerate(costs):
                if cost < inf:
                    self._pay(p, self._x(i, p), cost)
        for t in range(len(table.tensors)):
            self._tensor(t)
        for group in table.groups:
            whole = self._variable(1.0)
            self._pay(group.place, whole, -group.saving)
            for i in group.operators:
                self._at_most.add([(whole, 1.0), (self._x(i, group.place), -1.0)], 0.0)
        used = self._used()
        if table.limited:
            self._capacities()
        if table.additive:
            self._launches(used)
        else:
            self._largest(used)

    def solve(self, seconds: float) -> Relaxed:
        """Solve it within a time; without a bound worth the name where that does not suffice."""
        count = len(self._costs)
        costs, most = np.array(self._costs), np.array(self._most)
        upper, equal = self._at_most.matrix(count), self._equal.matrix(count)
        sides, totals = np.array(self._at_most.sides), np.array(self._equal.sides)
        result = scipy.optimize.linprog(  # type: ignore[call-overload]
            costs,
            A_ub=upper,
            b_ub=sides,
            A_eq=equal,
            b_eq=totals,
            bounds=np.stack([np.zeros(count), most], axis=1),
            method="highs",
            options={"time_limit": max(seconds, 0.01)},
        )
        if result.status == 2:  # or the solver could not read the problem
            return Relaxed(0.0, None, infeasible="infeasible" in result.message)
        if result.x is None or result.status != 0:
            return Relaxed(0.0, None)
        duals = np.minimum(result.ineqlin.marginals, 0.0), result.eqlin.marginals
        reduced = costs - upper.T @ duals[0] - equal.T @ duals[1]
        bound = sides @ duals[0] + totals @ duals[1] + np.minimum(reduced, 0.0) @ most
        operators = len(self._table.costs)
        shares = result.x[: operators * self._width].reshape(operators, self._width)
        return Relaxed(float(bound), shares)

    def solve_whole(self, seconds: float) -> Relaxed:
        """Solve it with whole operators, as far as a time allows."""
        count, placed = len(self._costs), len(self._table.costs) * self._width
        with silenced():  # HiGHS says there what it undoes, and which heuristic it tries
            result = scipy.optimize.milp(
                np.array(self._costs),
                integrality=(np.arange(count) < placed).astype(np.int64),
                bounds=scipy.optimize.Bounds(0.0, np.array(self._most)),
                constraints=[
                    scipy.optimize.LinearConstraint(
                        self._at_most.matrix(count), -np.inf, self._at_most.sides
                    ),
                    scipy.optimize.LinearConstraint(
                        self._equal.matrix(count), self._equal.sides, self._equal.sides
                    ),
                ],
                options={
                    "time_limit": max(seconds, 0.01),
                    "mip_rel_gap": _TOLERANCE,
                    "presolve": False,
                },
            )
        bound = -inf if result.mip_dual_bound is None else float(result.mip_dual_bound)
        bound = max(bound * (1.0 - _TOLERANCE), 0.0) if bound < inf else 0.0
        shares = None if result.x is None else result.x[:placed].reshape(-1, self._width)
        return Relaxed(bound, shares)

    def _x(self, operator: int, place: int) -> int:
        return operator * self._width + place

    def _variable(self, most: float) -> int:
        self._costs.append(0.0)
        self._most.append(most)
        return len(self._costs) - 1

    def _pay(self, place: int, variable: int, cost: float) -> None:
        """A cost that counts for a place."""
        if self._table.additive:
            self._costs[variable] += cost
        else:
            self._sums[place].append((variable, cost))

    def _tensor(self, t: int) -> None:
        table, source = self._table, self._table.source[t]
        readers, carry = table.readers[t], table.carry[t]
        if source == FROM_CALLER:
            for q in range(self._width) if readers else ():
                self._given(readers, q, carry[table.caller][q])
            return
        if table.returned[t]:
            for p in range(self._width):
                self._pay_or_forbid(p, self._x(source, p), carry[p][table.caller])
        if readers:
            self._sent(t)

    def _given(self, readers: Sequence[int], place: int, cost: float) -> None:
        """An input of the model, once for all its readers at a place."""
        if len(readers) == 1:
            self._pay_or_forbid(place, self._x(readers[0], place), cost)
            return
        there = self._variable(1.0)
        self._pay_or_forbid(place, there, cost)
        for i in readers:
            self._at_most.add([(self._x(i, place), 1.0), (there, -1.0)], 0.0)

    def _sent(self, t: int) -> None:
        """A tensor from its source to its readers."""
        table, source = self._table, self._table.source[t]
        readers, places = table.readers[t], range(self._width)
        able = [p for p in places if table.costs[source][p] < inf]
        wanted = [q for q in places if any(table.costs[i][q] < inf for i in readers)]
        sent = {}
        for s in able:
            for q in wanted:
                if s != q:
                    sent[s, q] = self._variable(1.0)
                    self._pay_or_forbid(q, sent[s, q], table.carry[t][s][q])
        for s in able:
            leaving = [sent[s, q] for q in wanted if s != q]
            rows = [leaving] if len(readers) == 1 else [[w] for w in leaving]
            for row in rows:
                if row:
                    terms = [*((w, 1.0) for w in row), (self._x(source, s), -1.0)]
                    self._at_most.add(terms, 0.0)
        for q in wanted:
            arriving = [(sent[s, q], -1.0) for s in able if s != q]
            for i in readers:
                if table.costs[i][q] < inf:
                    here = [(self._x(i, q), 1.0), (self._x(source, q), -1.0)]
                    self._at_most.add([*here, *arriving], 0.0)

    def _pay_or_forbid(self, place: int, variable: int, cost: float) -> None:
        if cost == inf:
            self._most[variable] = 0.0
        else:
            self._pay(place, variable, cost)

    def _used(self) -> list[int]:
        """Variables: how much of each place is in use."""
        found = []
        for p in range(self._width):
            used = self._variable(1.0)
            found.append(used)
            for i, costs in enumerate(self._table.costs):
                if costs[p] < inf:
                    self._at_most.add([(self._x(i, p), 1.0), (used, -1.0)], 0.0)
        return found

    def _launches(self, used: Sequence[int]) -> None:
        """All launches as one variable, at least those along every path."""
        table = self._table
        if not any(table.launch):
            return
        most = self._limit()
        launched = self._variable(most)
        self._costs[launched] = 1.0
        once = [(used[p], table.launch[p]) for p in range(self._width)]
        self._at_most.add([*once, (launched, -1.0)], 0.0)
        up_to = [self._variable(most) for _ in table.costs]
        for i, needs in enumerate(table.needs):
            for j in needs:
                self._further(up_to, j, i)
            if not needs:
                terms = [(self._x(i, p), table.launch[p]) for p in range(self._width)]
                self._at_most.add([*terms, (up_to[i], -1.0)], 0.0)
            if not table.needed_by[i]:
                self._at_most.add([(up_to[i], 1.0), (launched, -1.0)], 0.0)

    def _further(self, up_to: Sequence[int], one: int, two: int) -> None:
        """What is launched between two operators of a path."""
        terms = [(up_to[one], 1.0), (up_to[two], -1.0)]
        for p in range(self._width):
            if self._table.launch[p] > 0.0 and self._table.costs[two][p] < inf:
                begun = self._variable(1.0)
                terms.append((begun, self._table.launch[p]))
                ends = [(self._x(two, p), 1.0), (self._x(one, p), -1.0)]
                self._at_most.add([*ends, (begun, -1.0)], 0.0)
        self._at_most.add(terms, 0.0)

    def _largest(self, used: Sequence[int]) -> None:
        """The value is at least the sum of every place."""
        largest = self._variable(self._limit())
        self._costs[largest] = 1.0
        for p, terms in enumerate(self._sums):
            launch = (used[p], self._table.launch[p])
            self._at_most.add([*terms, launch, (largest, -1.0)], 0.0)

    def _limit(self) -> float:
        """More than any value that matters, so that every variable is bounded."""
        if self._below < inf:
            return 2.0 * self._below
        table = self._table
        total = sum(cost for costs in table.costs for cost in costs if cost < inf)
        total += sum(c for rows in table.carry for row in rows for c in row if c < inf)
        return total + len(table.costs) * sum(table.launch)

    def _capacities(self) -> None:
        """Of each place that has one, at least its weights and what one operator touches."""
        table = self._table
        for p, capacity in enumerate(table.capacities):
            if capacity == inf:
                continue
            held = [self._variable(1.0) for _ in table.weight_sizes]
            unit = max(capacity, 1.0)
            holding = [(h, s / unit) for h, s in zip(held, table.weight_sizes, strict=True)]
            for i, weights in enumerate(table.held):
                for w in weights:
                    self._at_most.add([(self._x(i, p), 1.0), (held[w], -1.0)], 0.0)
            arena = self._variable(1.0)
            for i in range(len(table.costs)):
                touched = sum(table.sizes[t] for t in {*table.reads[i], *table.writes[i]})
                self._at_most.add([(self._x(i, p), touched / unit), (arena, -1.0)], 0.0)
            self._at_most.add([*holding, (arena, 1.0)], 1.0)
