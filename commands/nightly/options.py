"""Options that the commands on nights share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.shared.shell import completion

SuiteArgument = Annotated[
    Path,
    typer.Argument(
        metavar="SUITE",
        help="TOML file that describes the suite.",
        autocompletion=completion.suite_file,
    ),
]
JunitOption = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Write JUnit XML, one test per series."),
]
MarkdownOption = Annotated[
    Path | None,
    typer.Option(
        "--markdown",
        metavar="FILE",
        help="Write Markdown. A job of GitHub Actions has it in its summary anyway.",
    ),
]
OnRegressionOption = Annotated[
    str | None,
    typer.Option(
        "--on-regression",
        metavar="COMMAND",
        help="Run this by the shell on a regression, with the verdict as JSON on its standard "
        "input.",
    ),
]
