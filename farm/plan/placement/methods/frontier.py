"""Dynamic programming over what lies between the operators that ran and those that did not.

Exact for any number of places, over all assignments and all orders together, where few operators
can run next and few tensors are alive: chains, and the narrow graphs of most models. A state is
the set of operators that ran (a down-set), the place of the last one, the fused groups that the
present part has begun, and for each tensor that is still read where it was written and where it
has been. Capacities are not looked at, so with them the result is a bound.

One state of a down-set dominates another when it costs no more with all that it would take to be
as the other: a launch, transfers, savings. What remains is cut by the best value known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from farm.plan.placement.tables import FROM_CALLER, At, Order, Tables

_COMPARED = 6  # states of a down-set that the others are compared with

_Code = tuple[int, int]  # where a tensor was written, and the bits of the places it is at
_State = tuple[int, int, tuple[_Code, ...]]  # last place, groups begun, tensors alive
_Step = tuple[int, int]  # operator and place


@dataclass(frozen=True, slots=True)
class Found:
    """at, order: None and empty where no placement has less than what was asked for.

    value: no placement has less, capacities apart; what was asked for where none is below it.
    """

    at: At | None
    order: Order
    value: float


@dataclass(frozen=True, slots=True)
class _Label:
    cost: float
    step: _Step
    before: _Label | None


_Labels = dict[_State, _Label]


def search_frontier(
    table: Tables, below: float, stop: Callable[[], bool], most: int
) -> Found | None:
    """The least sum of all costs, if it is less than ``below``; None where it became too much.

    most: states of equally many operators; where there are more, it would take too long.
    """
    search = _Frontier(table, below)
    level: dict[int, _Labels] = {0: search.start()}
    for _ in table.costs:
        further: dict[int, _Labels] = {}
        for done, labels in level.items():
            kept = search.undominated(done, labels)
            for operator in search.ready(done):
                search.extend(done, kept, operator, further)
                if stop() or sum(map(len, further.values())) > most:
                    return None
        level = further
    ends = [label for states in level.values() for label in states.values()]
    if not ends:
        return Found(None, (), below)
    best = min(ends, key=lambda label: label.cost)
    at, order = [0] * len(table.costs), []
    here: _Label | None = best
    while here is not None and here.before is not None:
        operator, at[operator] = here.step
        order.append(operator)
        here = here.before
    return Found(tuple(at), tuple(reversed(order)), best.cost)


class _Frontier:
    def __init__(self, table: Tables, below: float) -> None:
        self._table = table
        self._below = below
        self._needs = [sum(1 << j for j in needs) for needs in table.needs]
        self._reading = [sum(1 << i for i in readers) for readers in table.readers]
        self._least = [
            min(cost - share for cost, share in zip(costs, shares, strict=True))
            for costs, shares in zip(table.costs, table.shares, strict=True)
        ]
        self._alive: dict[int, tuple[int, ...]] = {0: self._given()}
        self._rest: dict[int, float] = {0: sum(self._least)}
        self._ready: dict[int, tuple[int, ...]] = {
            0: tuple(i for i, needs in enumerate(self._needs) if not needs)
        }
        self._becoming = lru_cache(maxsize=None)(self._costs_of_becoming)

    def start(self) -> _Labels:
        """Before the first operator: the caller has all inputs."""
        caller = self._table.caller
        state = (-1, 0, tuple((caller, 0) for _ in self._alive[0]))
        return {state: _Label(0.0, (-1, -1), None)}

    def ready(self, done: int) -> tuple[int, ...]:
        """The operators that can run next."""
        return self._ready[done]

    def undominated(self, done: int, labels: _Labels) -> list[tuple[_State, _Label]]:
        """The states of a down-set, the cheapest first, without those that another one beats."""
        tensors = self._alive[done]
        kept: list[tuple[_State, _Label]] = []
        for state, label in sorted(labels.items(), key=lambda item: (item[1].cost, item[0])):
            for other, cheaper in kept[:_COMPARED]:
                room = label.cost - cheaper.cost
                if self._differ(done, tensors, other, state, room):
                    break
            else:
                kept.append((state, label))
        return kept

    def extend(
        self,
        done: int,
        kept: list[tuple[_State, _Label]],
        operator: int,
        further: dict[int, _Labels],
    ) -> None:
        """Run an operator after each state of a down-set, at each place."""
        table = self._table
        after = done | 1 << operator
        if after not in self._alive:
            self._describe(done, operator, after)
        tensors, later = self._alive[done], self._alive[after]
        index = {t: k for k, t in enumerate(tensors)}
        read = [(index[t], table.carry[t]) for t in table.reads[operator]]
        reading = set(table.reads[operator])
        staying = [(index.get(t, -1), t in reading) for t in later]
        limit = self._below - self._rest[after]
        into = further.setdefault(after, {})
        for place in table.allowed(operator):
            own = table.costs[operator][place] + sum(
                table.carry[t][place][table.caller]
                for t in table.writes[operator]
                if table.returned[t]
            )
            bit = 1 << place
            number = table.group_of[operator][place]
            for state, label in kept:
                last, begun, codes = state
                cost = label.cost + own
                if last != place:
                    cost += table.launch[place] + self._lost(done, begun)
                    begun = 0
                for k, carry in read:
                    source, at = codes[k]
                    if not at & bit:
                        cost += carry[source][place]
                if number >= 0:
                    begun, saved = self._grouped(number, done, after, begun, operator)
                    cost -= saved
                if cost >= limit:
                    continue
                key = (place, begun, _moved(codes, staying, place))
                rival = into.get(key)
                if rival is None or cost < rival.cost:
                    into[key] = _Label(cost, (operator, place), label)
        if not into:
            del further[after]

    def _given(self) -> tuple[int, ...]:
        table = self._table
        return tuple(
            t for t, s in enumerate(table.source) if s == FROM_CALLER and table.readers[t]
        )

    def _describe(self, done: int, operator: int, after: int) -> None:
        """What is alive after a down-set, what its operators and the others cost, who is next."""
        table = self._table
        alive = [t for t in self._alive[done] if self._reading[t] & ~after]
        alive += [t for t in table.writes[operator] if table.readers[t]]
        self._alive[after] = tuple(sorted(alive))
        self._rest[after] = self._rest[done] - self._least[operator]
        ready = [i for i in self._ready[done] if i != operator]
        ready += [j for j in table.needed_by[operator] if self._needs[j] & after == self._needs[j]]
        self._ready[after] = tuple(sorted(ready))

    def _grouped(
        self, number: int, done: int, after: int, begun: int, operator: int
    ) -> tuple[int, float]:
        """The groups begun after an operator of one, and its share of what that saves.

        The share is taken at once and given back when the group is lost.
        """
        group = self._table.groups[number]
        if not begun >> number & 1 and done & group.mask:
            return begun, 0.0
        begun |= 1 << number
        if after & group.mask == group.mask:
            begun ^= 1 << number
        return begun, self._table.shares[operator][group.place]

    def _lost(self, done: int, begun: int) -> float:
        """The shares that were taken of groups that will not be whole."""
        total = 0.0
        while begun:
            number = (begun & -begun).bit_length() - 1
            begun &= begun - 1
            group = self._table.groups[number]
            total += sum(
                self._table.shares[i][group.place] for i in group.operators if done >> i & 1
            )
        return total

    def _differ(
        self, done: int, tensors: tuple[int, ...], one: _State, two: _State, room: float
    ) -> bool:
        """Whether one state can become as good as another for so much."""
        common = one[1] & two[1] if one[0] == two[0] else 0
        if one[0] != two[0]:
            room -= self._table.launch[two[0]]
        room -= self._lost(done, one[1] ^ common) + self._still(two[1] ^ common)
        for t, here, there in zip(tensors, one[2], two[2], strict=True):
            if room < 0.0:
                return False
            if here != there:
                room -= self._becoming(t, here, there)
        return room >= 0.0

    def _still(self, begun: int) -> float:
        """What the groups begun may still save at most."""
        return sum(
            group.saving for number, group in enumerate(self._table.groups) if begun >> number & 1
        )

    def _costs_of_becoming(self, tensor: int, one: _Code, two: _Code) -> float:
        """What more it takes at most to have a tensor everywhere when it is where ``one`` says."""
        carry = self._table.carry[tensor]
        more = 0.0
        for place in range(len(self._table.places)):
            if not one[1] >> place & 1:
                others = 0.0 if two[1] >> place & 1 else carry[two[0]][place]
                own = carry[one[0]][place]
                if own > others:
                    more += own - others
        return more


def _moved(
    codes: tuple[_Code, ...], staying: list[tuple[int, bool]], place: int
) -> tuple[_Code, ...]:
    """Where the tensors are after an operator at a place: those it wrote have no position yet."""
    bit = 1 << place
    found = []
    for k, is_read in staying:
        if k < 0:
            found.append((place, bit))
        elif is_read:
            found.append((codes[k][0], codes[k][1] | bit))
        else:
            found.append(codes[k])
    return tuple(found)
