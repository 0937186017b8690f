"""The last night of a suite, recalled from the store as a report."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile

from db.night_records import ChangePoint, ChangeState, Night, NightValue, Series
from db.questions.nightly.nights import changes_of, nights, series_of, values_of, values_on
from db.reader import StoreReader
from farm.measurement import Estimate
from farm.units import counted
from tuner.nightly.alone import is_running
from tuner.nightly.details import Details, details_of, night_details
from tuner.nightly.report import CaseReport, ChangeReport, NightReport
from tuner.nightly.screen.series import Verdict
from tuner.nightly.suites.schedule import parse_schedule
from tuner.nightly.suites.suite import DEFAULT_METRICS, Case, Suite
from tuner.nightly.verdicts.sentences import causes

_DISMISSED = frozenset({ChangeState.EXPECTED, ChangeState.NOISE})
_MOST = 100
_LATE = timedelta(hours=6)  # so long a night may take to begin, and to end


def last_night(store: StoreReader, suite: Suite, now: datetime) -> NightReport:
    """What the newest night says.

    Nights that were due since, or between it and the one before, are said. Where one was due after
    the newest one began, six hours ago or more, nothing is known of today: that is not measured.

    Where there was no night yet, there is nothing but a note that says so.
    """
    found = nights(store, suite.name, limit=3)
    running = bool(found) and found[0].finished_at is None and is_running(suite.name)
    if running and len(found) > 1:
        found = found[1:]
    if not found:
        note = (
            f"There is no night of suite {suite.name} in the store at {store.place}; "
            f"`farm nightly run {suite.path.name}` measures one."
        )
        return NightReport(suite.name, "", None, None, "", (), (note,))
    night, before = found[0], found[1] if len(found) > 1 else None
    details = night_details(night.details, night.name)
    notes = [*details.notes, *_notes(suite, night, before, now, running=running)]
    known = {series.id: series for series in series_of(store, suite.name)}
    values = values_on(store, night.name)
    changes = {
        change.id: change
        for found_ in changes_of(store, [value.series_id for value in values]).values()
        for change in found_
    }
    cases = _once_timed(_case(known[v.series_id], v, changes, suite) for v in values)
    order = {case.name: at for at, case in enumerate(suite.cases)}
    rows = {(case.case, case.environment, case.metric) for case in cases}
    cases += (
        case
        for case in _failed(suite, night)
        if (case.case, case.environment, case.metric) not in rows
    )
    there = {(case.case, case.environment) for case in cases}
    if night.finished_at is None:
        cases += _missing(suite, there)
    else:
        cases += _of_earlier_nights(store, suite, known.values(), there)
    cases.sort(key=lambda case: (order.get(case.case, len(order)), case.environment, case.metric))
    return NightReport(
        suite.name,
        night.name,
        night.started_at,
        night.finished_at,
        details.described,
        tuple(cases),
        tuple(notes),
        is_stale=bool(_due(suite, night.started_at, now - _LATE)),
    )


def _case(
    series: Series, value: NightValue, changes: dict[str, ChangePoint], suite: Suite
) -> CaseReport:
    details = details_of(value)
    change = changes.get(details.change)
    models = {case.name: case.model.name for case in suite.cases}
    return CaseReport(
        case=series.case,
        model=models.get(series.case, series.model_sha256[:12]),
        device=series.device,
        metric=series.metric,
        environment=series.environment,
        verdict=_verdict(value, details, change),
        sentence=details.sentence or "The night was cut short before it was judged.",
        ratio=details.ratio,
        value=value.seconds,
        good_value=value.good_seconds,
        p_value=value.p_value,
        nights=details.nights,
        change=None if change is None else _change(change, details),
        notes=details.notes,
        run=value.run,
        candidate=details.label,
        seconds=details.seconds,
    )


def _verdict(value: NightValue, details: Details, change: ChangePoint | None) -> Verdict:
    """What the night said, but for a regression that people have since said is none."""
    if not details.judged:
        return Verdict.NOT_MEASURED
    verdict = Verdict(value.verdict)
    dismissed = change is not None and change.state in _DISMISSED
    return Verdict.NO_CHANGE if verdict is Verdict.REGRESSION and dismissed else verdict


def _change(change: ChangePoint, details: Details) -> ChangeReport:
    return ChangeReport(
        change.id,
        change.first_night,
        Estimate(change.ratio, change.low, change.high),
        pairs=json.loads(change.details).get("pairs", 0),
        causes=causes(details.against, details.now, other_machine=False),
        state=change.state,
        note=change.note,
    )


def _of_earlier_nights(
    store: StoreReader, suite: Suite, known: Iterable[Series], there: Collection[tuple[str, str]]
) -> Iterator[CaseReport]:
    """Cases that this night was not asked for, as the last night that was asked left them."""
    left = {case.name for case in suite.cases if (case.name, "") not in there}
    measured = set()
    for series in known:
        if series.case not in left or series.environment:
            continue
        if values := values_of(store, series.id):
            measured.add(series.case)
            changes = {c.id: c for c in changes_of(store, [series.id]).get(series.id, ())}
            found = _case(series, values[-1], changes, suite)
            note = f"As night {values[-1].night} left it: the last one was not asked for it."
            yield replace(found, notes=(*found.notes, note), seconds=0.0)
    for case in suite.cases:
        if case.name in left - measured:
            yield from _unmeasured(case, Verdict.NOT_YET, "No night has measured it yet.")


def _unmeasured(
    case: Case, verdict: Verdict, sentence: str, environment: str = ""
) -> Iterator[CaseReport]:
    """A row for each metric, as if it had been measured: who follows one finds it every night."""
    for metric in case.metrics or DEFAULT_METRICS:
        yield CaseReport(
            case.name, case.model.name, case.device, metric, environment, verdict, sentence
        )


def _failed(suite: Suite, night: Night) -> Iterator[CaseReport]:
    """Cases and environments that could not be measured at all."""
    for failed in night_details(night.details, night.name).failed:
        for case in suite.cases:
            if failed.case in ("", case.name):
                verdict = Verdict.NOT_MEASURED
                yield from _unmeasured(case, verdict, failed.sentence, failed.environment)


def _once_timed(cases: Iterable[CaseReport]) -> list[CaseReport]:
    """The seconds of a run are those of its first series: several were measured at once."""
    found: list[CaseReport] = []
    runs: set[str] = set()
    for case in cases:
        found.append(replace(case, seconds=0.0) if case.run in runs else case)
        runs.add(case.run)
    return found


def _missing(suite: Suite, there: Collection[tuple[str, str]]) -> Iterator[CaseReport]:
    """Cases that a night which was cut short did not come to."""
    for case in suite.cases:
        if (case.name, "") not in there:
            sentence = "The night was cut short before it."
            yield from _unmeasured(case, Verdict.NOT_MEASURED, sentence)


def _notes(
    suite: Suite, night: Night, before: Night | None, now: datetime, *, running: bool
) -> Iterator[str]:
    if running:
        yield "The next night is being run now."
    if night.finished_at is None and not running:
        yield f"The night was cut short; `farm nightly run {suite.path.name}` goes on with it."
    if before is not None:
        # The last one that was due is this one.
        yield from _missed_note(suite, _due(suite, before.started_at, night.started_at)[:-1])
        old, new = (night_details(n.details, n.name) for n in (before, night))
        if old.machine != new.machine:
            yield f"This machine ({new.described}) is not that of the night before."
    yield from _missed_note(suite, _due(suite, night.started_at, now - _LATE))


def _missed_note(suite: Suite, missed: list[datetime]) -> Iterator[str]:
    if missed:
        many = "more than 100 nights" if len(missed) > _MOST else counted(len(missed), "night")
        yield (
            f"By the schedule {suite.schedule}, {many} did not run: {missed[0]:%Y-%m-%d %H:%M}"
            f"{' and later' if len(missed) > 1 else ''}."
        )


def _due(suite: Suite, after: datetime, until: datetime) -> list[datetime]:
    """When nights were due between two moments, the first hundred and one."""
    if not suite.schedule:
        return []
    due = parse_schedule(suite.schedule).due_after(after)
    return list(islice(takewhile(lambda moment: moment <= until, due), _MOST + 1))
