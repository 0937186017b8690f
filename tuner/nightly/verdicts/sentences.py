"""What there is to say of a series, for people: one sentence, its figures first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from farm.measurement import Estimate, Metric
from farm.units import counted
from tuner.nightly.screen.series import Verdict
from tuner.nightly.states.good import GoodState, changed_versions
from tuner.nightly.tonight import Tonight

_WORSE = {
    Metric.LATENCY: ("slower", "faster"),
    Metric.CPU_SECONDS: ("more processor time", "less processor time"),
    Metric.THROUGHPUT: ("less throughput", "more throughput"),
    Metric.FIRST_RESULT: ("slower to load", "faster to load"),
    Metric.PEAK_MEMORY: ("more memory", "less memory"),
    Metric.ENERGY: ("more energy", "less energy"),
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a sentence is made of.

    than: what it is compared with, as ``its last good state``. since: the night a change began,
    empty where it is tonight. again: the run that was to confirm it, or None.
    """

    metric: Metric
    verdict: Verdict
    tonight: Tonight
    than: str
    nights: int
    since: str = ""
    again: Tonight | None = None
    causes: tuple[str, ...] = ()
    two_levels: bool = False


def sentence_of(facts: Facts) -> str:
    """The sentence of a series that was measured."""
    told = [difference(facts.metric, facts.tonight.ratio, f" than {facts.than}")]
    if facts.verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT):
        told.append(f"since {facts.since}" if facts.since else "since tonight")
    if facts.again is not None:
        told.append(_confirmation(facts))
    if facts.causes:
        told.append(f"what changed: {'; '.join(facts.causes)}")
    if facts.verdict is Verdict.NOT_YET:
        told.append(f"{counted(facts.nights, 'night')} so far, too few to judge small steps")
    if facts.two_levels:
        told.append("the nights have two levels")
    return "; ".join(told) + "."


def difference(metric: Metric, ratio: Estimate, than: str = "") -> str:
    """``3.1 % slower than ... [2.5, 3.7]``: positive numbers are in the direction of the word."""
    worse, better = _WORSE.get(metric, ("more", "less"))
    turned = ratio.value < 1.0
    value, low, high = (
        (1 - x if turned else x - 1) * 100 for x in (ratio.value, ratio.low, ratio.high)
    )
    ends = sorted((low, high))
    interval = f" [{ends[0]:.1f}, {ends[1]:.1f}]" if all(map(isfinite, ends)) else ""
    return f"{value:.1f} % {better if turned else worse}{than}{interval}"


def causes(before: GoodState, now: GoodState, *, other_machine: bool) -> tuple[str, ...]:
    """What is known to be different between two states."""
    found = list(changed_versions(before.versions, now.versions))
    if before.candidate != now.candidate:
        found.append("the candidate")
    elif not found and before.artifact != now.artifact:
        found.append("what the farm compiles it to")
    if other_machine:
        found.append("the machine")
    return tuple(found)


def day(name: str, at: datetime) -> str:
    """A night for people: ``2026-11-29 (shop-floor-20261129-030000)``."""
    return f"{at:%Y-%m-%d} ({name})"


def _confirmation(facts: Facts) -> str:
    again = facts.again
    assert again is not None
    p = "p < .0001" if again.p_value < 1e-4 else f"p = {again.p_value:.4f}"
    said = difference(facts.metric, again.ratio)
    if facts.verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT):
        return f"confirmed side by side in {again.pairs} pairs of processes: {said}, {p}"
    return f"not confirmed side by side in {again.pairs} pairs of processes: {said}, {p}"
