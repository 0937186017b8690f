"""Answers that are about series of nights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, fields
from math import exp

from db.questions.nightly.flaky import NIGHTS, Flaky
from db.questions.nightly.series import NightOfSeries, OpenRegression
from farm.text import printable
from reports.answers.answer import Answer, answer
from reports.tables.cells import MISSING, change_cell, of_metric, time_cell
from reports.tables.layout import ALWAYS, Column, Rows

_NO_NIGHT = "No night fits. `farm nightly run SUITE` measures one."
_SERIES = (
    Column("series", wraps=24),
    Column("device"),
    Column("metric", below=3),
    Column("environment", below=ALWAYS),
)


def history_answer(rows: Sequence[NightOfSeries]) -> Answer:
    """Nights, newest first."""
    table = Rows(
        (
            Column("night", below=1),
            Column("when"),
            *_SERIES,
            Column("value", right=True),
            Column("last good", right=True, below=2),
            Column("change [95 %]", right=True),
            Column("verdict"),
            Column("level changed", below=ALWAYS),
            Column("run", below=ALWAYS),
        )
    )
    for row in rows:
        table.add(
            row.night,
            time_cell(row.measured_at),
            *_named(row),
            of_metric(row.value, row.metric),
            of_metric(row.good_value, row.metric),
            _change(row.log_ratio, row.ratio_low, row.ratio_high),
            row.verdict,
            row.change_state or MISSING,
            row.run or MISSING,
        )
    return answer(table, rows, NightOfSeries, [], _NO_NIGHT)


def regressions_answer(rows: Sequence[OpenRegression]) -> Answer:
    """What is slower than it was, and stays so."""
    table = Rows(
        (
            *_SERIES,
            Column("worse by [95 %]", right=True),
            Column("last night", right=True),
            Column("since", below=4),
            Column("state", below=2),
            Column("id"),
            Column("note", below=ALWAYS),
        )
    )
    for row in rows:
        table.add(
            *_named(row),
            f"{change_cell(row.ratio)} [{change_cell(row.low)}, {change_cell(row.high)}]",
            _change(row.last_log_ratio),
            row.first_night,
            row.state,
            row.change_id,
            row.note,
        )
    return answer(table, rows, OpenRegression, [], "No open regression fits.")


def flaky_answer(rows: Sequence[Flaky]) -> Answer:
    """Series that cannot be relied on, with the reasons."""
    table = Rows((*_SERIES, Column("nights", right=True, below=1), Column("why", wraps=32)))
    for row in rows:
        table.add(*_named(row), str(row.nights), "\n".join(row.reasons()))
    lines = [] if rows else [f"No series is flaky in its newest {NIGHTS} nights."]
    columns = [*(field.name for field in fields(Flaky)), "reasons"]
    cells = ((*astuple(row), " ".join(row.reasons())) for row in rows)
    return Answer(table, lines, columns, cells)


def _named(row: NightOfSeries | OpenRegression | Flaky) -> tuple[str, ...]:
    series = printable(f"{row.suite}/{row.case_name}")
    return series, row.device, row.metric, row.environment


def _change(log_ratio: float | None, low: float | None = None, high: float | None = None) -> str:
    if log_ratio is None:
        return MISSING
    text = change_cell(exp(log_ratio))
    return text if low is None else f"{text} [{change_cell(low)}, {change_cell(high)}]"
