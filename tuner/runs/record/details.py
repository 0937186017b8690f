"""What the store keeps of a trial beside its measurements, as JSON text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter

from farm.accuracy.damage import Damage
from farm.accuracy.result import AccuracyResult
from farm.measurement import Measurement, Method, Metric
from farm.units import format_seconds
from workers.jobs import TODAY, Pinned, TrialReport
from workers.meters.latency import STEADY_VALUES
from workers.protocol import PartSeconds, Split

_ACCURACY: TypeAdapter[AccuracyResult | None] = TypeAdapter(AccuracyResult | None)
_SPLIT: TypeAdapter[Split] = TypeAdapter(Split)
_DAMAGE: TypeAdapter[Damage] = TypeAdapter(Damage)
_MEASURED_AGAIN = frozenset(
    {Metric.LATENCY, Metric.CPU_SECONDS, Metric.FIRST_RESULT, Metric.ENERGY}
)
_OLD_METRIC = "accuracy metric: "  # a note of trials that were stored before 0.2


@dataclass(frozen=True, slots=True)
class Proposed:
    """Why a search tried a candidate.

    stage: who proposed it, see ``tuner.search.stages``; "" where no search did. why: what was
    predicted of it, in words. ratio: the same as the objective over the baseline's.
    """

    stage: str = ""
    why: str = ""
    ratio: float | None = None


NOBODY = Proposed()


def details_of(report: TrialReport, pinned: Pinned = TODAY, proposed: Proposed = NOBODY) -> str:
    """The text for a trial's report.

    pinned: what it ran with, said where it is anything. proposed: why it was tried.
    """
    details = {
        "assignment": report.assignment,
        "warmup": asdict(report.warmup) if report.warmup else None,
        "notes": report.notes,
        "accuracy": asdict(report.accuracy) if report.accuracy else None,
        "proposed": proposed.stage or None,
        "worker_seconds": report.worker_seconds,
        "child_seconds": report.child_seconds,
        "quick": {m.metric: m.value for m in report.measurements if m.metric in _MEASURED_AGAIN},
    }
    if pinned != TODAY:
        details["pinned"] = asdict(pinned)
    if proposed.why:
        details["expected"] = {"why": proposed.why, "ratio": proposed.ratio}
    if report.split is not None:
        details["split"] = asdict(report.split)
    return json.dumps(details, sort_keys=True)


def pinned_in(details: str) -> Pinned:
    """What a trial ran with in place of today's."""
    return Pinned(**json.loads(details).get("pinned", {}))


def proposed_in(details: str) -> Proposed:
    """Why a trial was tried, as far as that is recorded."""
    read = json.loads(details)
    expected = read.get("expected") or {}
    return Proposed(read.get("proposed") or "", expected.get("why", ""), expected.get("ratio"))


def notes_in(details: str) -> tuple[str, ...]:
    """What the compiler said of a trial's candidate, and what measuring it was like."""
    return (*(json.loads(details).get("notes") or ()), *doubts_in(details))


def doubts_in(details: str) -> tuple[str, ...]:
    """What could not be measured of a trial as it should be, in sentences."""
    read = json.loads(details)
    unsteady = _unsteady(read.get("warmup") or {})
    return (*([unsteady] if unsteady else []), *(read.get("doubts") or ()))


def with_doubts(details: str, doubts: Sequence[str]) -> str:
    """The text with more sentences on what could not be measured as it should be."""
    read = json.loads(details)
    return json.dumps(read | {"doubts": [*(read.get("doubts") or ()), *doubts]}, sort_keys=True)


def _unsteady(warmup: Mapping[str, Any]) -> str:
    """That a warm-up ended too early; "" where it did not, or had too few values to tell."""
    if warmup.get("steady", True):
        return ""
    if not warmup.get("at_pace", True):
        return "The warm-up ended after a second, while the clock of the GPU still changed."
    if warmup["values"] >= STEADY_VALUES:
        return "The warm-up ended after a second, while its times still changed."
    return ""


def assignment_in(details: str) -> dict[str, int]:
    """Operators per execution provider, as the engine reported them; empty where unknown."""
    return dict(json.loads(details).get("assignment") or {})


def split_in(details: str) -> Split | None:
    """What each part of a pipeline took of a run when the trial was first measured."""
    found = json.loads(details).get("split")
    return None if found is None else _SPLIT.validate_python(found)


def split_sentence(split: Split) -> str:
    """What each part of a pipeline took of a run, and how that was found out."""
    told = [f"{part.place} {format_seconds(part.seconds)} ({_how(part)})" for part in split.parts]
    transfers = format_seconds(split.transfer_seconds)
    is_measured = all(part.method == "measured" for part in split.parts)
    how = "measured" if is_measured else "measured, in this machine's memory"
    return f"Of a run take: {', '.join(told)}, transfers {transfers} ({how})."


def _how(part: PartSeconds) -> str:
    if part.method == "measured":
        return part.method
    return f"{part.method} from {part.packets} packets, {part.packets_method}"


def accuracy_of(details: str) -> AccuracyResult | None:
    """What the check of the outputs said; None where none was kept."""
    return _ACCURACY.validate_python(json.loads(details).get("accuracy"))


def with_damage(details: str, damage: Damage) -> str:
    """The text with what quantising each operator of the trial's candidate alone does."""
    return json.dumps(json.loads(details) | {"damage": asdict(damage)}, sort_keys=True)


def damage_in(details: str) -> Damage | None:
    """What quantising each operator alone does; None where nobody asked for it."""
    found = json.loads(details).get("damage")
    return None if found is None else _DAMAGE.validate_python(found)


def as_first_measured(
    measurements: Mapping[Metric, Measurement], details: str
) -> Mapping[Metric, Measurement]:
    """The measurements with those of the trial's own quick samples.

    In the store those of later races have taken their place. What follows from a trial at first
    is to follow from it again when a run is resumed, and not from what was found out afterwards.
    A quick energy is there by a counter alone, and a race may have found that it does not hold.
    """
    read = json.loads(details)
    quick = read.get("quick") or {Metric.LATENCY: read.get("quick_seconds")}
    found = {Metric(name): value for name, value in quick.items() if value is not None}
    methods = {Metric.ENERGY: Method.MEASURED} | {m: it.method for m, it in measurements.items()}
    return dict(measurements) | {
        metric: Measurement(metric, value, methods[metric])
        for metric, value in found.items()
        if metric in methods
    }


def metric_of(details: str) -> str:
    """The name of the metric that a trial was checked with, empty if it was not."""
    checked = accuracy_of(details)
    if checked is not None:
        return checked.metric
    notes = json.loads(details).get("notes", [])
    return next((n.removeprefix(_OLD_METRIC) for n in notes if n.startswith(_OLD_METRIC)), "")
