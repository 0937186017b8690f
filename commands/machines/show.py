"""``farm devices show``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commands.shared.files import check_files, write_files
from commands.shared.options.common import JsonOption, ProfilesOption, StoreOption, known_profiles
from commands.shared.output import print_lines, print_tables
from commands.shared.shell import completion
from farm.errors import OptionError

if TYPE_CHECKING:
    from tuner.learning.report import Report


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Device profile.", autocompletion=completion.device_name
        ),
    ],
    *,
    model: Annotated[
        bool, typer.Option("--model", help="How good the cost models of the device are.")
    ] = False,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="SVG", help="Picture of predicted against measured to write."),
    ] = None,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show one device: what it offers here, and with --model what was learnt of it.

    Example: farm devices show cpu --model --figure cpu.svg
    """
    from farm.devices.profile import select_profiles
    from reports import machine_readable
    from reports.machines.tables import devices_table
    from workers.discovery import device_availability, usable_engines

    if figure is not None and not model:
        raise OptionError("--figure is of the cost models: give --model, too.")
    check_files({}, {"--figure": figure})
    (profile,) = select_profiles((name,), known_profiles(profiles))
    if model:
        _show_model(name, store, figure, as_json=json_output)
        return
    row = (profile, device_availability(profile), usable_engines(profile))
    if json_output:
        typer.echo(machine_readable.devices_json([row]))
    else:
        print_tables(devices_table([row]), [])


def _show_model(name: str, store: str | None, figure: Path | None, *, as_json: bool) -> None:
    from db.questions.learning import whole_trials
    from db.reader import StoreReader
    from reports.learning.quality import (
        quality_json,
        quality_lines,
        quality_table,
        unlearned_line,
    )
    from reports.learning.scatter import scatter_lines
    from tuner.learning.versions import standing

    with StoreReader.open(store) as reader:
        calibration, version, report = standing(reader, name)
        machine = calibration.machine_id if calibration else ""
        was_tried = bool(whole_trials(reader, name, machine, limit=1))
    if figure is not None:
        _draw(name, report, figure)
    if as_json:
        typer.echo(quality_json(name, calibration, version, report))
    elif version is None:
        print_lines([unlearned_line(name, calibration, was_tried=was_tried)])
    else:
        table: Any = quality_table(report)
        print_tables(table, list(quality_lines(version, report)))
        print_lines(["", *scatter_lines(report.held_out)])


def _draw(name: str, report: Report, figure: Path) -> None:
    """Write the picture. Raises OptionError: there is nothing to draw, or it cannot be written."""
    from reports.learning.scatter import scatter_svg

    if not report.held_out:
        raise OptionError(
            f"There is no picture of {name}: nothing was learnt of it that could be compared. "
            "farm tune and farm bench teach it."
        )
    write_files({figure: scatter_svg(report.held_out, f"{name}: predicted against measured")})
