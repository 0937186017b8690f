"""``farm report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from commands.shared.options.common import StoreOption
from commands.shared.output import check_file_name, print_lines
from commands.shared.shell import completion
from farm.errors import NotInStore, OptionError
from farm.text import did_you_mean

if TYPE_CHECKING:
    from db.reader import StoreReader
    from reports.pages.section import Page

_NEAREST_OF = 1000  # names, the newest


def report(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SUITE",
            help="Name of a run, or its beginning; or of a suite.",
            autocompletion=completion.run_name,
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="HTML", help="File to write. Default: NAME.html."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="JSON", help="A plan of placement, to show its picture."),
    ] = None,
    nights: Annotated[
        int, typer.Option("--nights", metavar="N", min=1, max=2000, help="Newest of a suite.")
    ] = 100,
    store: StoreOption = None,
) -> None:
    """Write what there is to know of a run or a suite into one HTML file.

    It needs no network and no other file.

    Example: farm report digits-20261121-065312 -o report.html
    """
    from db.reader import StoreReader
    from db.records import utc_now
    from farm.host.places import write_file
    from farm.plan.placement.record import read_plan
    from farm.units import format_bytes
    from reports.pages.html import report_html
    from reports.pages.sections.memory import with_plan

    with StoreReader.open(store) as reader:
        page, whole = _page(reader, Path(name).name or name, nights)
        if plan is not None:
            page = with_plan(page, read_plan(plan))
        file = output or Path(f"{whole}.html")
        _check(file)
        text = report_html(page, f"{utc_now():%Y-%m-%d %H:%M} UTC, from {reader.place}")
    try:
        write_file(file, text.encode())
    except OSError as error:
        raise OptionError(f"{file} cannot be written: {error.strerror or error}.") from None
    print_lines([f"{file} ({format_bytes(file.stat().st_size)})"])


def _page(reader: StoreReader, name: str, nights: int) -> tuple[Page, str]:
    """The page of a suite or a run, and its whole name. Raises NotInStore, OptionError."""
    from db.questions.nightly.nights import suites
    from reports.pages.of_run import run_page
    from reports.pages.of_suite import suite_page

    known = suites(reader)
    if name in known:
        return suite_page(reader, name, nights), name
    try:
        whole = reader.run_called(name).name
    except NotInStore:
        runs = [run.name for run in reader.runs(limit=_NEAREST_OF)]
        raise NotInStore(
            f"There is no run and no suite {name!r} in the store at {reader.place}. "
            f"{did_you_mean(name, [*known, *runs])}`farm runs` lists what there is."
        ) from None
    return run_page(reader, whole), whole


def _check(file: Path) -> None:
    """Raise OptionError where a file cannot be written, before anything is."""
    check_file_name(file)
    if file.exists():
        raise OptionError(f"{file} exists already; remove it, or give another --output.")
    if not file.absolute().parent.is_dir():
        raise OptionError(f"{file} cannot be written: there is no such folder.")
