"""``farm doctor``."""

from __future__ import annotations

import typer

from commands.shared.options.common import ProfilesOption, StoreOption, known_profiles
from commands.shared.output import print_tables
from commands.shared.shell import exit_codes


def doctor(*, profiles: ProfilesOption = None, store: StoreOption = None) -> None:
    """Show what is installed, what each device lacks, and how quiet the machine is.

    Example: farm doctor
    """
    from farm.devices.environment import load_environments
    from reports.machines.doctor import diagnose
    from reports.machines.tables import findings_table

    findings = diagnose(known_profiles(profiles), store, load_environments(profiles))
    print_tables(findings_table(findings), [])
    if any(finding.fatal for finding in findings):
        raise typer.Exit(exit_codes.FAILED)
