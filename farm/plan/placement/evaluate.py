"""What a placement costs by the model of ``problem``, and what for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf

from farm.plan.placement import shares
from farm.plan.placement.problem import CALLER, PlacementObjective, Problem
from farm.plan.placement.solution import Part
from farm.plan.placement.tables import FROM_CALLER, Tables, tables
from farm.units import Bytes


@dataclass(frozen=True, slots=True)
class Transfer:
    """One tensor on its way from one place to another; the caller is ``CALLER``."""

    source: str
    target: str
    tensor: str
    bytes: Bytes
    cost: float


@dataclass(frozen=True, slots=True)
class PartCost:
    """What the operators of one part cost, less what its fused groups save, and its launch."""

    part: Part
    compute: float
    launch: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Where the value of a placement comes from.

    memory: weights and arena by the name of a place, in bytes, of the places that are used.
    """

    value: float
    parts: tuple[PartCost, ...]
    transfers: tuple[Transfer, ...]
    memory: Mapping[str, Bytes]

    @property
    def compute(self) -> float:
        """Of all parts."""
        return sum(part.compute for part in self.parts)

    @property
    def launches(self) -> float:
        """Of all parts."""
        return sum(part.launch for part in self.parts)

    @property
    def transferring(self) -> float:
        """The cost of all transfers."""
        return sum(transfer.cost for transfer in self.transfers)


def evaluate(problem: Problem, assignment: Mapping[str, str], order: Sequence[str]) -> Breakdown:
    """The value of a placement with all that it consists of, whether it keeps capacities or not.

    It is infinite where there is no link. Every operator must have a place, and the order must
    have every operator once.
    """
    table = tables(problem)
    number = {name: i for i, name in enumerate(table.names)}
    place = {name: p for p, name in enumerate(table.places)}
    at = tuple(place[assignment[name]] for name in table.names)
    steps = tuple(number[name] for name in order)
    held = shares.memory(table, at, steps)
    found = cost(table, at, steps)
    if problem.objective is PlacementObjective.PEAK_MEMORY and found < inf:
        found = float(sum(held))
    return Breakdown(
        value=found,
        parts=_parts(table, at, steps),
        transfers=_transfers(table, at),
        memory={table.places[p]: held[p] for p in sorted(set(at))},
    )


def transfers(problem: Problem, assignment: Mapping[str, str]) -> tuple[Transfer, ...]:
    """What goes from place to place, from the caller and to it, in the order of the tensors.

    The cost is infinite where there is no link.
    """
    table = tables(problem)
    place = {name: p for p, name in enumerate(table.places)}
    return _transfers(table, [place[assignment[name]] for name in table.names])


def value(table: Tables, at: Sequence[int], order: Sequence[int], below: float = inf) -> float:
    """The value of a placement; infinite where it breaks a limit, or is not less than ``below``.

    Memory is only planned where it decides.
    """
    if table.objective is PlacementObjective.PEAK_MEMORY:
        if cost(table, at, order) == inf or not shares.fits(table, at, order):
            return inf
        found = float(sum(shares.memory(table, at, order)))
    else:
        found = cost(table, at, order)
        if found < below and table.limited and not shares.fits(table, at, order):
            return inf
    return found if found < below else inf


def cost(table: Tables, at: Sequence[int], order: Sequence[int]) -> float:
    """The sum of all costs, or where throughput counts, of the place with the largest sum."""
    sums = place_sums(table, at)
    part, number = [0] * len(at), 0
    last = -1
    for i in order:
        if at[i] != last:
            last = at[i]
            number += 1
            sums[last] += table.launch[last]
        part[i] = number
    for group in table.groups:
        first = part[group.operators[0]]
        if all(at[i] == group.place and part[i] == first for i in group.operators):
            sums[group.place] -= group.saving
    return max(sums, default=0.0) if _is_largest(table) else sum(sums)


def place_sums(table: Tables, at: Sequence[int]) -> list[float]:
    """Of each place its operators, the transfers to it, and its outputs' to the caller."""
    sums = [0.0] * len(table.places)
    for i, place in enumerate(at):
        sums[place] += table.costs[i][place]
    for t, operator in enumerate(table.source):
        here = table.caller if operator == FROM_CALLER else at[operator]
        row = table.carry[t][here]
        for there in {at[i] for i in table.readers[t]}:
            sums[there] += row[there]
        if table.returned[t]:
            sums[here] += row[table.caller]
    return sums


def _is_largest(table: Tables) -> bool:
    return table.objective is PlacementObjective.THROUGHPUT


def _parts(table: Tables, at: Sequence[int], order: Sequence[int]) -> tuple[PartCost, ...]:
    found = []
    for place, run in groupby(order, key=at.__getitem__):
        operators = tuple(run)
        inside = set(operators)
        compute = sum(table.costs[i][place] for i in operators)
        compute -= sum(
            group.saving
            for group in table.groups
            if group.place == place and inside.issuperset(group.operators)
        )
        part = Part(table.places[place], tuple(table.names[i] for i in operators))
        found.append(PartCost(part, compute, table.launch[place]))
    return tuple(found)


def _transfers(table: Tables, at: Sequence[int]) -> tuple[Transfer, ...]:
    ends = (*table.places, CALLER)
    found = []
    for t, operator in enumerate(table.source):
        here = table.caller if operator == FROM_CALLER else at[operator]
        there = dict.fromkeys(at[i] for i in table.readers[t] if at[i] != here)
        if table.returned[t]:
            there[table.caller] = None
        found += [
            Transfer(
                source=ends[here],
                target=ends[target],
                tensor=table.tensors[t],
                bytes=Bytes(table.sizes[t]),
                cost=table.carry[t][here][target],
            )
            for target in there
        ]
    return tuple(found)
