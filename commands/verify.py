"""``farm verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from commands.shared.options.common import DataOption, JsonOption, ProfilesOption, known_profiles
from commands.shared.output import print_lines
from commands.shared.shell import exit_codes


def verify(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of a winner, or of a package.")
    ],
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="The original model. Default: where it lay when it was tuned."
        ),
    ] = None,
    data: DataOption = None,
    profiles: ProfilesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say whether what was claimed of a delivered winner holds: it races its baseline here.

    Example: farm verify runs/digits-20261121-065312/cpu
    """
    from reports import machine_readable
    from reports.progress import TuneProgress
    from reports.verified import claim_lines
    from tuner.verify.claim import Holds
    from tuner.verify.folder import verify_folder

    known = known_profiles(profiles)
    with TuneProgress(Console(stderr=True)) as progress:
        found = verify_folder(folder, known, progress, model, data)
    if json_output:
        typer.echo(machine_readable.claim_json(found))
    else:
        print_lines(claim_lines(found))
    if found.holds is not Holds.YES:
        raise typer.Exit(exit_codes.FAILED)
