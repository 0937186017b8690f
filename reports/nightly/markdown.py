"""A night as Markdown, for the summary of a job or a comment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from reports.export.as_markdown import escaped
from reports.nightly.words import (
    headline,
    ratio_text,
    remarks,
    sentences,
    series_name,
    summary,
    value_text,
)
from tuner.nightly.report import CaseReport, NightReport
from tuner.nightly.screen.series import Verdict

_LOUD = {Verdict.REGRESSION, Verdict.IMPROVEMENT, Verdict.NOT_MEASURED}


def markdown(report: NightReport) -> str:
    """The summary first, then a table of all series, then what there is to say of them."""
    return "\n".join(_parts(report)) + "\n"


def _parts(report: NightReport) -> Iterator[str]:
    yield f"## {escaped(headline(report))}"
    yield ""
    yield escaped(summary(report))
    if report.cases:
        yield ""
        yield from _table(report)
    told = [*remarks(report), *_told(report.cases)]
    if told:
        yield ""
        yield from (f"- {escaped(sentence)}" for sentence in told)


def _table(report: NightReport) -> Iterator[str]:
    """The columns of the table on a terminal."""
    yield _row(["series", "tonight", "against", "ratio [95 %]", "verdict", "nights"])
    yield _row(["---", "--:", "--:", "--:", "---", "--:"])
    for case in report.cases:
        values = [value_text(case.metric, value) for value in (case.value, case.good_value)]
        verdict = f"**{case.verdict}**" if case.verdict in _LOUD else str(case.verdict)
        cells = [escaped(text) for text in (series_name(case), *values, ratio_text(case.ratio))]
        yield _row([*cells, verdict, str(case.nights)])


def _told(cases: Sequence[CaseReport]) -> Iterator[str]:
    for case in cases:
        yield from (f"{series_name(case)}: {sentence}" for sentence in sentences(case))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
