"""``farm results``: trials, and what else is asked of the store without SQL."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import typer

from commands.shared.options.common import LimitOption, StoreOption
from commands.shared.output import (
    AsJsonOption,
    Destination,
    FormatOption,
    RowsFileOption,
    destination,
    print_answer,
    print_tables,
    write_rows,
)
from commands.shared.shell import completion
from commands.shared.shell.help import App, GroupWithDefault
from commands.store import questions
from commands.store.options import DevicesOption, ModelOption, RunOption, known_subject, subject_of
from farm.errors import OptionError
from farm.measurement import Outcome
from reports.export.formats import Format


class _Results(GroupWithDefault):
    """Trials are meant where no question is named: ``farm results --device cpu``."""

    default = "trials"
    takes_words = False


results_app = App(
    cls=_Results,
    help="Show trials of the store, newest first, or ask one of the questions below; `farm "
    "results trials --help` shows the options for trials.\n\n"
    "Example: farm results --device cpu --outcome ok --format csv",
    subcommand_metavar="| QUESTION [OPTIONS]",
)


@results_app.command("trials")
def trials(
    *,
    model: ModelOption = None,
    devices: DevicesOption = None,
    run: RunOption = None,
    outcome: Annotated[
        Outcome | None, typer.Option(metavar="OUTCOME", help="Only trials that ended so.")
    ] = None,
    operators: Annotated[
        str | None,
        typer.Option(
            metavar="TRIAL",
            help="What each kernel of this one trial takes, and the operators that it stands for.",
            autocompletion=completion.trial_id,
        ),
    ] = None,
    limit: LimitOption = 50,
    output_format: FormatOption = None,
    json_output: AsJsonOption = False,
    output: RowsFileOption = None,
    store: StoreOption = None,
) -> None:
    """Trials, newest first. The word `trials` can be left out.

    Example: farm results --device cpu --outcome ok --format csv
    """
    to = destination(output_format, output, as_json=json_output)
    if operators is not None:
        if model or devices or run or outcome:
            raise OptionError("--operators shows one trial: leave out what chooses others.")
        _operators(operators, to, store)
        return
    from db.questions.results import results as find
    from db.reader import StoreReader
    from reports.answers.trials import trials_answer

    about = subject_of(model, devices)
    with StoreReader.open(store) as reader:
        if run is not None:
            run = reader.run_called(run).name  # what does not exist is no empty answer
        wanted = known_subject(reader, about).devices
        rows = find(reader, model=model, devices=wanted, run=run, outcome=outcome, limit=limit)

        @cache
        def candidate(candidate_id: str) -> str:
            return reader.candidate(candidate_id).json

        print_answer(trials_answer(rows, candidate), to)


def _operators(trial: str, to: Destination, store: str | None) -> None:
    from db.questions.operators.profiles import trial_profile
    from db.reader import StoreReader
    from reports.rows import profile_json, profile_rows
    from reports.tables.operators import operators_lines, operators_table

    with StoreReader.open(store) as reader:
        profile = trial_profile(reader, trial)
    if to.format is Format.TABLE and to.file is None:
        print_tables(operators_table(profile), list(operators_lines(profile)))
    elif to.format is Format.JSON:
        with to.opened() as write:
            write(f"{profile_json(profile)}\n")
    else:
        columns, cells = profile_rows(profile)
        write_rows(columns, cells, to)


results_app.command("latest")(questions.latest_results)
results_app.command("best")(questions.best_results)
results_app.command("pareto")(questions.pareto_results)
results_app.command("history")(questions.history_results)
results_app.command("regressions")(questions.regressions_results)
results_app.command("flaky")(questions.flaky_results)
results_app.command("failures")(questions.failures_results)
results_app.command("predicted")(questions.predicted_results)
