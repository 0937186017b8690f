"""``farm devices``: device profiles, and the environments that their engines run in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from commands.machines.calibrate import calibrate
from commands.machines.show import show
from commands.shared.options.common import JsonOption, ProfilesOption, known_profiles
from commands.shared.output import print_lines, print_tables
from commands.shared.shell import completion
from commands.shared.shell.help import App

devices_app = App(name="devices", invoke_without_command=True)
devices_app.command()(calibrate)
devices_app.command()(show)


@devices_app.callback()
def devices(
    ctx: typer.Context, *, profiles: ProfilesOption = None, json_output: JsonOption = False
) -> None:
    """List the device profiles, whether their devices are there, and the environments.

    Example: farm devices --json
    """
    if ctx.invoked_subcommand is not None:
        return
    from reports import machine_readable
    from reports.machines.environments import environments_table
    from reports.machines.tables import devices_table
    from workers.discovery import device_availability, usable_engines
    from workers.environments.installed import states

    shown = [p for p in known_profiles(profiles).values() if not p.is_fake]
    rows = [(p, device_availability(p), usable_engines(p)) for p in shown]
    if json_output:
        typer.echo(machine_readable.devices_json(rows))
        return
    known = states(_known(profiles))
    print_tables(devices_table(rows), [])
    if known:
        print_tables(environments_table(known), [])


@devices_app.command()
def environments(*, profiles: ProfilesOption = None, json_output: JsonOption = False) -> None:
    """List the environments: what they give, and whether they are installed.

    Example: farm devices environments --json
    """
    from reports.machines.environments import environments_json, environments_table
    from reports.rows import dump
    from workers.environments.installed import states

    found = states(_known(profiles))
    if json_output:
        typer.echo(dump(environments_json(found)))
    else:
        print_tables(environments_table(found), [])


@devices_app.command()
def install(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Environment.",
            autocompletion=completion.environment_name,
        ),
    ],
    *,
    profiles: ProfilesOption = None,
    json_output: JsonOption = False,
) -> None:
    """Install an environment: the engines it gives run in it from now on.

    Example: farm devices install onnxruntime-1.24
    """
    from rich.console import Console

    from farm.devices.environment import select_environment
    from reports.machines.environments import InstallProgress, installed_json, installed_line
    from workers.environments import install as made

    environment = select_environment(name, _known(profiles))
    with InstallProgress(Console(stderr=True)) as say:
        found = made.install(environment, say)
    if json_output:
        typer.echo(installed_json(found))
    else:
        print_lines([installed_line(found)])


@devices_app.command()
def remove(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Environment.",
            autocompletion=completion.installed_environment_name,
        ),
    ],
    *,
    json_output: JsonOption = False,
) -> None:
    """Remove an environment that is installed: its engines are the farm's own again.

    Example: farm devices remove onnxruntime-1.24
    """
    from reports.machines.environments import removed_json, removed_line
    from workers.environments import install as made

    found = made.remove(name)
    if json_output:
        typer.echo(removed_json(found))
    else:
        print_lines([removed_line(found)])


def _known(profiles: Path | None) -> Any:
    """All environments by name. Raises DeviceError."""
    from farm.devices.environment import load_environments

    known_profiles(profiles)  # says that there is no such folder
    return load_environments(profiles)
