"""``farm plan apply``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.shared import completion
from commands.shared.files import check_files
from commands.shared.options import JsonOption, ProfilesOption, known_profiles
from commands.shared.output import print_lines, print_tables
from farm.errors import OptionError


def apply(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN.json", help="What `farm plan placement -o` wrote.")
    ],
    *,
    state: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The devices' state as JSON. Default: idle."),
    ] = None,
    observe: Annotated[
        bool, typer.Option("--observe", help="Look how busy this machine's devices are.")
    ] = False,
    prefer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE",
            help="Counts half; repeatable.",
            autocompletion=completion.place_name,
        ),
    ] = None,
    avoid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PLACE",
            help="Only for what no other place can run; repeatable.",
            autocompletion=completion.place_name,
        ),
    ] = None,
    power_budget: Annotated[
        float | None, typer.Option(metavar="WATTS", help="Above it joules count, not seconds.")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Say which reason moved which operators.")
    ] = False,
    model: Annotated[
        Path | None, typer.Option(metavar="MODEL", help="The plan's model, for --annotated.")
    ] = None,
    annotated: Annotated[
        Path | None,
        typer.Option(metavar="ONNX", help="Model to write with the place of each operator."),
    ] = None,
    profiles: ProfilesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Decide again where a plan's operators run, by the state of the devices.

    Example: farm plan apply plan.json --observe --explain
    """
    from farm.plan.placement.record import read_plan
    from reports.placement.machine_readable import applied_json
    from reports.placement.tables import decision_table
    from reports.placement.words import decision_sentences
    from tuner.planning import apply as applying

    if state is not None and observe:
        raise OptionError("--state and --observe contradict each other; leave one out.")
    if (model is None) != (annotated is None):
        raise OptionError("--model and --annotated need each other.")
    check_files(
        {"the plan": plan, **({"the model": model} if model else {})}, {"--annotated": annotated}
    )
    read = read_plan(plan)
    now, notes = applying.state_of(read, state, known_profiles(profiles) if observe else None)
    now = applying.with_wishes(read, now, prefer or (), avoid or (), power_budget)
    applied = applying.apply(read, now, notes)
    if model is not None and annotated is not None:
        applying.write_annotated(read, applied.decision.assignment, model, annotated)
    if json_output:
        typer.echo(applied_json(applied))
        return
    lines = [*decision_sentences(applied.decision), *applied.notes]
    if applied.decision.moves:
        print_tables(decision_table(applied.decision, explain=explain), lines)
    else:
        print_lines(lines)
