"""``farm devices``."""

from __future__ import annotations

import typer

from commands.shared.options import JsonOption, ProfilesOption, known_profiles
from commands.shared.output import print_tables


def devices(*, profiles: ProfilesOption = None, json_output: JsonOption = False) -> None:
    """List the device profiles, and whether their devices are there.

    Example: farm devices --json
    """
    from reports import machine_readable
    from reports.tables.machine import devices_table
    from workers.discovery import device_availability, usable_engines

    shown = [p for p in known_profiles(profiles).values() if not p.is_fake]
    rows = [(p, device_availability(p), usable_engines(p)) for p in shown]
    if json_output:
        typer.echo(machine_readable.devices_json(rows))
    else:
        print_tables(devices_table(rows), [])
