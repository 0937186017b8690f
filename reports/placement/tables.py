"""Placement plans and decisions as tables."""

from __future__ import annotations

from farm.plan.override import Decision
from farm.plan.placement.record import PlacementPlan
from reports.placement.words import GOALS, operators_text, predicted_text, value_text
from reports.tables.cells import MISSING
from reports.tables.layout import Column, Rows

_CALLER = "caller"


def parts_table(plan: PlacementPlan) -> Rows:
    """Parts and the transfers between them, in the order in which they happen."""
    table = Rows(
        (
            Column("place"),
            Column("operators", wraps=24),
            Column("predicted", wraps=20),
            Column("basis", below=1),
            Column("rows", right=True, below=0),
        ),
        title=f"{plan.model.name}: {GOALS.get(plan.objective, plan.objective)}",
    )
    for part in plan.parts:
        found = part.predicted
        text = predicted_text(found).rpartition(", ")[0]
        names = operators_text(part.operators)
        table.add(part.place, names, text, str(found.basis), f"{found.rows:,}")
    return table


def transfers_table(plan: PlacementPlan) -> Rows:
    """What goes from one place to another."""
    table = Rows(
        (
            Column("from"),
            Column("to"),
            Column("tensor", wraps=16),
            Column("bytes", right=True),
            Column("predicted", right=True),
        )
    )
    for each in plan.transfers:
        table.add(
            each.source or _CALLER,
            each.target or _CALLER,
            each.tensor,
            f"{each.bytes:,}",
            value_text(each.predicted.value, each.predicted.unit),
        )
    return table


def alternatives_table(plan: PlacementPlan) -> Rows:
    """The plan beside the best single place and what simpler methods find."""
    unit = plan.predicted.unit
    single = plan.best_single
    rows = {
        "this plan": plan.predicted.value,
        f"all at {single.place}" if single else "all at one place": (
            single.predicted.value if single else None
        ),
        "sorted chain": plan.baselines.chain,
        "greedy": plan.baselines.greedy,
        "HEFT": plan.baselines.heft,
        "no plan has less than": plan.bound,
    }
    measure = "slowest place" if plan.objective == "throughput" else plan.objective
    table = Rows((Column("method", wraps=20), Column(measure, right=True)))
    for name, value in rows.items():
        table.add(name, MISSING if value is None else value_text(value, unit))
    return table


def decision_table(decision: Decision, *, explain: bool) -> Rows:
    """Where operators run now that the plan has elsewhere.

    explain: with why.
    """
    columns = [Column("operators", wraps=24), Column("planned at"), Column("runs at")]
    table = Rows((*columns, *((Column("because of", wraps=12),) if explain else ())))
    for move in decision.moves:
        why = [", ".join(map(str, move.reasons))] if explain else []
        table.add(operators_text(move.operators), move.source, move.target, *why)
    return table
