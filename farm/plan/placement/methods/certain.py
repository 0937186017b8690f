"""What places hold in every order, of an assignment that may be unfinished.

When an operator runs, all before it in the graph have run and all behind it have not. So what one
of them has written for one that is still to come is alive, wherever in the order the others are.
"""

from __future__ import annotations

from collections.abc import Sequence

from farm.plan.placement.tables import FROM_CALLER, Tables


class CertainLoads:
    """The operators before and behind each one, as bits, and what is alive for certain then."""

    def __init__(self, table: Tables) -> None:
        self._table = table
        self._before = [0] * len(table.costs)
        for i, needs in enumerate(table.needs):
            self._before[i] = 1 << i
            for j in needs:
                self._before[i] |= self._before[j]
        self._behind = [0] * len(table.costs)
        for i in range(len(table.costs) - 1, -1, -1):
            self._behind[i] = 1 << i
            for j in table.needed_by[i]:
                self._behind[i] |= self._behind[j]
        self._readers = [sum(1 << i for i in readers) for readers in table.readers]

    def of(self, at: Sequence[int]) -> list[int]:
        """By place, bytes that no order undercuts. at: -1 where an operator has no place yet."""
        places = range(len(self._table.places))
        here = [sum(1 << i for i, place in enumerate(at) if place == p) for p in places]
        most = [0] * len(here)
        for i, place in enumerate(at):
            if place >= 0:
                for p, load in enumerate(self._loads(i, at, here)):
                    most[p] = max(most[p], load)
        return most

    def _loads(self, operator: int, at: Sequence[int], here: Sequence[int]) -> list[int]:
        """By place, what is alive for certain when an operator runs."""
        loads = [0] * len(here)
        to_come = self._behind[operator]
        for t, source in enumerate(self._table.source):
            if source != FROM_CALLER and not self._before[operator] >> source & 1:
                continue
            readers = self._readers[t]
            home = -1 if source == FROM_CALLER else at[source]
            for p, placed in enumerate(here):
                waited_for = readers & placed & to_come
                if waited_for or (p == home and self._stays(t, p, operator, here)):
                    loads[p] += self._table.sizes[t]
        return loads

    def _stays(self, tensor: int, home: int, operator: int, here: Sequence[int]) -> bool:
        """Whether a tensor is where it was written: now, for the caller, or for a place."""
        if self._table.source[tensor] == operator or self._table.returned[tensor]:
            return True
        readers, to_come = self._readers[tensor], self._behind[operator]
        unplaced = readers & ~sum(here)
        return not unplaced & ~to_come and any(
            readers & placed and not readers & placed & ~to_come
            for p, placed in enumerate(here)
            if p != home
        )
