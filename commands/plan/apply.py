"""``farm plan apply``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.plan.options import (
    AnnotatedOption,
    AvoidOption,
    CandidateFileOption,
    ExplainOption,
    ObserveOption,
    PlannedModelOption,
    PowerBudgetOption,
    PreferOption,
    StateOption,
)
from commands.shared.files import check_files, model_files, said_of, write_files
from commands.shared.options.common import JsonOption, ProfilesOption, known_profiles
from commands.shared.output import print_lines, print_tables
from farm.errors import OptionError


def apply(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN.json", help="What `farm plan placement -o` wrote.")
    ],
    *,
    state: StateOption = None,
    observe: ObserveOption = False,
    prefer: PreferOption = None,
    avoid: AvoidOption = None,
    power_budget: PowerBudgetOption = None,
    explain: ExplainOption = False,
    model: PlannedModelOption = None,
    annotated: AnnotatedOption = None,
    candidate: CandidateFileOption = None,
    profiles: ProfilesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Decide again where a plan's operators run, by the state of the devices.

    Example: farm plan apply plan.json --observe --explain
    """
    from farm.candidate import to_json
    from farm.plan.placement.record import read_plan
    from reports.placement.machine_readable import applied_json
    from reports.placement.tables import decision_table
    from reports.placement.words import decision_sentences
    from tuner.planning import apply as applying

    if state is not None and observe:
        raise OptionError("--state and --observe contradict each other; leave one out.")
    if (model is None) != (annotated is None):
        raise OptionError("--model and --annotated need each other.")
    read_too = {"the state": state} if state else {}
    read_too |= model_files(model) if model else {}
    check_files(
        {"the plan": plan, **read_too}, {"--annotated": annotated, "--candidate": candidate}
    )
    read = read_plan(plan)
    now, notes = applying.state_of(read, state, known_profiles(profiles) if observe else None)
    now = applying.with_wishes(read, now, prefer or (), avoid or (), power_budget)
    applied = applying.apply(read, now, notes)
    if candidate is not None:
        write_files({candidate: to_json(applying.candidate_of(read, applied.decision)) + "\n"})
    if model is not None and annotated is not None:
        with said_of(annotated):
            applying.write_annotated(read, applied.decision.assignment, model, annotated)
    if json_output:
        typer.echo(applied_json(applied))
        return
    lines = [*decision_sentences(applied.decision), *applied.notes]
    if applied.decision.moves:
        print_tables(decision_table(applied.decision, explain=explain), lines)
    else:
        print_lines(lines)
