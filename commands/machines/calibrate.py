"""``farm devices calibrate``."""

from __future__ import annotations

from typing import Annotated

import typer

from commands.shared.options.common import (
    EngineThreadsOption,
    JsonOption,
    ProfilesOption,
    StoreOption,
    known_profiles,
    thread_limit,
)
from commands.shared.options.place import require_here
from commands.shared.output import print_tables
from commands.shared.shell import completion, exit_codes
from farm.errors import OptionError
from farm.units import parse_seconds

_LEAST_SECONDS = 1.0


def calibrate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Device profile.", autocompletion=completion.device_name
        ),
    ],
    *,
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME",
            help="About so long kernels are measured; borders and small kernels in any case.",
        ),
    ] = "3m",
    threads: EngineThreadsOption = None,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Measure what operators and borders cost on a device, for plans and predictions.

    Example: farm devices calibrate cpu --budget 3m
    """
    from rich.console import Console

    from db.store import Store
    from farm.devices.profile import select_profiles
    from reports.machines.calibration import (
        CalibrationProgress,
        borders_table,
        calibration_json,
        calibration_lines,
        constants_table,
    )
    from tuner.calibrating.calibrate import calibrate as calibrate_device
    from workers.executor import LocalExecutor
    from workers.trials.stored.cache import default_folder

    seconds = parse_seconds(budget)
    if seconds < _LEAST_SECONDS:
        raise OptionError(f"--budget must be {_LEAST_SECONDS:g} s or more, got {budget}.")
    count = thread_limit(threads)
    (profile,) = select_profiles((name,), known_profiles(profiles))
    require_here([profile], "Device {} cannot be calibrated")
    console = Console(stderr=True)
    with (
        Store.open(store) as opened,
        LocalExecutor([profile], default_folder()) as executor,
        CalibrationProgress(console) as progress,
    ):
        try:
            done = calibrate_device(opened, executor, profile, seconds, progress, threads=count)
        except KeyboardInterrupt:
            typer.echo("Interrupted; nothing of the calibration is stored.", err=True)
            raise typer.Exit(exit_codes.INTERRUPTED) from None
    if json_output:
        typer.echo(calibration_json(done))
        return
    print_tables(constants_table(done.calibration), [])
    print_tables(borders_table(done.calibration), list(calibration_lines(done)))
