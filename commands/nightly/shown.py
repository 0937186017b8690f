"""How the commands on nights show a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from commands.shared.output import print_lines, print_tables
from farm.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from tuner.nightly.report import NightReport


def show(report: NightReport, junit: Path | None, markdown: Path | None, *, as_json: bool) -> None:
    """Print the report, and write the files that were asked for. Raises OptionError."""
    from reports.nightly.files import write_reports
    from reports.nightly.machine_readable import night_json
    from reports.nightly.table import night_lines, night_table

    if as_json:
        typer.echo(night_json(report))
    elif report.night:
        print_tables(night_table(report), list(night_lines(report)))
    else:
        print_lines(list(night_lines(report)))
    write_reports(report, junit, markdown)


def speaker(console: Console) -> Callable[[str], None]:
    """What says lines while something is measured; an empty one is not said."""

    def say(line: str) -> None:
        if line:
            console.print(Text(printable(line)), soft_wrap=True)

    return say
