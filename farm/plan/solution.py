"""What the solutions of all planners have in common."""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    """What is known about a solution.

    optimal: no better one exists. feasible: it keeps all limits, a better one may exist.
    infeasible: it is proven that nothing keeps all limits. unknown: the time ran out before one
    that keeps all limits was found, and without a proof that there is none.
    """

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    INFEASIBLE = "infeasible"
    UNKNOWN = "unknown"
