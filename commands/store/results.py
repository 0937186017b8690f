"""``farm results``."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.shared import completion
from commands.shared.options import LimitOption, StoreOption, device_names, devices_option
from commands.shared.output import (
    AsJsonOption,
    Format,
    FormatOption,
    chosen_format,
    print_rows,
    print_tables,
)
from farm.errors import OptionError
from farm.measurement import Outcome


def results(
    *,
    model: Annotated[str | None, typer.Option(metavar="NAME|SHA", help="Only this model.")] = None,
    devices: Annotated[
        list[str] | None, devices_option("Only these devices, with commas or repeated.")
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Only this run.", autocompletion=completion.run_name),
    ] = None,
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
    store: StoreOption = None,
) -> None:
    """Show trials of the store, newest first.

    Example: farm results --device cpu --outcome ok --format csv
    """
    shown = chosen_format(output_format, as_json=json_output)
    if operators is not None:
        if model or devices or run or outcome:
            raise OptionError("--operators shows one trial: leave out what chooses others.")
        _operators(operators, shown, store)
        return
    from db.questions.results import results as find
    from db.reader import StoreReader
    from reports.rows import result_rows
    from reports.tables.rows import results_table

    wanted = device_names(devices)
    with StoreReader.open(store) as reader:
        if run is not None:
            reader.run(run)  # a name that does not exist is no empty answer
        rows = find(reader, model=model, devices=wanted, run=run, outcome=outcome, limit=limit)
        if shown is Format.TABLE:
            print_tables(results_table(rows), [] if rows else ["No trial fits."])
            return
        candidates = {r.candidate_id: reader.candidate(r.candidate_id).json for r in rows}
    columns, cells = result_rows(rows, candidates)
    print_rows(columns, cells, shown)


def _operators(trial: str, output_format: Format, store: str | None) -> None:
    from db.questions.profiles import trial_profile
    from db.reader import StoreReader
    from reports.rows import profile_json, profile_rows
    from reports.tables.operators import operators_lines, operators_table

    with StoreReader.open(store) as reader:
        profile = trial_profile(reader, trial)
    if output_format is Format.TABLE:
        print_tables(operators_table(profile), list(operators_lines(profile)))
    elif output_format is Format.JSON:
        typer.echo(profile_json(profile))
    else:
        columns, cells = profile_rows(profile)
        print_rows(columns, cells, output_format)
