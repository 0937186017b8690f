"""What the commands of a night have in common: their options, and how a report is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.shared.output import print_tables

if TYPE_CHECKING:
    from tuner.nightly.report import NightReport

SuiteArgument = Annotated[
    Path, typer.Argument(metavar="SUITE", help="TOML file that names cases and environments.")
]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write the verdicts as JUnit XML.")
]
MarkdownOption = Annotated[
    Path | None,
    typer.Option("--markdown", metavar="FILE", help="Write the report as Markdown."),
]


def show(report: NightReport, junit: Path | None, markdown: Path | None, *, as_json: bool) -> None:
    """Write the files that were asked for, and print the report. Raises OptionError."""
    from reports.nightly.files import write_reports
    from reports.nightly.machine_readable import night_json
    from reports.nightly.table import night_lines, night_table

    write_reports(report, junit, markdown)
    if as_json:
        typer.echo(night_json(report))
    else:
        print_tables(night_table(report), list(night_lines(report)))
