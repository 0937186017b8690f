"""``farm plan memory``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.shared.files import check_files, write_files
from commands.shared.options.common import JsonOption, ShapeOption, one_of, shape_sizes
from commands.shared.output import print_lines
from commands.shared.shell import exit_codes
from farm.units import parse_bytes, parse_seconds


def memory(
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
    from tuner.planning.memory import PlanMode, PlanRequest, plan

    check_files({"the problem": problem}, {"--output": output, "--figure": figure})
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


def _write_plan(planned: Any, output: Path | None, figure: Path | None) -> None:
    from farm.plan.memory.csv_files import solution_csv
    from reports.figures import arena_svg

    files: dict[Path, str | bytes] = {}
    if output is not None:
        files[output] = solution_csv(planned.problem, planned.solution.offsets)
    if figure is not None:
        files[figure] = arena_svg(planned.problem, planned.solution)
    write_files(files)
