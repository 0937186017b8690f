"""Why there is no placement, as one sentence, where no single operator is the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

from farm.plan.placement import shares
from farm.plan.placement.methods.branch import Branched, branch_and_bound
from farm.plan.placement.methods.domains import missing_links, place_name
from farm.plan.placement.tables import Tables
from farm.units import counted

_BRANCHES = 20_000  # of a search for what would help


def binding(table: Tables, *, proven: bool, stop: Callable[[], bool]) -> str:
    """What has to change so that there is a placement. proven: that there is none."""
    if proven and (reason := _capacity(table, stop) or _link(table, stop)):
        return reason
    limited = [p for p, capacity in enumerate(table.capacities) if capacity < inf]
    named = ", ".join(f"{place_name(table, p)} ({int(table.capacities[p]):,})" for p in limited)
    found = "exists" if proven else "was found in time"
    if limited:
        return f"No placement {found} that keeps the capacities, in bytes, of {named}."
    ways = ", ".join(
        f"{place_name(table, p)} to {place_name(table, q)}" for p, q in missing_links(table)
    )
    return f"No placement {found}; there are no links from {ways}."


def _capacity(table: Tables, stop: Callable[[], bool]) -> str:
    """The first place that has to be larger, if larger places help."""
    for place, capacity in enumerate(table.capacities):
        if capacity == inf:
            continue
        capacities = tuple(inf if p == place else c for p, c in enumerate(table.capacities))
        found = _search(replace(table, capacities=capacities), stop)
        if found.at is not None:
            need = shares.memory(table, found.at, found.order)[place]
            return (
                f"'{table.places[place]}' holds {counted(int(capacity), 'byte')}, and the best "
                f"placement without that limit needs {need:,} there."
            )
    return ""


def _link(table: Tables, stop: Callable[[], bool]) -> str:
    """The first link that would help, capacities apart."""
    free = replace(table, capacities=(inf,) * len(table.places))
    if _search(free, stop).at is not None:
        return ""
    for p, q in missing_links(table):
        carry = tuple(
            tuple(
                tuple(0.0 if (a, b) == (p, q) else cost for b, cost in enumerate(row))
                for a, row in enumerate(rows)
            )
            for rows in table.carry
        )
        if _search(replace(free, carry=carry), stop).at is not None:
            one, two = place_name(table, p), place_name(table, q)
            return f"There is no link from {one} to {two}, and no placement does without it."
    return ""


def _search(table: Tables, stop: Callable[[], bool]) -> Branched:
    return branch_and_bound(table, inf, stop, _BRANCHES)
