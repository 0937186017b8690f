"""The page of a suite: what its last night says, and how each series came there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median

from db.night_records import Night
from db.questions.nightly.nights import changes_of, nights, series_of, values_on
from db.questions.nightly.span import points_on, series_of_model
from db.reader import StoreReader
from db.records import Machine, Software
from farm.errors import FarmError, NotInStore
from farm.units import counted
from reports.nightly.words import ratio_text
from reports.pages.section import (
    MOST_ROWS,
    Chart,
    Drawing,
    Page,
    Role,
    Section,
    label,
    rounded,
    table,
)
from reports.pages.sections.history import Followed, followed, history
from reports.pages.sections.provenance import machine_text, versions_of
from reports.tables.cells import MISSING, of_metric
from tuner.nightly.details import details_of
from tuner.nightly.report import worst
from tuner.nightly.screen.series import Verdict

NIGHTS = 100
_UNCERTAINTY = (
    'farm query "SELECT night, case_name, device, metric, uncertainty FROM history '
    "WHERE suite = '{}'\""
)
_FIRST = (Verdict.REGRESSION, Verdict.NOT_MEASURED, Verdict.INCONCLUSIVE, Verdict.IMPROVEMENT)


def suite_page(store: StoreReader, suite: str, most: int = NIGHTS) -> Page:
    """A suite's newest nights. most: nights. Raises NotInStore: it never ran."""
    newest = nights(store, suite, limit=most)
    if not newest:
        raise NotInStore(f"There is no night of suite {suite!r} in the store at {store.place}.")
    shown = tuple(reversed(newest))
    series = series_of(store, suite)
    found = sorted(
        followed(
            series,
            shown,
            points_on(store, [night.name for night in shown]),
            changes_of(store, [each.id for each in series]),
            _sentences(store, newest[0].name),
        ),
        key=lambda each: _rank(_verdict(each, newest[0])),
    )
    used = {point.software_id for each in found for point in each.points}
    software = {key: store.software(key) for key in used}
    machines = [store.machine(key) for key in dict.fromkeys(night.machine_id for night in shown)]
    last = newest[0]
    return Page(
        f"Suite {suite}",
        f"{len(series):,} series, {counted(len(shown), 'night')}, the last one "
        f"{last.started_at:%Y-%m-%d %H:%M} UTC",
        (
            _verdicts(suite, last, found),
            _health(suite, shown, found),
            _provenance(suite, machines, software, shown),
        ),
        history(shown, found, software) | {"listed": min(len(found), MOST_ROWS)},
    )


def model_history(store: StoreReader, sha256: str, most: int = NIGHTS) -> Drawing | None:
    """Series that follow a model in the suite that ran last; None where none does."""
    series = series_of_model(store, sha256)
    if not series:
        return None
    shown = tuple(reversed(nights(store, series[0].suite, limit=most)))
    ids = [each.id for each in series]
    points = points_on(store, [night.name for night in shown], ids)
    found = followed(series, shown, points, changes_of(store, ids), {})
    software = {key: store.software(key) for key in {point.software_id for point in points}}
    return history(shown, found, software)


def _verdict(each: Followed, last: Night) -> str:
    """Of the last night; "" where it was not in it."""
    return each.points[-1].verdict if each.points and each.points[-1].night == last.name else ""


def _rank(verdict: str) -> int:
    return _FIRST.index(Verdict(verdict)) if verdict in _FIRST else len(_FIRST)


def _sentences(store: StoreReader, night: str) -> Mapping[str, str]:
    """What the night said of each series in words, as far as this version can read it."""
    said: dict[str, str] = {}
    for value in values_on(store, night):
        try:
            said[value.series_id] = details_of(value).sentence
        except FarmError:
            said[value.series_id] = ""
    return said


def _verdicts(suite: str, last: Night, found: Sequence[Followed]) -> Section:
    known = Counter(_verdict(each, last) or "not in this night" for each in found)
    own = [v for each in found if (v := _verdict(each, last)) and not each.series.environment]
    told = ", ".join(f"{count} {verdict}" for verdict, count in known.most_common())
    rows = [
        (
            each.name,
            _verdict(each, last) or "not in this night",
            ratio_text(each.points[-1].ratio if each.points else None),
            of_metric(each.points[-1].seconds, each.series.metric) if each.points else MISSING,
            "; ".join(f"{c.ratio:.3f} from {c.first_night}, {c.state}" for c in each.changes),
            each.sentence,
        )
        for each in found
    ]
    verdict = worst([Verdict(v) for v in own if v in set(Verdict)])
    return Section(
        "verdicts",
        "Verdicts of the last night",
        f"Night {last.name}: {verdict}; of all series {told}.",
        table=table(
            ("series", "verdict", "ratio [95 %]", "value", "level changed", "in words"),
            rows,
            "ratio [95 %],value",
        ),
        notes=("A ratio is over the last good state, and above 1 is worse.",),
        commands=(f"farm results history --series {suite}", "farm nightly check SUITE.toml"),
    )


def _health(suite: str, shown: Sequence[Night], found: Sequence[Followed]) -> Section:
    """How wide a night's own uncertainty was, and what could not be measured."""
    by_night: dict[str, list[float]] = {night.name: [] for night in shown}
    failed: Counter[str] = Counter()
    for each in found:
        for point in each.points:
            if point.uncertainty is not None:
                by_night[point.night].append(100 * point.uncertainty)
            failed[point.night] += point.verdict == Verdict.NOT_MEASURED
    compared = [(night, median(by_night[night.name])) for night in shown if by_night[night.name]]
    cut = [night.name for night in shown if night.finished_at is None]
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [f"{night.started_at:%Y-%m-%d %H:%M:%S}" for night, _ in compared],
        "y": rounded([width for _, width in compared]),
        "marker": {"color": Role.WINNER, "size": 6},
        "line": {"color": Role.WINNER, "width": 1},
        "hoverinfo": "text",
        "hovertext": [
            label(f"{night.name}: {width:.2f} %, {failed[night.name]} not measured")
            for night, width in compared
        ],
    }
    layout = {
        "yaxis": {"title": {"text": "standard error, %"}, "rangemode": "tozero"},
        "xaxis": {"type": "date"},
    }
    return Section(
        "health",
        "Machine health",
        f"{_known(compared)} {counted(sum(failed.values()), 'value')} could not be measured, and "
        f"{counted(len(cut), 'night')} did not come to an end.",
        Chart((trace,), layout, 300) if compared else None,
        notes=tuple(f"Night {name} was cut short." for name in cut[:10]),
        commands=(_UNCERTAINTY.format(suite), f"farm results flaky --series {suite}"),
    )


def _known(compared: Sequence[tuple[Night, float]]) -> str:
    """compared: nights that compared something, with the median width of their series, in %."""
    if not compared:
        return "No night compared anything yet."
    width = median(width for _, width in compared)
    several = f"half of the {len(compared)} nights" if len(compared) > 1 else "the one night"
    return (
        f"Half of the series were known to within {width:.2f} % (one standard error) in {several} "
        "that compared them with an earlier state."
    )


def _provenance(
    suite: str,
    machines: Sequence[Machine],
    software: Mapping[str, Software],
    shown: Sequence[Night],
) -> Section:
    rows = [
        ("suite", suite),
        ("nights", f"{shown[0].name} to {shown[-1].name}"),
        *(("machine", machine_text(each)) for each in machines),
        *(
            ("software", ", ".join(f"{k} {v}" for k, v in versions_of(each).items()) or each.id)
            for each in software.values()
        ),
    ]
    return Section(
        "provenance",
        "Provenance",
        f"Everything above is of the nights of suite {suite} and what the store keeps of them.",
        table=table(("what", "value"), rows),
        commands=("farm nightly run SUITE.toml", f"farm results history --series {suite}"),
    )
