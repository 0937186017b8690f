"""Which places are left for each operator when what cannot be is taken away, and why none is.

A place is taken away that cannot hold what the operator alone needs, or that no link joins to any
place left for an operator that it reads from or that reads from it. What is left may still be
impossible together; what is taken away is so for certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf

from farm.plan.placement.tables import FROM_CALLER, Tables
from farm.units import counted


@dataclass(frozen=True, slots=True)
class Narrowed:
    """tables: with infinite costs where a place was taken away. binding: why nothing is left."""

    tables: Tables
    binding: str = ""


def narrowed(table: Tables) -> Narrowed:
    """The places that are left for each operator, or the operator that none is left for."""
    domains = _Domains(table)
    binding = domains.narrow()
    costs = tuple(
        tuple(cost if p in domains.left[i] else inf for p, cost in enumerate(costs))
        for i, costs in enumerate(table.costs)
    )
    return Narrowed(replace(table, costs=costs), binding or _too_much(table, domains.left))


def missing_links(table: Tables) -> list[tuple[int, int]]:
    """Pairs of different places, and of a place and the caller, that have no link."""
    ends = range(len(table.places) + 1)
    return [(p, q) for p in ends for q in ends if p != q and table.links[p][q][0] == inf]


def place_name(table: Tables, place: int) -> str:
    """As a sentence calls it."""
    return "the caller" if place == table.caller else f"'{table.places[place]}'"


class _Domains:
    def __init__(self, table: Tables) -> None:
        self._table = table
        self.left = [set(table.allowed(i)) for i in range(len(table.costs))]
        self._why: list[dict[int, str]] = [{} for _ in table.costs]

    def narrow(self) -> str:
        """Take away until nothing changes; why nothing is left for an operator, if so."""
        for i in range(len(self.left)):
            self._alone(i)
        changed = True
        while changed and all(self.left):
            changed = False
            for t in range(len(self._table.tensors)):
                changed |= self._linked(t)
        for i, places in enumerate(self.left):
            if not places:
                return self._sentence(i)
        return ""

    def _alone(self, i: int) -> None:
        table = self._table
        touched = sum(table.sizes[t] for t in {*table.reads[i], *table.writes[i]})
        touched += sum(table.weight_sizes[w] for w in table.held[i])
        for p in sorted(self.left[i]):
            if touched > table.capacities[p]:
                room = int(table.capacities[p])
                self._take(i, p, f"it needs {counted(touched, 'byte')} and there are {room:,}")

    def _linked(self, t: int) -> bool:
        """Take away the places that a tensor cannot come from or go to; whether any was."""
        table = self._table
        source = table.source[t]
        before = sum(map(len, self.left))
        if source == FROM_CALLER:
            for i in table.readers[t]:
                self._reached(i, {table.caller}, t)
            return sum(map(len, self.left)) != before
        if table.returned[t]:
            self._reaching(source, {table.caller}, t, "the caller")
        for i in table.readers[t]:
            self._reached(i, self.left[source], t)
            self._reaching(source, self.left[i], t, f"operator '{table.names[i]}'")
        return sum(map(len, self.left)) != before

    def _reached(self, i: int, sources: set[int], t: int) -> None:
        for q in sorted(self.left[i] if sources else ()):
            if all(self._table.carry[t][p][q] == inf for p in sources):
                self._take(i, q, f"there is no link to it from {self._named(sources)}")

    def _reaching(self, i: int, targets: set[int], t: int, reader: str) -> None:
        for p in sorted(self.left[i] if targets else ()):
            if all(self._table.carry[t][p][q] == inf for q in targets):
                named = self._named(targets)
                where = "" if reader == "the caller" else f", where {reader} runs"
                self._take(i, p, f"there is no link from it to {named}{where}")

    def _named(self, places: set[int]) -> str:
        return " or ".join(place_name(self._table, p) for p in sorted(places))

    def _take(self, i: int, place: int, why: str) -> None:
        self.left[i].discard(place)
        self._why[i].setdefault(place, why)

    def _sentence(self, i: int) -> str:
        name, places = self._table.names[i], self._table.places
        if not self._why[i]:
            return f"No place can run operator '{name}'."
        reasons = "; ".join(f"at '{places[p]}' {why}" for p, why in sorted(self._why[i].items()))
        return f"Operator '{name}' can run nowhere: {reasons}."


def _too_much(table: Tables, left: Sequence[set[int]]) -> str:
    """Whether a place is too small for what can run there only, or all places for the weights."""
    for p, capacity in enumerate(table.capacities):
        bound = [i for i, places in enumerate(left) if places == {p}]
        weights = {w for i in bound for w in table.held[i]}
        touched = (sum(table.sizes[t] for t in {*table.reads[i], *table.writes[i]}) for i in bound)
        need = sum(table.weight_sizes[w] for w in weights) + max(touched, default=0)
        if need > capacity:
            return (
                f"'{table.places[p]}' holds {counted(int(capacity), 'byte')}, and the operators "
                f"that can run there only need {need:,} at least."
            )
    weights = {w for held in table.held for w in held}
    need = sum(table.weight_sizes[w] for w in weights)
    if need > sum(table.capacities):
        return (
            f"All places together hold {counted(int(sum(table.capacities)), 'byte')}, and the "
            f"weights have {need:,}."
        )
    return ""
