"""The order in which a model needs the least memory, and what every placement needs.

To split a model never lowers the sum of what its places hold: whatever is alive is alive at one of
them at least. So the lowest peak of one place and all weights are a bound of every placement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from farm.plan.placement.tables import FROM_CALLER, Order, Tables
from farm.plan.schedule.order import Operator, plan_schedule
from farm.plan.schedule.order import Problem as ScheduleProblem
from farm.units import Bytes, Seconds

_STATES = 20_000  # that the exact search for an order visits in one cell
_BEAM = 16
_SECONDS = Seconds(5.0)


@dataclass(frozen=True, slots=True)
class LowMemory:
    """order: with the lowest peak of one place. bound: bytes of all places, of every placement."""

    order: Order
    bound: Bytes


def lowest_memory(table: Tables, stop: Callable[[], bool]) -> LowMemory:
    """The order with the lowest peak that is found. stop: whether there is no time to look."""
    names = [f"{i}" for i in range(len(table.names))]
    problem = ScheduleProblem(
        operators=tuple(
            Operator(name, _named(table.reads[i]), _named(table.writes[i]))
            for i, name in enumerate(names)
        ),
        sizes={f"t{t}": Bytes(size) for t, size in enumerate(table.sizes)},
        inputs=_named(tuple(t for t, s in enumerate(table.source) if s == FROM_CALLER)),
        outputs=_named(tuple(t for t, returned in enumerate(table.returned) if returned)),
    )
    seconds = Seconds(0.0) if stop() else _SECONDS
    found = plan_schedule(problem, seconds=seconds, beam=_BEAM, states=_STATES)
    order = tuple(int(name) for name in found.order)
    held = {w for weights in table.held for w in weights}
    weights = sum(table.weight_sizes[w] for w in held)
    return LowMemory(order, Bytes(weights + found.lower_bound))


def _named(tensors: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(f"t{t}" for t in tensors)
