"""``farm explain``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.shared.measuring import measure as measure_again
from commands.shared.options.common import JsonOption, ProfilesOption, StoreOption
from commands.shared.output import print_lines, print_tables
from commands.shared.shell import completion
from farm.errors import OptionError

if TYPE_CHECKING:
    from db.reader import StoreReader
    from tuner.bench import Recalled
    from tuner.explain.of_trials import Anew


def explain(
    trial: Annotated[
        str,
        typer.Argument(
            metavar="TRIAL",
            help="Trial id, or its beginning.",
            autocompletion=completion.trial_id,
        ),
    ],
    *,
    against: Annotated[
        str,
        typer.Option(
            metavar="TRIAL",
            help="What it is compared with. Default: the baseline of its run.",
            autocompletion=completion.trial_id,
        ),
    ] = "",
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Measure and profile both anew, side by side."),
    ] = False,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say why a trial is as fast as it is, operator by operator, and what was decided about it.

    Example: farm explain 3fa9 --against b71c
    """
    from db.reader import StoreReader
    from reports.explain.machine_readable import explanation_json
    from reports.explain.tables import explanation_lines, explanation_table
    from tuner.explain.of_trials import ask
    from tuner.explain.of_trials import explain as explain_trials

    with StoreReader.open(store) as reader:
        asked = ask(reader, trial, against)
        anew = None
        if measure:
            ids = [asked.trial.id, *([asked.against.id] if asked.against else [])]
            anew = _measured_anew(store, reader, ids, profiles)
        found = explain_trials(reader, asked, anew)
    if json_output:
        typer.echo(explanation_json(found))
        return
    print_lines([found.sentence])
    lines = list(explanation_lines(found))
    if found.operators:
        print_tables(explanation_table(found), lines)
    else:
        print_lines(lines)


def _measured_anew(
    store: str | None, reader: StoreReader, ids: list[str], profiles: Path | None
) -> Anew:
    """Measure and profile the candidates of trials, in a run of their own.

    Raises OptionError: they are of two devices. Raises InfrastructureError: one does not run.
    """
    from tuner.bench import recall
    from tuner.explain.of_trials import Anew
    from tuner.runs.record.details import pinned_in
    from workers.jobs import TODAY

    recalled: list[Recalled] = [recall(reader, each) for each in ids]
    first = recalled[0]
    devices = {each.trial.device for each in recalled}
    if len(devices) > 1:
        raise OptionError(
            f"Only trials of one device can be measured side by side, not of "
            f"{' and '.join(sorted(devices))}. Leave out --measure, or give another --against."
        )
    for each in recalled:
        if pinned_in(each.trial.details) != TODAY:
            raise OptionError(
                f"Trial {each.trial.id} ran with other software than today's, or as it was "
                "compiled before, and cannot be measured anew so. Leave out --measure."
            )
    # What a search was limited to does not bind what is compared.
    request = replace(first.request, threads=0)
    candidates = [each.candidate for each in recalled]
    measured = measure_again(store, request, first.trial.device, profiles, candidates, first)
    return Anew(*(each.trial_id for each in measured))
