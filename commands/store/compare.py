"""``farm compare``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

import typer

from commands.shared.measuring import measure as measure_again
from commands.shared.options.common import JsonOption, ProfilesOption, StoreOption
from commands.shared.output import print_lines
from commands.shared.shell import completion


def _trial_argument(metavar: str) -> Any:
    return typer.Argument(
        metavar=metavar,
        help="Trial id, or its beginning.",
        autocompletion=completion.trial_id,
    )


def compare(
    first: Annotated[str, _trial_argument("A")],
    second: Annotated[str, _trial_argument("B")],
    *,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure both again, side by side.")
    ] = False,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Compare two trials by the blocks in which they ran side by side.

    Example: farm compare 3fa9 b71c
    """
    from db.reader import StoreReader
    from reports import machine_readable
    from reports.tables.benchmark import comparison_lines
    from tuner.bench import check_pair, compare_measured, compare_recorded, recall

    with StoreReader.open(store) as reader:
        pair = (recall(reader, first), recall(reader, second))
        found = None if measure else compare_recorded(reader, pair[0].trial, pair[1].trial)
    labels = (pair[0].candidate.label(), pair[1].candidate.label())
    if found is None:
        check_pair(*pair)
        # What a search was limited to does not bind what is compared.
        device, request = pair[0].trial.device, replace(pair[0].request, threads=0)
        candidates = [pair[0].candidate, pair[1].candidate]
        found = compare_measured(
            *measure_again(store, request, device, profiles, candidates, pair[0])
        )
    if json_output:
        typer.echo(machine_readable.comparison_json(found, labels))
    else:
        print_lines(comparison_lines(found, labels))
