"""The chain solution: the cheapest places along an order, as if it were a chain.

``D[k, p] = t_kp + min_q (D[k-1, q] + [p != q] (what crosses from q to p + launch_p))``, where t_kp
is operator k at place p with what it takes from the caller and gives to it. What crosses between
two neighbours in the order is every tensor that is written before and read after; an input of the
model comes once, to its first reader. For chains this is the model of cost itself; elsewhere it
takes more to cross than it does. O(operators x places^2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from farm.errors import PlanError
from farm.plan.placement.problem import Problem
from farm.plan.placement.tables import FROM_CALLER, At, Tables, tables


def chain_assignment(problem: Problem, order: Sequence[str] = ()) -> Mapping[str, str]:
    """The place of each operator. order: topological; without one, the problem's.

    Raises PlanError: no assignment has a finite cost along the order.
    """
    table = tables(problem)
    number = {name: i for i, name in enumerate(table.names)}
    steps = tuple(number[name] for name in order) or tuple(range(len(number)))
    at = chain(table, steps)
    if at is None:
        raise PlanError("No places along the order can run all operators and reach each other.")
    return table.assignment(at)


def chain(table: Tables, order: Sequence[int]) -> At | None:
    """The places by number; None where all cost infinitely much.

    The sum of costs counts, whatever the objective.
    """
    places = range(len(table.places))
    alone = _alone(table, order)
    crossing = _crossing(table, order)
    runs = _runs(table, order)
    best: list[list[float]] = []  # cost up to k when its operator is at p
    before: list[list[tuple[int, int]]] = []  # the step and place that p was reached from
    for k, costs in enumerate(alone):
        count, size = crossing[k]
        row, ways = [], []
        for p in places:
            found, way = (table.launch[p], (-1, -1)) if k == 0 else (inf, (-1, -1))
            for q in places if k else ():
                far = best[k - 1][q]
                if q != p:
                    far += table.launch[p] + _crossed(table.links[q][p], count, size)
                if far < found:
                    found, way = far, (k - 1, q)
            found += costs[p]
            for first, saving in runs.get((k, p), ()):
                fused = best[first][p] if first < k else found
                fused += sum(alone[step][p] for step in range(first + 1, k + 1)) - saving
                if fused < found:
                    found, way = fused, (first, p) if first < k else way
            row.append(found)
            ways.append(way)
        best.append(row)
        before.append(ways)
    return _traced(order, best, before)


def _traced(
    order: Sequence[int], best: list[list[float]], before: list[list[tuple[int, int]]]
) -> At | None:
    at = [0] * len(order)
    if not order:
        return ()
    place = min(range(len(best[-1])), key=best[-1].__getitem__)
    if best[-1][place] == inf:
        return None
    step = len(order) - 1
    while step >= 0:
        earlier, other = before[step][place]
        for k in range(max(earlier + 1, 0), step + 1):
            at[order[k]] = place
        step, place = earlier, other
    return tuple(at)


def _alone(table: Tables, order: Sequence[int]) -> list[list[float]]:
    """What each step costs at each place, crossing and launches apart."""
    rows = []
    given: set[int] = set()
    for i in order:
        row = list(table.costs[i])
        fresh = [t for t in table.reads[i] if table.source[t] == FROM_CALLER and t not in given]
        given.update(fresh)
        taken = [t for t in table.writes[i] if table.returned[t]]
        for p in range(len(row)):
            row[p] += sum(table.carry[t][table.caller][p] for t in fresh)
            row[p] += sum(table.carry[t][p][table.caller] for t in taken)
        rows.append(row)
    return rows


def _crossing(table: Tables, order: Sequence[int]) -> list[tuple[int, int]]:
    """How many tensors are written before each step and read in it or later, and their bytes."""
    step = [0] * len(order)
    for k, i in enumerate(order):
        step[i] = k
    changes = [[0, 0] for _ in range(len(order) + 1)]
    for t, source in enumerate(table.source):
        if source == FROM_CALLER or not table.readers[t]:
            continue
        last = max(step[i] for i in table.readers[t])
        for k, sign in ((step[source] + 1, 1), (last + 1, -1)):
            changes[k][0] += sign
            changes[k][1] += sign * table.sizes[t]
    found, count, size = [], 0, 0
    for more, bytes_ in changes[:-1]:
        count, size = count + more, size + bytes_
        found.append((count, size))
    return found


def _crossed(link: tuple[float, float], count: int, size: int) -> float:
    latency, per_byte = link
    return (latency * count if count else 0.0) + (per_byte * size if size else 0.0)


def _runs(table: Tables, order: Sequence[int]) -> dict[tuple[int, int], list[tuple[int, float]]]:
    """By last step and place: the first step and the saving of the groups that are runs."""
    step = {i: k for k, i in enumerate(order)}
    found: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for group in table.groups:
        steps = [step[i] for i in group.operators]
        if max(steps) - min(steps) == len(steps) - 1:
            found.setdefault((max(steps), group.place), []).append((min(steps), group.saving))
    return found
