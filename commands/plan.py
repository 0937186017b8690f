"""``farm plan``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from commands.shared import exit_codes
from commands.shared.help import App
from commands.shared.options import JsonOption, ShapeOption, one_of, shape_sizes
from commands.shared.output import print_lines
from farm.errors import OptionError
from farm.units import parse_bytes, parse_seconds

plan_app = App(no_args_is_help=True, help="Plan the memory of a model.")


@plan_app.command("memory")
def plan_memory(
    problem: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL|PROBLEM.csv",
            help="ONNX file, whose float32 tensors are placed; or columns id,lower,upper,size.",
        ),
    ],
    *,
    capacity: Annotated[
        str | None, typer.Option(metavar="BYTES", help="Most that may be used, as 64KiB.")
    ] = None,
    alignment: Annotated[
        str, typer.Option(metavar="BYTES", help="Buffers begin at multiples of it.")
    ] = "1",
    mode: Annotated[
        str, typer.Option(metavar="NAME", help="arena: one block. portions: few, shared in turn.")
    ] = "arena",
    seconds: Annotated[str, typer.Option("--time", metavar="TIME", help="At most.")] = "60s",
    shape: ShapeOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="CSV", help="Solution to write.")
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(metavar="SVG", help="Picture of the memory over time.")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Find where each buffer of a model or problem lies, in as little memory as possible.

    Example: farm plan memory problem.csv --capacity 1MiB -o solution.csv --figure plan.svg
    """
    from reports import machine_readable
    from reports.tables.packages import plan_lines
    from tuner.plan import PlanMode, PlanRequest, plan

    _check_plan_files(problem, output, figure)
    planned = plan(
        PlanRequest(
            problem,
            None if capacity is None else parse_bytes(capacity),
            parse_bytes(alignment),
            one_of(PlanMode, mode, "--mode") or PlanMode.ARENA,
            parse_seconds(seconds),
            shape_sizes(shape),
        )
    )
    if planned.fits:
        _write_plan(planned, output, figure)
    if json_output:
        typer.echo(machine_readable.plan_json(planned))
    else:
        print_lines(plan_lines(planned))
    if not planned.fits:
        raise typer.Exit(exit_codes.FAILED)


def _check_plan_files(problem: Path, output: Path | None, figure: Path | None) -> None:
    """Find before anything is planned what could not be written. Raises OptionError."""
    taken = {os.path.realpath(problem): "the problem"}
    for option, path in (("--output", output), ("--figure", figure)):
        if path is None:
            continue
        if not path.parent.is_dir():
            raise OptionError(f"{option} {path} cannot be written: {path.parent} is no folder.")
        if not os.access(path.parent, os.W_OK):
            raise OptionError(f"{option} {path} cannot be written: {path.parent} is not writable.")
        if path.exists() and not path.is_file():
            raise OptionError(f"{option} {path} is no file that can be replaced; give another.")
        place = os.path.realpath(path)
        if place in taken:
            raise OptionError(f"{option} {path} is {taken[place]} as well; give another.")
        taken[place] = option


def _write_plan(planned: Any, output: Path | None, figure: Path | None) -> None:
    from farm.delivery.files import write_file
    from farm.plan.memory.csv_files import solution_csv
    from reports.figures import arena_svg

    files = {}
    if output is not None:
        files[output] = solution_csv(planned.problem, planned.solution.offsets)
    if figure is not None:
        files[figure] = arena_svg(planned.problem, planned.solution)
    for path, text in files.items():
        try:
            write_file(path, text.encode())
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror}.") from error
