"""The nightly screen: one verdict per series and night, by a vote of three detectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from tuner.nightly.screen.detectors import (
    SHORTEST,
    SHORTEST_BEFORE,
    Sighting,
    cusum,
    mean_scan,
    positions,
    rank_scan,
)
from tuner.nightly.screen.false_discovery import adjusted
from tuner.nightly.screen.localise import localise
from tuner.nightly.screen.modes import Modes, modes
from tuner.nightly.screen.series import Change, Series, Verdict


class Detector(StrEnum):
    """Who votes."""

    MEAN = "mean"
    RANK = "rank"
    CUSUM = "cusum"


_VOTES = 2
# Of p values in any dependence, n / k of the k-th smallest of n is one, too (Rueger 1978). Twice
# that, because a step may go either way.
_VOTE_FACTOR = 2 * len(Detector) / _VOTES
_NIGHTS_NEEDED = SHORTEST_BEFORE + SHORTEST


@dataclass(frozen=True, slots=True)
class Rules:
    """How sensitive the screen is.

    alpha: probability, at most, that a night of an unchanged series looks changed. rate: of false
    ones among all changes of a night.
    """

    alpha: float = 0.01
    rate: float = 0.1

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("rate", self.rate)):
            if not 0 < value < 1:
                raise ValueError(f"{name} of a screen must lie between 0 and 1; got {value}")


SENSITIVE = Rules()
"""Where each change is confirmed by a run of both states before anybody hears of it."""
ALONE = Rules(alpha=0.002)
"""Where nothing confirms: at most 2 of 1,000 nights of unchanged series look changed."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the screen says of the last night of a series.

    p_value: of the vote if nothing changed; 1 where there is too little history. votes: detectors
    that see the change. change: the step, where enough of them do, also one that was refuted.
    modes: the two levels of the nights before, where there are two.
    """

    verdict: Verdict
    p_value: float = 1.0
    votes: tuple[Detector, ...] = ()
    change: Change | None = None
    modes: Modes | None = None


def judge(series: Series, rules: Rules = SENSITIVE) -> Judgement:
    """Judge the last night of ``series`` by the nights from its start on.

    Two of three detectors must see a step the same way. What one of them sees alone, and a change
    that was refuted, is inconclusive.
    """
    if len(series.nights) - series.start < _NIGHTS_NEEDED:
        return Judgement(Verdict.NOT_YET)
    up, down = _sightings(series, rules)
    upwards = _vote_p(up) < _vote_p(down)
    seen, other = (up, down) if upwards else (down, up)
    p_value, alone = _vote_p(seen), min(_alone_p(seen), _alone_p(other))
    if p_value > rules.alpha:
        verdict = Verdict.INCONCLUSIVE if alone <= rules.alpha else Verdict.NO_CHANGE
        return Judgement(verdict, p_value, modes=modes(series.values))
    votes = [name for name in seen if _VOTE_FACTOR * seen[name].p_value <= rules.alpha]
    change = localise(series, min((seen[name] for name in votes), key=_p_value).age)
    return Judgement(
        _direction(series, change, upwards=upwards),
        p_value,
        tuple(votes),
        change,
        modes(series.values[: change.first - series.start]),
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


def _sightings(
    series: Series, rules: Rules
) -> tuple[dict[Detector, Sighting], dict[Detector, Sighting]]:
    """What each detector sees, upwards and downwards."""
    values, uncertainties = series.values, series.uncertainties
    known = frozenset(len(series.nights) - night for night in series.known_changes())
    where = positions(values, rules.alpha, known)
    seen = {
        Detector.MEAN: mean_scan(values, uncertainties, where),
        Detector.RANK: rank_scan(values, where),
        Detector.CUSUM: cusum(values, uncertainties),
    }
    return {name: one.up for name, one in seen.items()}, {
        name: one.down for name, one in seen.items()
    }


def _vote_p(seen: Mapping[Detector, Sighting]) -> float:
    second = sorted(sighting.p_value for sighting in seen.values())[_VOTES - 1]
    return min(1.0, _VOTE_FACTOR * second)


def _alone_p(seen: Mapping[Detector, Sighting]) -> float:
    return min(1.0, 2 * len(Detector) * min(sighting.p_value for sighting in seen.values()))


def _p_value(sighting: Sighting) -> float:
    return sighting.p_value


def _direction(series: Series, change: Change, *, upwards: bool) -> Verdict:
    refuted = series.refuted
    if refuted is not None and change.first <= refuted.found and upwards == (refuted.step > 0):
        # Asked again when the step has lasted twice as long as when it was refuted.
        lasted, then = change.found - refuted.first + 1, refuted.found - refuted.first + 1
        if lasted < 2 * then:
            return Verdict.INCONCLUSIVE
    return Verdict.REGRESSION if upwards else Verdict.IMPROVEMENT
