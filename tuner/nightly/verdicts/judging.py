"""Judging a night: the screen over all series, and both states again where one looks changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp

from db.night_records import ChangePoint, ChangeState, Night, NightValue, Series
from db.questions.nightly.nights import changes_of, series_of, values_of, values_on
from db.records import content_id, utc_now
from farm.errors import FarmError, StoreError
from farm.measurement import Estimate
from tuner.nightly.case import CaseNight, Place
from tuner.nightly.details import Details, details_of
from tuner.nightly.screen.detectors import SHORTEST_BEFORE
from tuner.nightly.screen.judge import Judgement, judge_night
from tuner.nightly.screen.series import Verdict
from tuner.nightly.screen.went_away import went_away
from tuner.nightly.suites.suite import Suite
from tuner.nightly.tonight import Tonight
from tuner.nightly.verdicts.decide import Open, confirmed, is_gone, suspected, unchanged
from tuner.nightly.verdicts.history import History
from tuner.nightly.verdicts.sentences import Facts, causes, sentence_of


@dataclass(frozen=True, slots=True)
class _Asked:
    """One series of the night, with what is known of it."""

    series: Series
    value: NightValue
    details: Details
    history: History

    @property
    def tonight(self) -> Tonight:
        """What was measured, as it was."""
        value, details = self.value, self.details
        assert details.ratio is not None
        return Tonight(
            details.ratio,
            value.uncertainty or 0.0,
            details.noise,
            1.0 if value.p_value is None else value.p_value,
            details.pairs,
            value.seconds or 0.0,
            value.good_seconds or 0.0,
        )


class Judging:
    """Judges what a night measured, and enters the verdicts."""

    def __init__(
        self,
        place: Place,
        suite: Suite,
        night: Night,
        say: Callable[[str], None],
    ) -> None:
        self._place = place
        self._store = place.store
        self._suite = suite
        self._night = night
        self._say = say
        self._cases = {case.name: case for case in suite.cases}

    def judge(self) -> None:
        """Give every series of the night its verdict; what was judged before keeps it."""
        asked = self._asked()
        compared = {key: one for key, one in asked.items() if one.details.good}
        judgements = judge_night({key: one.history.series() for key, one in compared.items()})
        for key, one in asked.items():
            if one.details.judged:
                continue
            if key in judgements:
                self._judge(one, judgements[key])
            else:
                told = (
                    "Nothing to compare it with yet: what was measured is the good state from "
                    "now on."
                )
                self._enter(one, Verdict.NOT_YET, told)

    def _asked(self) -> dict[str, _Asked]:
        known = {series.id: series for series in series_of(self._store, self._suite.name)}
        tonight = {v.series_id: v for v in values_on(self._store, self._night.name)}
        changes = changes_of(self._store, list(tonight))
        found = {}
        for key, value in tonight.items():
            details = details_of(value)
            history = History.of(values_of(self._store, key), changes.get(key, ()), details.good)
            found[key] = _Asked(known[key], value, details, history)
        return found

    def _judge(self, one: _Asked, judgement: Judgement) -> None:
        known = one.history.open_change()
        if known is not None:
            self._judge_open(one, known, judgement)
            return
        suspicion = suspected(one.tonight, judgement)
        if suspicion is None:
            verdict = unchanged(judgement)
            self._enter(one, verdict, self._sentence(one, verdict, judgement))
            return
        self._say(f"{_name(one.series)} looks changed; both states run again side by side.")
        again, failed = self._confirmation(one)
        if again is None:
            told = f"It looks changed ({suspicion}), and could not be confirmed: {failed}"
            self._enter(one, Verdict.INCONCLUSIVE, told)
            return
        holds = confirmed(suspicion, again)
        verdict = suspicion if holds else Verdict.INCONCLUSIVE
        change = self._changed(one, judgement, again, holds=holds, suspicion=suspicion)
        since = change.first_night if change.first_night != self._night.name else ""
        told = self._sentence(one, verdict, judgement, since, again)
        self._enter(one, verdict, told, change.id)
        if verdict is Verdict.IMPROVEMENT and not one.series.environment:
            self._store.add_series(replace(one.series, good=one.details.now.to_json()))

    def _judge_open(self, one: _Asked, known: ChangePoint, judgement: Judgement) -> None:
        """Judge a change that was confirmed before: it is still there, or gone."""
        ratio = Estimate(known.ratio, known.low, known.high)
        if is_gone(Open(ratio, known.state), one.tonight) or _went_away(one.history, known):
            self._store.add_change(replace(known, state=ChangeState.AWAY))
            told = self._sentence(one, Verdict.NO_CHANGE, judgement)
            what = "regression" if known.ratio > 1 else "improvement"
            told = f"The {what} since {known.first_night} is gone: {told}"
            self._enter(one, Verdict.NO_CHANGE, told, known.id)
            return
        verdict = Verdict.REGRESSION if known.ratio > 1 else Verdict.IMPROVEMENT
        told = self._sentence(one, verdict, judgement, known.first_night)
        if known.state is ChangeState.BUG:
            told += f" It is a known bug{': ' + known.note if known.note else ''}."
        self._enter(one, verdict, told, known.id)

    def _confirmation(self, one: _Asked) -> tuple[Tonight | None, str]:
        """Both states again; None and why where that could not be."""
        case = self._cases.get(one.series.case)
        if case is None:  # the suite was changed since the night was cut short
            return None, f"the suite has no case '{one.series.case}' any more."
        night = CaseNight(self._place, self._suite.name, case, [one.series])
        pairs = one.tonight.pairs_to_confirm
        try:
            return night.confirm(one.series, one.details, pairs), ""
        except StoreError:
            raise
        except FarmError as error:
            return None, str(error)

    def _changed(
        self,
        one: _Asked,
        judgement: Judgement,
        again: Tonight,
        *,
        holds: bool,
        suspicion: Verdict,
    ) -> ChangePoint:
        """Enter the change that was confirmed or refuted."""
        seen = judgement.change if judgement.verdict is suspicion else None
        first = one.history.night_of(seen) if seen is not None else self._night.name
        ratio = again.ratio if holds else one.tonight.ratio
        if not holds and seen is not None:
            step = exp(seen.step)
            ratio = Estimate(step, step, step)
        change = ChangePoint(
            content_id(one.series.id, self._night.name)[:12],
            one.series.id,
            first,
            self._night.name,
            utc_now(),
            ratio.value,
            ratio.low,
            ratio.high,
            ChangeState.CONFIRMED if holds else ChangeState.REFUTED,
            details=json.dumps({"pairs": again.pairs}),
        )
        self._store.add_change(change)
        return change

    def _sentence(
        self,
        one: _Asked,
        verdict: Verdict,
        judgement: Judgement,
        since: str = "",
        again: Tonight | None = None,
    ) -> str:
        details, values = one.details, one.history.values
        other_machine = len(values) > 1 and details_of(values[-2]).machine != details.machine
        than = "today's software" if one.series.environment else "its last good state"
        return sentence_of(
            Facts(
                one.series.metric,
                verdict,
                one.tonight,
                than,
                len(values),
                since,
                again,
                causes(details.against, details.now, other_machine=other_machine),
                two_levels=judgement.modes is not None,
            )
        )

    def _enter(self, one: _Asked, verdict: Verdict, sentence: str, change: str = "") -> None:
        details = replace(
            one.details,
            judged=True,
            sentence=sentence,
            change=change,
            nights=len(one.history.values),
        )
        value = replace(one.value, verdict=verdict, details=details.to_json())
        self._store.add_night_value(value)


def _went_away(history: History, known: ChangePoint) -> bool:
    """By the nights alone, where enough of them lie before the change."""
    seen = history.as_seen(known)
    return seen.first >= SHORTEST_BEFORE and went_away(history.series(), seen)


def _name(series: Series) -> str:
    """A series for people: ``kws on cpu, latency``."""
    environment = f" in {series.environment}" if series.environment else ""
    return f"{series.case} on {series.device}{environment}, {series.metric}"
