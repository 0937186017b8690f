"""``farm results``."""

from __future__ import annotations

from typing import Annotated

import typer

from commands import completion
from commands.options import StoreOption
from commands.output import Format, print_rows, print_tables
from farm.measurement import Outcome


def results(
    *,
    model: Annotated[str | None, typer.Option(metavar="NAME|SHA", help="Only this model.")] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only this device.", autocompletion=completion.device_name
        ),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Only this run.", autocompletion=completion.run_name),
    ] = None,
    outcome: Annotated[
        Outcome | None, typer.Option(metavar="OUTCOME", help="Only trials that ended so.")
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many rows.")] = 50,
    output_format: Annotated[
        Format, typer.Option("--format", help="How rows are written.")
    ] = Format.TABLE,
    store: StoreOption = None,
) -> None:
    """Show trials of the store, newest first.

    Example: farm results --device cpu --outcome ok --format csv
    """
    from db.queries import results as find
    from db.reader import StoreReader
    from reports import machine_readable, tables

    with StoreReader.open(store) as reader:
        if run is not None:
            reader.run(run)  # a name that does not exist is no empty answer
        rows = find(reader, model=model, device=device, run=run, outcome=outcome, limit=limit)
        candidates = {r.candidate_id: reader.candidate(r.candidate_id).json for r in rows}
    if output_format is Format.TABLE:
        print_tables(tables.results_table(rows), [] if rows else ["No trial fits."])
        return
    columns, cells = machine_readable.result_rows(rows, candidates)
    print_rows(columns, cells, output_format)
