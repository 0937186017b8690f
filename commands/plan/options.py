"""Options of the commands that plan placements, and the files that these write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from commands.shared.shell import completion
from commands.shared.shell.help import Panel

ObjectiveOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="latency, energy, peak-memory or throughput.",
        autocompletion=completion.placement_objective,
        rich_help_panel=Panel.SEARCH,
    ),
]
TimeOption = Annotated[
    str,
    typer.Option(
        "--time",
        metavar="TIME",
        help="Planning takes at most so long.",
        rich_help_panel=Panel.SEARCH,
    ),
]
MeasureOption = Annotated[
    bool,
    typer.Option(
        "--measure/--no-measure",
        help="Profile the model first wherever that was never done.",
        rich_help_panel=Panel.SEARCH,
    ),
]
PlanOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="JSON", help="Plan to write, for plan apply."),
]
AnnotatedOption = Annotated[
    Path | None,
    typer.Option(metavar="ONNX", help="Model to write with the place of each operator."),
]
CandidateFileOption = Annotated[
    Path | None,
    typer.Option(metavar="JSON", help="Candidate to write, for bench --candidate."),
]
FigureOption = Annotated[
    Path | None, typer.Option(metavar="SVG", help="Picture of the plan to write.")
]

StateOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The devices' state as JSON. Default: idle."),
]
ObserveOption = Annotated[
    bool, typer.Option("--observe", help="Look how busy this machine's devices are.")
]
PreferOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PLACE",
        help="Counts half; repeatable.",
        autocompletion=completion.place_name,
    ),
]
AvoidOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PLACE",
        help="Only for what no other place can run; repeatable.",
        autocompletion=completion.place_name,
    ),
]
PowerBudgetOption = Annotated[
    float | None, typer.Option(metavar="WATTS", help="Above it joules count, not seconds.")
]
ExplainOption = Annotated[
    bool, typer.Option("--explain", help="Say which reason moved which operators.")
]
PlannedModelOption = Annotated[
    Path | None, typer.Option(metavar="MODEL", help="The plan's model, for --annotated.")
]


@dataclass(frozen=True, slots=True)
class Files:
    """What a plan is written to; None where it is not wished for."""

    plan: Path | None
    candidate: Path | None
    figure: Path | None
    annotated: Path | None

    def by_option(self) -> dict[str, Path | None]:
        """By the option that names it."""
        return {
            "--output": self.plan,
            "--candidate": self.candidate,
            "--figure": self.figure,
            "--annotated": self.annotated,
        }
