"""``farm runs`` and ``farm show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.shared.options.common import JsonOption, LimitOption, StoreOption
from commands.shared.output import print_tables
from commands.shared.shell import completion


def runs(
    *,
    limit: LimitOption = 20,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show the runs of the store, newest first.

    Example: farm runs --limit 5
    """
    from db.reader import StoreReader
    from reports.runs import RunsTable, gone_lines, runs_json
    from tuner.runs.overview import list_runs

    with StoreReader.open(store) as reader:
        rows = list_runs(reader, limit)
    if json_output:
        typer.echo(runs_json(rows))
    else:
        print_tables(RunsTable(rows), gone_lines(rows) if rows else ["There is no run yet."])


def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="Name of a run, or its beginning.",
            autocompletion=completion.run_name,
        ),
    ],
    *,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show one run: what was asked for, what came of it, and how to go on with it.

    Example: farm show digits-20261121-065312
    """
    from db.reader import StoreReader
    from reports.runs import overview_json, overview_table
    from tuner.runs.overview import overview

    with StoreReader.open(store) as reader:
        found = overview(reader, Path(run).name)  # winners lie in runs/RUN, which is easily given
    if json_output:
        typer.echo(overview_json(found))
    else:
        print_tables(overview_table(found), [])
