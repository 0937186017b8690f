"""A night as people see it on a terminal: one row per series, and sentences below."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from reports.nightly.words import (
    headline,
    ratio_text,
    remarks,
    sentences,
    series_name,
    summary,
    value_text,
)
from reports.tables.layout import Column, Rows
from tuner.nightly.report import CaseReport, NightReport
from tuner.nightly.screen.series import Verdict

STYLES = {
    Verdict.REGRESSION: "bold red",
    Verdict.NOT_MEASURED: "yellow",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.IMPROVEMENT: "green",
}
_COLUMNS = (
    Column("series", wraps=24),
    Column("tonight", right=True, below=2),
    Column("against", right=True, below=1),
    Column("ratio [95 %]", right=True, below=3),
    Column("verdict"),
    Column("nights", right=True, below=0),
)


def night_table(report: NightReport) -> Rows:
    """One row per series.

    The ratio is tonight's value over that of what ran in the same blocks: the last good state, or
    today's software where an environment is judged. Above 1 is worse.
    """
    table = Rows(_COLUMNS, headline(report))
    for case in report.cases:
        table.add(
            series_name(case),
            value_text(case.metric, case.value),
            value_text(case.metric, case.good_value),
            ratio_text(case.ratio),
            _verdict(case),
            str(case.nights),
        )
    return table


def night_lines(report: NightReport) -> Iterator[str]:
    """The night in a sentence, then what there is to say of it and of each series."""
    yield summary(report)
    yield from remarks(report)
    for case in report.cases:
        name = series_name(case)
        yield from (f"{name}: {sentence}" for sentence in sentences(case))


def _verdict(case: CaseReport) -> Text:
    return Text(str(case.verdict), style=STYLES.get(case.verdict, ""))
