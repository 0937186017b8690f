"""Options of a search, and how their texts become values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.shared.options.common import devices_option
from commands.shared.shell import completion
from commands.shared.shell.help import Panel
from farm.errors import OptionError
from farm.units import parse_seconds
from tuner.goals import Objective

DevicesOption = Annotated[
    list[str] | None,
    devices_option("Device profiles, with commas or repeated. Default: cpu."),
]
ObjectiveOption = Annotated[
    Objective,
    typer.Option(
        "--objective",
        metavar="NAME",
        help="What wins: the least latency, p99 (of latency), memory, energy, cpu (processor "
        "time) or load (to the first outputs), or the largest throughput of several callers.",
        rich_help_panel=Panel.SEARCH,
    ),
]
BudgetOption = Annotated[
    str,
    typer.Option(
        "--budget",
        metavar="TIME",
        help="Time per device, confirmation included: 90s, 2m. Starting comes on top. "
        "With --resume: +30s adds time, also to a finished run.",
        rich_help_panel=Panel.SEARCH,
    ),
]
TrialsOption = Annotated[
    int | None,
    typer.Option(
        "--trials",
        metavar="N",
        help="At most so many candidates per device.",
        rich_help_panel=Panel.SEARCH,
    ),
]
ColdOption = Annotated[
    bool,
    typer.Option(
        "--cold",
        help="Search without what the store has of similar models.",
        rich_help_panel=Panel.SEARCH,
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", metavar="DIR", help="Folder for the winners. Default: runs/RUN."
    ),
]
ForceOption = Annotated[
    bool, typer.Option("--force", help="Replace winners of other models in --output, too.")
]
ResumeOption = Annotated[
    str | None,
    typer.Option(
        "--resume",
        metavar="RUN",
        help="Go on with a run, called by its name or the beginning of it, or deliver a "
        "finished one again.",
        autocompletion=completion.tune_name,
        rich_help_panel=Panel.SUBJECT,
    ),
]
RequireAllOption = Annotated[
    bool,
    typer.Option(
        "--require-all", help="Fail if a device is not there.", rich_help_panel=Panel.PLACE
    ),
]
LocalOption = Annotated[
    bool,
    typer.Option(
        "--local",
        help="Without Ray: run the worker in this process.",
        rich_help_panel=Panel.PLACE,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST[:PORT]",
        help="Tune on the machines of this head: see `farm worker`. Their devices are "
        "tuned at the same time.",
        rich_help_panel=Panel.PLACE,
    ),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Show every failed trial.")]


def more_seconds(budget: str) -> float:
    """``+30s``, as a run that is there takes it. Raises OptionError."""
    if not budget.startswith("+"):
        raise OptionError(
            "--budget cannot be given with --resume: a run keeps what it was started with. To "
            f"give it more time per device, write --budget +{budget}."
        )
    seconds = parse_seconds(budget.removeprefix("+"))
    if seconds <= 0:
        raise OptionError(f"--budget {budget} adds no time; write for example --budget +30s.")
    return seconds


def budget_seconds(budget: str) -> float:
    """``30s``, as a new run takes it. Raises OptionError."""
    if budget.startswith("+"):
        raise OptionError(
            f"--budget {budget} adds time to a run that is there: name it with --resume RUN, or "
            f"write --budget {budget.removeprefix('+')} for a new one."
        )
    return parse_seconds(budget)


def trial_count(trials: int | None) -> int:
    """``--trials`` as a request has it, 0 for no limit. Raises OptionError."""
    if trials is None:
        return 0
    if trials < 1:
        raise OptionError(f"--trials must be 1 or more, got {trials}.")
    return trials
