"""Answers that are about trials: all of them, the best, the newest, what failed, what was said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields

from rich.text import Text

from db.questions.best import Best, BestTrial
from db.questions.failures import Failure
from db.questions.latest import Latest
from db.questions.predicted import Predicted
from db.records import Result
from farm.measurement import Measurement, Method, Metric
from farm.prediction import Prediction
from reports.answers.answer import Answer, answer
from reports.rows import result_rows
from reports.tables.cells import (
    MISSING,
    any_cell,
    change_cell,
    counted_cell,
    of_metric,
    prediction_cell,
    quantity,
    ratio_cell,
    time_cell,
)
from reports.tables.layout import ALWAYS, Column, Rows
from reports.tables.rows import results_table

NOTHING = "No trial fits."
_TRIAL_LETTERS = 8
_PREDICTED = Column("predicted [90 %]", right=True, below=4)
_PREDICTED_COLUMNS = ("predicted", "predicted_low", "predicted_high", "predicted_basis")


def trials_answer(rows: Sequence[Result], candidate: Callable[[str], str]) -> Answer:
    """Trials. candidate: the JSON text of a candidate id, asked for as rows are."""
    columns, cells = result_rows(rows, candidate)
    return Answer(results_table(rows), [] if rows else [NOTHING], columns, cells)


def latest_answer(rows: Sequence[Latest], by: Metric = Metric.LATENCY) -> Answer:
    """Winners beside their baselines. by: the metric that is shown; speed-ups are of latency."""
    metric = str(by)
    speed = "speed-up" if by is Metric.LATENCY else "speed-up in latency"
    told = _told(rows)
    table = Rows(
        (
            Column("model"),
            Column("device"),
            Column("winner", wraps=24),
            Column(metric, right=True, below=5),
            *told,
            Column("baseline's", right=True, below=4),
            Column(f"{speed} [95 %]", right=True),
            Column("trial", below=3),
            Column("run", below=2),
            Column("machine", below=1),
            Column("when", below=0),
            Column("energy counted", below=ALWAYS),
        )
    )
    for row in rows:
        new = row.newest
        gain = ratio_cell(new.ratio, new.ratio_low, new.ratio_high)
        table.add(
            new.model,
            new.device,
            new.winner,
            any_cell(row.value),
            *(prediction_cell(row.predicted) for _ in told),
            any_cell(row.baseline),
            "the baseline wins" if new.ratio is None else Text(gain, style="bold green"),
            new.winner_trial[:_TRIAL_LETTERS],
            new.run,
            new.machine,
            time_cell(new.created_at),
            counted_cell(row.energy_window, row.idle_power),
        )
    lines = [] if rows else ["No run that fits has a winner."]
    return Answer(table, lines, _LATEST_COLUMNS, map(_latest_cells, rows))


_LATEST_COLUMNS = (
    *("model", "model_sha256", "device", "machine", "run", "created_at", "verdict"),
    *("ratio", "ratio_low", "ratio_high", "winner", "winner_trial", "baseline_trial"),
    *("metric", "value", "value_method", "baseline", "baseline_method"),
    *("energy_window", "idle_power"),
    *_PREDICTED_COLUMNS,
)


def _latest_cells(row: Latest) -> tuple[object, ...]:
    new = row.newest
    return (
        *(new.model, new.model_sha256, new.device, new.machine, new.run, new.created_at),
        *(new.verdict, new.ratio, new.ratio_low, new.ratio_high),
        *(new.winner, new.winner_trial, new.baseline_trial, str(row.metric)),
        *_value_and_method(row.value),
        *_value_and_method(row.baseline),
        *(found and found.value for found in (row.energy_window, row.idle_power)),
        *_predicted_cells(row.predicted),
    )


def _value_and_method(found: Measurement | None) -> tuple[float | None, str | None]:
    return (None, None) if found is None else (found.value, str(found.method))


def best_answer(rows: Sequence[BestTrial], by: Metric = Metric.LATENCY) -> Answer:
    """The best of each model on each device. by: the metric that counts."""
    metric, told = str(by), _told(rows)
    table = Rows(
        (
            Column("model"),
            Column("device"),
            Column("candidate", wraps=24),
            Column(metric, right=True),
            *told,
            Column("method", below=4),
            Column("trial", below=5),
            Column("phase", below=3),
            Column("run", below=2),
            Column("machine", below=1),
            Column("when", below=0),
            Column("energy counted", below=ALWAYS),
        )
    )
    for row in rows:
        table.add(
            row.model,
            row.device,
            row.candidate,
            _with_interval(row),
            *(prediction_cell(row.predicted) for _ in told),
            row.method,
            row.trial[:_TRIAL_LETTERS],
            row.phase,
            row.run,
            row.machine,
            time_cell(row.created_at),
            _counted(row),
        )
    nothing = f"No trial that fits is ok and has a value of {metric}."
    lines = list(_best_lines(rows)) if rows else [nothing]
    return Answer(table, lines, _BEST_COLUMNS, map(_best_cells, rows))


_BEST_COLUMNS = (*(field.name for field in fields(Best)), *_PREDICTED_COLUMNS)


def _best_cells(row: BestTrial) -> tuple[object, ...]:
    *own, predicted = (getattr(row, field.name) for field in fields(row))
    return (*own, *_predicted_cells(predicted))


def _with_interval(row: Best) -> str:
    text = quantity(row.value, row.unit)
    if row.low is None or row.high is None:
        return text
    return f"{text} [{quantity(row.low, row.unit)}, {quantity(row.high, row.unit)}]"


def _counted(row: Best) -> str:
    told = (row.energy_window, Metric.ENERGY_WINDOW), (row.idle_power, Metric.IDLE_POWER)
    return counted_cell(
        *(None if v is None else Measurement(m, v, Method.MEASURED) for v, m in told)
    )


def _best_lines(rows: Iterable[Best]) -> Iterator[str]:
    if any(row.phase == "search" for row in rows):
        yield "Of the phase search: nothing was confirmed there yet."
    if any(row.method != Method.MEASURED for row in rows):
        yield "Values that were not measured are ranked apart from those that were."


def _told(rows: Sequence[BestTrial] | Sequence[Latest]) -> list[Column]:
    """The column of what was predicted, where anything was."""
    return [_PREDICTED] if any(row.predicted for row in rows) else []


def _predicted_cells(found: Prediction | None) -> tuple[object, ...]:
    if found is None:
        return (None,) * len(_PREDICTED_COLUMNS)
    return (found.value, found.low, found.high, str(found.basis))


def failures_answer(rows: Sequence[Failure]) -> Answer:
    """Reasons, the most frequent first."""
    table = Rows(
        (
            Column("trials", right=True),
            Column("model", below=3),
            Column("device", below=2),
            Column("outcome"),
            Column("reason", wraps=32),
            Column("for example", below=1),
            Column("newest", below=0),
        )
    )
    for row in rows:
        table.add(
            f"{row.trials:,}",
            row.model,
            row.device,
            row.outcome,
            row.message or MISSING,
            row.trial[:_TRIAL_LETTERS],
            time_cell(row.newest),
        )
    return answer(table, rows, Failure, [], "No failed trial fits.")


def predicted_answer(rows: Sequence[Predicted]) -> Answer:
    """Values by model or plan beside measured ones."""
    table = Rows(
        (
            Column("model"),
            Column("device"),
            Column("candidate", wraps=24),
            Column("predicted", right=True),
            Column("measured", right=True),
            Column("off by", right=True),
            Column("trials", below=0),
        )
    )
    for row in rows:
        table.add(
            row.model,
            row.device,
            row.candidate,
            f"{row.metric} {of_metric(row.predicted, row.metric)} ({row.predicted_by})",
            f"{row.measured_metric} {quantity(row.measured, row.unit)} ({row.measured_by})",
            change_cell(row.ratio),
            _both(row.predicted_trial, row.measured_trial),
        )
    nothing = "No candidate has both a predicted and a measured value of one thing."
    return answer(table, rows, Predicted, [], nothing)


def _both(first: str, second: str) -> str:
    names = dict.fromkeys((first[:_TRIAL_LETTERS], second[:_TRIAL_LETTERS]))
    return ", ".join(names)
