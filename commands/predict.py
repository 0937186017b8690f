"""``farm predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from commands.shared.options.common import (
    JsonOption,
    ModelArgument,
    ProfilesOption,
    ShapeOption,
    StoreOption,
    device_names,
    devices_option,
    known_profiles,
    shape_sizes,
)
from commands.shared.options.place import require_here
from commands.shared.output import print_tables
from commands.shared.shell.help import Panel
from farm.errors import OptionError


def predict(
    model: ModelArgument,
    *,
    devices: Annotated[
        list[str] | None, devices_option("Device profiles, with commas. Default: cpu.")
    ] = None,
    candidate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Candidate as JSON. Default: the baseline.",
            rich_help_panel=Panel.SUBJECT,
        ),
    ] = None,
    best: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Rank what may be tried on each device, and show so many.",
            rich_help_panel=Panel.SEARCH,
        ),
    ] = 0,
    shape: ShapeOption = None,
    profiles: ProfilesOption = None,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say what MODEL is expected to take on each device, without running anything.

    Example: farm predict model.onnx --devices cpu --best 5
    """
    from db.reader import StoreReader
    from farm.candidate import read_candidate
    from farm.devices.profile import select_profiles
    from farm.model.model import load_model
    from reports.learning.forecasts import forecast_lines, forecasts_json, forecasts_table
    from tuner.predicting import forecast
    from workers.facts import facts_of

    if candidate is not None and best:
        raise OptionError("--candidate and --best contradict each other; leave one out.")
    known = known_profiles(profiles)
    chosen = select_profiles(device_names(devices) or ("cpu",), known)
    require_here(chosen, "Nothing can be predicted for device {} here")
    wanted = None if candidate is None else read_candidate(candidate)
    loaded = load_model(model, shape_sizes(shape))
    with StoreReader.open(store) as reader:
        found = [
            forecast(reader, loaded, profile, facts_of(profile), wanted, best, known)
            for profile in chosen
        ]
    if json_output:
        typer.echo(forecasts_json(found, ranked=best > 0))
    else:
        print_tables(forecasts_table(found), list(forecast_lines(found)))
