"""One series night after night."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from rich.text import Text

from db.records import NightValue, Series
from farm.measurement import Estimate
from reports.nightly.table import STYLES
from reports.nightly.words import ratio_text, time_text, value_text
from reports.tables.layout import Column, Rows
from tuner.nightly.screen.series import Verdict

_NORMAL_95 = 1.96  # standard errors on either side of a mean that hold 95 % of it
_COLUMNS = (
    Column("night", wraps=24),
    Column("measured", below=2),
    Column("ratio [95 %]", right=True),
    Column("value", right=True, below=3),
    Column("against", right=True, below=1),
    Column("verdict"),
    Column("run", below=0),
)


def history_table(series: Series, values: Sequence[NightValue]) -> Rows:
    """The nights of a series as they are given. Ratios above 1 are worse."""
    beside = f" with environment {series.environment}" if series.environment else ""
    title = f"{series.suite}, {series.case} on {series.device}, {series.metric}{beside}"
    table = Rows(_COLUMNS, title)
    for each in values:
        verdict = Verdict(each.verdict)
        table.add(
            each.night,
            time_text(each.measured_at),
            ratio_text(ratio_of(each)),
            value_text(series.metric, each.seconds),
            value_text(series.metric, each.good_seconds),
            Text(str(verdict), style=STYLES.get(verdict, "")),
            each.run,
        )
    return table


def ratio_of(night: NightValue) -> Estimate | None:
    """The ratio of one night, with the interval that its standard error gives."""
    if night.value is None:
        return None
    width = _NORMAL_95 * (night.uncertainty or 0.0)
    return Estimate(exp(night.value), exp(night.value - width), exp(night.value + width))
