"""Options that say what may win, and how their texts become limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from commands.shared.shell.help import Panel
from farm.units import parse_bytes, parse_joules, parse_seconds
from tuner.goals import Constraints

_T = TypeVar("_T")

MaxAccuracyDropOption = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="Absolute, against the baseline. Default: 0.01 with labels or --metric, "
        "0.05 of agreement with the baseline without.",
        rich_help_panel=Panel.LIMITS,
    ),
]
AllowUnjudgedOption = Annotated[
    bool,
    typer.Option(
        "--allow-unjudged",
        help="Where accuracy cannot be judged, let candidates of another precision win, too.",
        rich_help_panel=Panel.LIMITS,
    ),
]
MaxMemoryOption = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="Peak memory, for example 64MiB.", rich_help_panel=Panel.LIMITS
    ),
]
MaxLatencyOption = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Latency, for example 5ms.", rich_help_panel=Panel.LIMITS),
]
MaxEnergyOption = Annotated[
    str | None,
    typer.Option(
        metavar="ENERGY",
        help="Energy of one run, for example 2mJ; measured where a counter tells it.",
        rich_help_panel=Panel.LIMITS,
    ),
]
MaxCpuOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Processor time of one run, of all its threads together, for example 8ms.",
        rich_help_panel=Panel.LIMITS,
    ),
]
MinThroughputOption = Annotated[
    float | None,
    typer.Option(
        metavar="N",
        help="Results per second, of all callers together.",
        rich_help_panel=Panel.LIMITS,
    ),
]
MaxP99Option = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="99th percentile of single runs, for example 8ms.",
        rich_help_panel=Panel.LIMITS,
    ),
]
MaxLoadOption = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="From loading to the first outputs, for example 200ms.",
        rich_help_panel=Panel.LIMITS,
    ),
]


def constraints(
    max_accuracy_drop: float | None,
    *,
    allow_unjudged: bool,
    max_memory: str | None,
    max_latency: str | None,
    max_energy: str | None,
    max_cpu: str | None,
    min_throughput: float | None,
    max_p99: str | None,
    max_load: str | None,
) -> Constraints:
    """The limits that options ask for. Raises OptionError for a text that is no such value."""
    return Constraints(
        max_accuracy_drop=max_accuracy_drop,
        max_memory=_parsed(parse_bytes, max_memory),
        max_latency=_parsed(parse_seconds, max_latency),
        max_energy=_parsed(parse_joules, max_energy),
        allow_unjudged=allow_unjudged,
        max_cpu=_parsed(parse_seconds, max_cpu),
        min_throughput=min_throughput,
        max_p99=_parsed(parse_seconds, max_p99),
        max_load=_parsed(parse_seconds, max_load),
    )


def _parsed(parse: Callable[[str], _T], text: str | None) -> _T | None:
    return None if text is None else parse(text)
