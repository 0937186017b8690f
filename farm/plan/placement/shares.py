"""What each place has to hold of a model: weights, and the arena of its share."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import inf

from farm.plan.memory.arena import plan_memory
from farm.plan.memory.problem import Buffer, load_bound
from farm.plan.memory.problem import Problem as MemoryProblem
from farm.plan.placement.tables import FROM_CALLER, Tables
from farm.units import Bytes

_SECONDS = 5.0  # for one arena; most take milliseconds
_NODES = 20_000  # of the exact search of one arena: the same answer on every machine


def weights_at(tables: Tables, at: Sequence[int], place: int) -> Bytes:
    """Of the weights that operators of a place read, each once."""
    held = {w for i, p in enumerate(at) if p == place for w in tables.held[i]}
    return Bytes(sum(tables.weight_sizes[w] for w in held))


def buffers_at(
    tables: Tables, at: Sequence[int], order: Sequence[int], place: int
) -> tuple[Buffer, ...]:
    """The tensors that lie at a place, and the steps of the order in which they do."""
    step = {operator: k for k, operator in enumerate(order)}
    found = []
    for t, source in enumerate(tables.source):
        written_here = source != FROM_CALLER and at[source] == place
        steps = [step[i] for i in tables.readers[t] if at[i] == place]
        if not steps and not written_here:
            continue
        start = 0 if source == FROM_CALLER else step[source]
        if written_here:
            steps += [start, *_leaves(tables, at, step, t)]
        found.append(Buffer(tables.tensors[t], start, max(steps) + 1, Bytes(tables.sizes[t])))
    return tuple(found)


@lru_cache(maxsize=4096)
def arena(buffers: tuple[Buffer, ...]) -> Bytes:
    """As the memory planner plans it; asked for the same shares again and again."""
    return plan_memory(MemoryProblem(buffers), seconds=_SECONDS, nodes=_NODES).height


def load(buffers: tuple[Buffer, ...]) -> Bytes:
    """The most bytes that are alive in one step, which no arena is below."""
    return load_bound(MemoryProblem(buffers))


def memory(tables: Tables, at: Sequence[int], order: Sequence[int]) -> tuple[Bytes, ...]:
    """Weights and arena of each place."""
    return tuple(
        Bytes(weights_at(tables, at, p) + arena(buffers_at(tables, at, order, p)))
        for p in range(len(tables.places))
    )


def fits(tables: Tables, at: Sequence[int], order: Sequence[int]) -> bool:
    """Whether each place holds its share."""
    for place, capacity in enumerate(tables.capacities):
        if capacity < inf:
            room = capacity - weights_at(tables, at, place)
            if room < 0:
                return False
            buffers = buffers_at(tables, at, order, place)
            if load(buffers) > room or arena(buffers) > room:
                return False
    return True


def _leaves(tables: Tables, at: Sequence[int], step: dict[int, int], tensor: int) -> list[int]:
    """The steps in which a tensor goes to each other place, and to the caller."""
    first: dict[int, int] = {}
    for i in tables.readers[tensor]:
        first[at[i]] = min(first.get(at[i], len(step)), step[i])
    first.pop(at[tables.source[tensor]], None)
    return [*first.values(), *([len(step)] if tables.returned[tensor] else [])]
