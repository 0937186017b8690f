"""From what was measured to a verdict: when somebody is to hear of a series, and of what."""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from db.night_records import ChangeState
from farm.measurement import Estimate
from tuner.nightly.screen.judge import Judgement
from tuner.nightly.screen.series import Verdict
from tuner.nightly.tonight import ALPHA, Tonight

_STAYS = 0.05
"""An open change stays open while a night's test says so at this level."""

CHANGED = frozenset({Verdict.REGRESSION, Verdict.IMPROVEMENT})


@dataclass(frozen=True, slots=True)
class Open:
    """A confirmed change that is not gone. ratio: as it was confirmed."""

    ratio: Estimate
    state: ChangeState


def suspected(tonight: Tonight, judgement: Judgement) -> Verdict | None:
    """What a run of both states is to confirm; None where there is nothing to.

    Either the nights before say so, or this night's own blocks do, which see a large step at once
    and also where there is no history yet.
    """
    if tonight.looks_changed:
        return Verdict.REGRESSION if tonight.log_ratio > 0 else Verdict.IMPROVEMENT
    return judgement.verdict if judgement.verdict in CHANGED else None


def confirmed(suspicion: Verdict, again: Tonight) -> bool:
    """Whether a run of both states, in other processes, says the same."""
    upwards = again.log_ratio > 0
    return again.p_value <= ALPHA and upwards == (suspicion is Verdict.REGRESSION)


def unchanged(judgement: Judgement) -> Verdict:
    """The verdict where nothing is to be confirmed."""
    return judgement.verdict if judgement.verdict not in CHANGED else Verdict.INCONCLUSIVE


def is_gone(known: Open, tonight: Tonight) -> bool:
    """Whether an open change is not there any more.

    Tonight's interval holds 1 and ends before half of the step: what is merely not seen on a noisy
    night stays open.
    """
    step = log(known.ratio.value)
    end = log(tonight.ratio.high) if step > 0 else -log(tonight.ratio.low)
    unseen = tonight.p_value > _STAYS or (tonight.log_ratio > 0) != (step > 0)
    return unseen and tonight.ratio.low <= 1.0 <= tonight.ratio.high and end < abs(step) / 2
