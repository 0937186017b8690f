"""The objects that ``farm plan placement --json`` and ``farm plan apply --json`` print."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING

from farm.plan.placement.record import PlacementPlan, plan_json
from reports.rows import Json, dump

if TYPE_CHECKING:
    from tuner.planning.apply import Applied

_FOR_APPLYING = frozenset({"steps", "borders", "engines", "format"})  # only in the plan's file


def placement_json(plan: PlacementPlan) -> str:
    """A plan, without what it is decided again with."""
    return dump({k: v for k, v in plan_json(plan).items() if k not in _FOR_APPLYING})


def applied_json(applied: Applied) -> str:
    """A decision: parts in the plan's order, moves with their reasons, and the state."""
    decision = applied.decision
    order = list(decision.assignment)
    runs = groupby(order, key=decision.assignment.__getitem__)
    moves: list[Json] = [
        {
            "operators": list(move.operators),
            "from": move.source,
            "to": move.target,
            "reasons": [str(reason) for reason in move.reasons],
        }
        for move in decision.moves
    ]
    return dump(
        {
            "parts": [{"place": place, "operators": list(names)} for place, names in runs],
            "moves": moves,
            "value": decision.value,
            "annotated": decision.annotated,
            "seconds": applied.seconds,
            "state": asdict(applied.state) | {"priority": str(applied.state.priority)},
            "notes": list(applied.notes),
        }
    )
