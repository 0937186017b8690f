"""What ``farm results QUESTION`` asks: one command per question."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.shared.options.common import LimitOption, StoreOption
from commands.shared.output import (
    AsJsonOption,
    FormatOption,
    RowsFileOption,
    destination,
    print_answer,
)
from commands.shared.shell import completion
from commands.store.options import DevicesOption, ModelOption, RunOption, known_subject, subject_of
from farm.measurement import Metric
from farm.units import parse_percent

ByOption = Annotated[
    Metric,
    typer.Option(
        "--by",
        metavar="METRIC",
        help="latency (default), throughput, cpu_seconds, first_result (load and first run), "
        "peak_memory, energy, accuracy, ...",
    ),
]
SeriesOption = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="SUITE/CASE",
        help="Only this case of a suite, or all of a SUITE.",
        autocompletion=completion.series_name,
    ),
]


def latest_results(
    *,
    by: ByOption = Metric.LATENCY,
    model: ModelOption = None,
    devices: DevicesOption = None,
    limit: LimitOption = 50,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """The newest winner of each model on each device, against its baseline.

    Example: farm results latest --model kws --by cpu_seconds
    """
    from db.questions.latest import latest
    from db.reader import StoreReader
    from reports.answers.trials import latest_answer

    to = destination(output_format, output, as_json=json_output)
    about = subject_of(model, devices)
    with StoreReader.open(store) as reader:
        found = latest(reader, known_subject(reader, about), by, limit)
        print_answer(latest_answer(found, by), to)


def best_results(
    *,
    by: ByOption = Metric.LATENCY,
    model: ModelOption = None,
    devices: DevicesOption = None,
    limit: LimitOption = 50,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """The best configuration of each model on each device, over all runs.

    Example: farm results best --by peak_memory --device cpu
    """
    from db.questions.best import best
    from db.reader import StoreReader
    from reports.answers.trials import best_answer

    to = destination(output_format, output, as_json=json_output)
    about = subject_of(model, devices)
    with StoreReader.open(store) as reader:
        print_answer(best_answer(best(reader, known_subject(reader, about), by, limit), by), to)


def pareto_results(
    *,
    model: ModelOption = None,
    devices: DevicesOption = None,
    run: RunOption = None,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """Trials that nothing beats in latency, memory, energy and accuracy at once, by newest run.

    Example: farm results pareto --model kws --device cpu
    """
    from db.questions.pareto import pareto
    from db.reader import StoreReader
    from reports.answers.trials import trials_answer

    to = destination(output_format, output, as_json=json_output)
    about = subject_of(model, devices)
    with StoreReader.open(store) as reader:
        rows = pareto(reader, known_subject(reader, about), run)
        print_answer(trials_answer(rows, lambda found: reader.candidate(found).json), to)


def history_results(
    *,
    series: SeriesOption = None,
    by: Annotated[
        Metric | None, typer.Option("--by", metavar="METRIC", help="Only series of this metric.")
    ] = None,
    model: ModelOption = None,
    devices: DevicesOption = None,
    limit: LimitOption = 50,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """Nights of series, newest first: each case beside its last good state.

    Example: farm results history --series shop-floor/detector --limit 30
    """
    from db.questions.nightly.series import Case, history
    from db.reader import StoreReader
    from reports.answers.series import history_answer

    to = destination(output_format, output, as_json=json_output)
    about = subject_of(model, devices)
    case = Case.parse(series) if series is not None else None
    with StoreReader.open(store) as reader:
        rows = history(reader, known_subject(reader, about), case, by, limit=limit)
        print_answer(history_answer(rows), to)


def regressions_results(
    *,
    above: Annotated[
        str, typer.Option("--above", metavar="PERCENT", help="Only those worse by more, as 5%.")
    ] = "0%",
    series: SeriesOption = None,
    model: ModelOption = None,
    devices: DevicesOption = None,
    limit: LimitOption = 50,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """Series that became worse, were confirmed, and are neither gone nor expected.

    Example: farm results regressions --above 5%
    """
    from db.questions.nightly.series import Case, regressions
    from db.reader import StoreReader
    from reports.answers.series import regressions_answer

    to = destination(output_format, output, as_json=json_output)
    about = subject_of(model, devices)
    case = Case.parse(series) if series is not None else None
    share = parse_percent(above)
    with StoreReader.open(store) as reader:
        rows = regressions(reader, known_subject(reader, about), case, share, limit)
        print_answer(regressions_answer(rows), to)


def flaky_results(
    *,
    series: SeriesOption = None,
    model: ModelOption = None,
    devices: DevicesOption = None,
    limit: LimitOption = 50,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """Series whose newest nights cannot be relied on, and why.

    Example: farm results flaky --series shop-floor
    """
    from db.questions.nightly.flaky import flaky
    from db.questions.nightly.series import Case
    from db.reader import StoreReader
    from reports.answers.series import flaky_answer

    to = destination(output_format, output, as_json=json_output)
    about = subject_of(model, devices)
    case = Case.parse(series) if series is not None else None
    with StoreReader.open(store) as reader:
        rows = flaky(reader, known_subject(reader, about), case, limit=limit)
        print_answer(flaky_answer(rows), to)


def failures_results(
    *,
    model: ModelOption = None,
    devices: DevicesOption = None,
    limit: LimitOption = 50,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """Why trials failed, the most frequent reason first.

    Example: farm results failures --device dsp
    """
    from db.questions.failures import failures
    from db.reader import StoreReader
    from reports.answers.trials import failures_answer

    to = destination(output_format, output, as_json=json_output)
    about = subject_of(model, devices)
    with StoreReader.open(store) as reader:
        print_answer(failures_answer(failures(reader, known_subject(reader, about), limit)), to)


def predicted_results(
    *,
    model: ModelOption = None,
    devices: DevicesOption = None,
    limit: LimitOption = 50,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """Values by model or plan, beside measured or counted ones of the same candidate.

    Example: farm results predicted --device dsp
    """
    from db.questions.predicted import predicted
    from db.reader import StoreReader
    from reports.answers.trials import predicted_answer

    to = destination(output_format, output, as_json=json_output)
    about = subject_of(model, devices)
    with StoreReader.open(store) as reader:
        print_answer(predicted_answer(predicted(reader, known_subject(reader, about), limit)), to)
