"""Sentences about a placement plan and about what it becomes when it is applied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from farm.plan.override import LEAST_GAIN, Decision, Move
from farm.plan.placement.record import PlacementPlan
from farm.prediction import Prediction
from farm.text import listed
from farm.units import counted, format_bytes, format_joules, format_seconds

GOALS = {
    "latency": "least latency",
    "energy": "least energy",
    "peak-memory": "least peak memory",
    "throughput": "greatest throughput, by the time of the slowest place",
}
"""What a plan of each objective is for."""

_NAMED = 3  # operators of a group that are named


def value_text(value: float, unit: str) -> str:
    """A value with its unit, for people."""
    match unit:
        case "s":
            return format_seconds(value)
        case "J":
            return format_joules(value)
        case _:
            return format_bytes(round(value))


def predicted_text(found: Prediction) -> str:
    """``1.2 ms [1.1, 1.4 ms], measured``."""
    ends = f"[{value_text(found.low, found.unit)}, {value_text(found.high, found.unit)}]"
    return f"{value_text(found.value, found.unit)} {ends}, {found.basis}"


def operators_text(names: Sequence[str]) -> str:
    """The names of a few, or how many there are with the first and the last."""
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{len(names):,} operators, {names[0]} to {names[-1]}"


def plan_sentences(plan: PlacementPlan) -> Iterator[str]:
    """What a plan says, the verdict first."""
    yield verdict(plan)
    bound = value_text(plan.bound, plan.predicted.unit)
    least = f"{plan.gap:.2%} above {bound}, and no plan has less than that"
    proven = least if plan.gap else "and no plan has less"
    yield (
        f"Predicted: {predicted_text(plan.predicted)}, {proven}, if the costs are right; planned "
        f"in {format_seconds(plan.seconds)}."
    )
    yield from plan.notes


def verdict(plan: PlacementPlan) -> str:
    """Whether a split is worth it, and beside what."""
    places = tuple(dict.fromkeys(part.place for part in plan.parts))
    single, refused = plan.best_single, plan.refused
    if refused is not None:
        gain = plan.predicted.value / refused.predicted.value
        return (
            f"Everything runs at {places[0]}: {listed(refused.places)} in "
            f"{counted(refused.parts, 'part')} would cost {gain:.2f} times less, which is within "
            "the uncertainty of the costs."
        )
    if single is None:
        return (
            f"No place runs the whole model: it is split over {listed(places)} in "
            f"{counted(len(plan.parts), 'part')}."
        )
    if len(places) == 1:
        return f"Everything runs at {places[0]}: no split is predicted to cost less."
    gain = single.predicted.value / plan.predicted.value
    return (
        f"A split pays: {listed(places)} in {counted(len(plan.parts), 'part')} cost {gain:.2f} "
        f"times less than {single.place} alone."
    )


def move_text(move: Move) -> str:
    """``conv1 runs at cpu/... instead of dsp/...: utilisation, battery``."""
    why = listed([str(reason) for reason in move.reasons])
    names, verb = operators_text(move.operators), "run" if len(move.operators) > 1 else "runs"
    return f"{names} {verb} at {move.target} instead of {move.source}, because of {why}."


def decision_sentences(decision: Decision) -> Iterator[str]:
    """What became of a plan in a state."""
    if not decision.moves:
        yield (
            "Everything stays where the plan has it: no other placement would gain "
            f"{LEAST_GAIN:.0%} of what the plan costs on idle devices."
        )
        return
    moved = sum(len(move.operators) for move in decision.moves)
    yield (
        f"{counted(moved, 'operator')} of {len(decision.assignment):,} moved: "
        f"{_change(decision)} planned, in this state."
    )


def _change(decision: Decision) -> str:
    """What a decision costs beside the plan; more, where a wish costs something."""
    value, annotated = decision.value, decision.annotated
    if not value or not annotated:  # some costs are predicted to be nothing
        return "less than as" if value < annotated else "no less than as"
    if value <= annotated:
        return f"{annotated / value:.2f} times less than as"
    return f"{value / annotated:.2f} times as costly as"
