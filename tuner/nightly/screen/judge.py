"""The nightly screen: one verdict per series and night, by a vote of three detectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from tuner.nightly.screen.detectors import SHORTEST_BEFORE, mean_p, rank_p
from tuner.nightly.screen.false_discovery import adjusted
from tuner.nightly.screen.likelihood import likelihood
from tuner.nightly.screen.localise import localise
from tuner.nightly.screen.modes import Modes, modes
from tuner.nightly.screen.series import Change, Series, Verdict


class Detector(StrEnum):
    """Who votes."""

    LIKELIHOOD = "likelihood"
    MEAN = "mean"
    RANK = "rank"


_VOTES = 2
# The probability below which the mean or the ranks agree with what the likelihood says.
_AGREED = 0.01


@dataclass(frozen=True, slots=True)
class Rules:
    """How sensitive the screen is.

    alpha: false alarms, at most, in a night of an unchanged series whose noise is as it is thought
    to be. rate: of false ones among all changes of a night. history: nights that must lie before a
    step. shortest: nights that it must have lasted.
    """

    alpha: float = 0.01
    rate: float = 0.1
    history: int = SHORTEST_BEFORE
    shortest: int = 1

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("rate", self.rate)):
            if not 0 < value < 1:
                raise ValueError(f"{name} of a screen must lie between 0 and 1; got {value}")
        if self.history < SHORTEST_BEFORE:
            least = f"{SHORTEST_BEFORE} nights at least must lie before a step"
            raise ValueError(f"{least}; got {self.history}")
        if self.shortest < 1:
            raise ValueError(f"a step lasts 1 night at least; got {self.shortest}")


SENSITIVE = Rules()
"""Where each change is confirmed by a run of both states before anybody hears of it: one night
that is off is reason enough."""
ALONE = Rules(alpha=0.0045, history=40, shortest=2)
"""Where nothing confirms."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the screen says of the last night of a series.

    p_value: of the likelihood; 1 where there is too little history. votes: detectors that see the
    change. change: the step, where enough of them do, also one that was refuted. modes: the two
    levels of the nights before, where there are two.
    """

    verdict: Verdict
    p_value: float = 1.0
    votes: tuple[Detector, ...] = ()
    change: Change | None = None
    modes: Modes | None = None


def judge(series: Series, rules: Rules = SENSITIVE) -> Judgement:
    """Judge the last night of ``series`` by the nights from its start on.

    The likelihood must speak for a step, and the mean or the ranks must agree. What it says alone,
    and a change that was refuted, is inconclusive.
    """
    if len(series.nights) - series.start < rules.history + 2:
        return Judgement(Verdict.NOT_YET)
    values, uncertainties = series.values, series.uncertainties
    seen = likelihood(values, uncertainties, rules.history, rules.shortest, series.known_ages())
    upwards = seen.up.p_value < seen.down.p_value
    sighting = seen.up if upwards else seen.down
    if sighting.p_value > rules.alpha:
        return Judgement(Verdict.NO_CHANGE, sighting.p_value, modes=modes(values))
    votes = (Detector.LIKELIHOOD, *_agreeing(series, sighting.age, upwards=upwards))
    if len(votes) < _VOTES:
        return Judgement(Verdict.INCONCLUSIVE, sighting.p_value, votes, modes=modes(values))
    change = localise(series, sighting.age, upwards=upwards)
    return Judgement(
        _direction(series, change, upwards=upwards),
        sighting.p_value,
        votes,
        change,
        modes(values[: change.first - series.start]),
    )


def judge_night(series: Mapping[str, Series], rules: Rules = SENSITIVE) -> dict[str, Judgement]:
    """Judge all series of one night; the rate of false ones among the changes is kept.

    Those that Benjamini and Hochberg's procedure does not let pass are inconclusive.
    """
    judgements = {name: judge(one, rules) for name, one in series.items()}
    judged = [name for name, one in judgements.items() if one.verdict is not Verdict.NOT_YET]
    rates = adjusted(np.array([judgements[name].p_value for name in judged]))
    for name, rate in zip(judged, rates, strict=True):
        if rate > rules.rate and judgements[name].change is not None:
            judgements[name] = replace(judgements[name], verdict=Verdict.INCONCLUSIVE)
    return judgements


def _agreeing(series: Series, age: int, *, upwards: bool) -> list[Detector]:
    """Who sees the step that the likelihood says began ``age`` nights ago."""
    values = series.values if upwards else -series.values
    seen = {
        Detector.MEAN: mean_p(values, series.uncertainties, age),
        Detector.RANK: rank_p(values, age),
    }
    return [name for name, p_value in seen.items() if p_value <= _AGREED]


def _direction(series: Series, change: Change, *, upwards: bool) -> Verdict:
    refuted = series.refuted
    if refuted is not None and change.first <= refuted.found and upwards == (refuted.step > 0):
        # Asked again when the step has lasted twice as long as when it was refuted.
        lasted, then = change.found - refuted.first + 1, refuted.found - refuted.first + 1
        if lasted < 2 * then:
            return Verdict.INCONCLUSIVE
    return Verdict.REGRESSION if upwards else Verdict.IMPROVEMENT
