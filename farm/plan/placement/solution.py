"""Solutions of placement problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from farm.plan.solution import Status
from farm.units import Seconds


@dataclass(frozen=True, slots=True)
class Part:
    """A maximal run of operators of one place, in the order in which they run."""

    place: str
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Solution:
    """Where each operator runs, and in which order.

    order: of all operators; empty where there is no assignment. value: of the objective; infinite
    where there is no assignment. bound: it is proven that no solution has less. seconds: how long
    planning took. binding: why there is no assignment, a sentence. method: how it was found.
    """

    assignment: Mapping[str, str]
    order: tuple[str, ...]
    value: float
    bound: float
    status: Status
    seconds: Seconds
    binding: str = ""
    method: str = ""

    @property
    def gap(self) -> float:
        """By what share of the bound the value may be above the best, 0 where it is not."""
        if self.value <= self.bound:
            return 0.0
        return (self.value - self.bound) / self.bound if self.bound else float("inf")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The maximal runs, in order."""
        runs = groupby(self.order, key=self.assignment.__getitem__)
        return tuple(Part(place, tuple(names)) for place, names in runs)

    @property
    def places(self) -> tuple[str, ...]:
        """The places in use, in the order in which they begin."""
        return tuple(dict.fromkeys(part.place for part in self.parts))
