"""The best order of an assignment, exactly: for graphs of few operators.

Dynamic programming over down-sets, the sets of operators that some order begins with. A state is a
down-set, the place of its last operator, and the fused groups that the present part has begun and
can still finish. A label is what an order has cost up to there: one sum, a sum for each place, or
the most bytes of each place, by what the objective asks; labels that another one is nowhere above
are dropped. What a place holds in a step depends on the down-set alone, so a capacity forbids
steps. Where the memory planner needs more than the fullest step has, orders are tried one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import inf

from farm.plan.placement import shares
from farm.plan.placement.evaluate import place_sums, value
from farm.plan.placement.orders.order import least_launches, sorted_order
from farm.plan.placement.problem import PlacementObjective
from farm.plan.placement.tables import FROM_CALLER, Order, Tables

_TRIED = 2_000  # orders, where arenas are higher than their fullest step
_ROUNDING = 1e-12  # sums in another order differ by so much

_Vector = tuple[float, ...]
_State = tuple[int, int, int]  # down-set, last place, groups begun


@dataclass(frozen=True, slots=True)
class BestOrder:
    """order: None where no order has less than what was asked for.

    bound: no order has less; the value itself where the order is proven to be the best.
    """

    order: Order | None
    value: float
    bound: float


@dataclass(frozen=True, slots=True)
class _Label:
    vector: _Vector
    operator: int
    before: _Label | None


def _never() -> bool:
    return False


def best_order(
    table: Tables, at: Sequence[int], below: float = inf, stop: Callable[[], bool] = _never
) -> BestOrder:
    """The order with the least value, if that is less than ``below``.

    stop: ends the search when it returns true.
    """
    if (found := _sorted(table, at, below)) is not None:
        return found
    search = _Orders(table, at, below)
    labels = search.labels(stop)
    if labels is None:
        return BestOrder(None, inf, -inf)
    labels.sort(key=lambda label: search.worth(label.vector))
    bound = search.worth(labels[0].vector) if labels else inf
    orders = (_traced(label) for label in labels if search.worth(label.vector) < below)
    best = _least(table, at, orders, below, bound, stop)
    if best.bound <= bound * (1.0 + _ROUNDING) or bound >= below:
        return best
    known = list(islice(search.orders(), _TRIED + 1))
    tried = _least(table, at, known[:_TRIED], best.bound, bound, stop)
    better = best if tried.order is None else tried
    is_proven = len(known) <= _TRIED and not stop()
    reached = better.value <= bound * (1.0 + _ROUNDING)
    return replace(better, bound=better.bound if is_proven or reached else bound)


def _sorted(table: Tables, at: Sequence[int], below: float) -> BestOrder | None:
    """The sorted order where it costs what every order costs at least; None where that is open."""
    if table.objective is PlacementObjective.PEAK_MEMORY:
        return None
    sums = place_sums(table, at)
    for group in table.groups:
        if all(at[i] == group.place for i in group.operators):
            sums[group.place] -= group.saving
    if table.additive:
        least = sum(sums) + least_launches(table, at)
    else:
        least = max(sums[p] + table.launch[p] for p in set(at))
    if least >= below:
        return BestOrder(None, inf, below)
    order = sorted_order(table, at, range(len(at)))
    found = value(table, at, order, below)
    is_least = found <= least + _ROUNDING * abs(least)
    return BestOrder(order, found, found) if is_least else None


def _least(
    table: Tables,
    at: Sequence[int],
    orders: Iterable[Order],
    below: float,
    bound: float,
    stop: Callable[[], bool],
) -> BestOrder:
    """The best of some orders, as soon as one is as good as the bound.

    Its bound is its own value, or what it had to be below.
    """
    best: Order | None = None
    least = below
    for order in orders:
        found = value(table, at, order, least)
        if found < least:
            best, least = order, found
        if least <= bound * (1.0 + _ROUNDING) or stop():
            break
    return BestOrder(best, inf if best is None else least, least)


class _Orders:
    """Down-sets of one assignment, and what their steps cost."""

    def __init__(self, table: Tables, at: Sequence[int], below: float) -> None:
        self._table = table
        self._at = at
        self._below = below
        self._sums = tuple(place_sums(table, at))
        self._sum = sum(self._sums)
        self._memory = table.objective is PlacementObjective.PEAK_MEMORY
        self._largest = table.objective is PlacementObjective.THROUGHPUT
        places = range(len(table.places))
        self._weights = [shares.weights_at(table, at, p) for p in places]
        self._room = [table.capacities[p] - self._weights[p] for p in places]
        self._needs = [sum(1 << j for j in needs) for needs in table.needs]
        self._groups = [
            g if all(at[i] == g.place for i in g.operators) else None for g in table.groups
        ]
        self._lying = [self._where(t) for t in range(len(table.tensors))]
        self._loads: dict[tuple[int, int], _Vector] = {}

    def worth(self, vector: _Vector) -> float:
        """The value of an order with these costs, if arenas are as high as their fullest step."""
        if self._memory:
            return float(sum(vector) + sum(self._weights))
        if self._largest:
            return max((s + v for s, v in zip(self._sums, vector, strict=True)), default=0.0)
        return self._sum + vector[0]

    def labels(self, stop: Callable[[], bool]) -> list[_Label] | None:
        """Of all orders that keep the capacities step by step, those that may be best.

        None where the search was told to stop.
        """
        if any(room < 0 for room in self._room):
            return []
        width = 1 if self._table.additive else len(self._table.places)
        level: dict[_State, list[_Label]] = {(0, -1, 0): [_Label((0.0,) * width, -1, None)]}
        for _ in self._at:
            longer: dict[_State, list[_Label]] = {}
            for state, labels in level.items():
                if stop():
                    return None
                for operator in self._ready(state[0]):
                    step = self._step(state, operator)
                    if step is not None:
                        further, change = step
                        self._extend(longer.setdefault(further, []), labels, operator, change)
            level = {state: labels for state, labels in longer.items() if labels}
        return [label for labels in level.values() for label in labels]

    def _extend(
        self, kept: list[_Label], labels: list[_Label], operator: int, change: _Vector
    ) -> None:
        """Add the labels after an operator. Where bytes count, they never become fewer."""
        for label in labels:
            vector = self._sum_of(label.vector, change)
            if not self._memory or self.worth(vector) < self._below:
                _add(kept, _Label(vector, operator, label))

    def orders(self) -> Iterator[Order]:
        """All orders that keep the capacities step by step."""
        yield from self._orders_from(0, ())

    def _orders_from(self, done: int, order: Order) -> Iterator[Order]:
        if len(order) == len(self._at):
            yield order
        for operator in self._ready(done):
            if self._step((done, -1, 0), operator) is not None:
                yield from self._orders_from(done | 1 << operator, (*order, operator))

    def _ready(self, done: int) -> list[int]:
        return [
            i for i, needs in enumerate(self._needs) if not done >> i & 1 and needs & done == needs
        ]

    def _step(self, state: _State, operator: int) -> tuple[_State, _Vector] | None:
        """The state after an operator, and what it costs; None where a place is too full."""
        done, last, begun = state
        place = self._at[operator]
        if self._memory or self._table.limited:
            loads = self._loads_in(done, operator)
            if any(load > room for load, room in zip(loads, self._room, strict=True)):
                return None
            if self._memory:
                return (done | 1 << operator, -1, 0), loads
        cost = 0.0 if place == last else self._table.launch[place]
        begun = begun if place == last else 0
        number = self._table.group_of[operator][place]
        group = self._groups[number] if number >= 0 else None
        after = done | 1 << operator
        if group is not None and (begun >> number & 1 or not done & group.mask):
            begun |= 1 << number
            if after & group.mask == group.mask:
                begun ^= 1 << number
                cost -= group.saving
        if self._largest:
            change = tuple(cost if p == place else 0.0 for p in range(len(self._room)))
        else:
            change = (cost,)
        return (after, place, begun), change

    def _sum_of(self, one: _Vector, two: _Vector) -> _Vector:
        combine = max if self._memory else float.__add__
        return tuple(map(combine, one, two))

    def _where(self, tensor: int) -> list[int]:
        """By place the mask of the operators that read a tensor there."""
        masks = [0] * len(self._table.places)
        for i in self._table.readers[tensor]:
            masks[self._at[i]] |= 1 << i
        return masks

    def _loads_in(self, done: int, operator: int) -> _Vector:
        """Bytes at each place in the step that runs an operator after a down-set."""
        key = (done, operator)
        if key in self._loads:
            return self._loads[key]
        loads = [0.0] * len(self._room)
        for t, source in enumerate(self._table.source):
            if source not in (FROM_CALLER, operator) and not done >> source & 1:
                continue
            here = -1 if source == FROM_CALLER else self._at[source]
            for p, readers in enumerate(self._lying[t]):
                waited_for = readers & ~done
                if p == here:
                    waited_for = waited_for or source == operator or self._waits(t, p, done)
                if waited_for:
                    loads[p] += self._table.sizes[t]
        self._loads[key] = tuple(loads)
        return self._loads[key]

    def _waits(self, tensor: int, place: int, done: int) -> bool:
        """Whether a tensor has still to leave the place where it was written."""
        return self._table.returned[tensor] or any(
            readers and not readers & done
            for p, readers in enumerate(self._lying[tensor])
            if p != place
        )


def _add(kept: list[_Label], label: _Label) -> None:
    """Add a label unless another one is nowhere above it, and drop those that it is."""
    vector = label.vector
    for other in kept:
        if all(a <= b for a, b in zip(other.vector, vector, strict=True)):
            return
    kept[:] = [k for k in kept if not all(a <= b for a, b in zip(vector, k.vector, strict=True))]
    kept.append(label)


def _traced(label: _Label) -> Order:
    found = []
    here: _Label | None = label
    while here is not None and here.operator >= 0:
        found.append(here.operator)
        here = here.before
    return tuple(reversed(found))


def least_load(table: Tables, stop: Callable[[], bool]) -> int:
    """The most bytes that are alive in one step, in the order in which these are fewest.

    All places together hold as much: what is alive is alive at one of them at least. 0 where the
    search was told to stop.
    """
    free = (inf,) * len(table.places)
    problem = replace(table, objective=PlacementObjective.PEAK_MEMORY, capacities=free)
    labels = _Orders(problem, (0,) * len(table.costs), inf).labels(stop)
    if labels is None:
        return 0
    return int(min((max(label.vector) for label in labels), default=0))
