"""The machine: its devices, and what the doctor found."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from farm.devices.profile import Availability, DeviceProfile
from reports.machines.doctor import Finding
from reports.tables.layout import Column, Rows


def devices_table(
    rows: Sequence[tuple[DeviceProfile, Availability, tuple[str, ...]]],
) -> Rows:
    """Profiles, whether their devices are there, and what would change that."""
    table = Rows(
        [
            Column("device"),
            Column("description", wraps=24),
            Column("status"),
            Column("engines", wraps=20, below=1),
            Column("reason and remedy", wraps=32, below=2),
        ]
    )
    for profile, found, engines in rows:
        status = Text("available", style="green") if found.available else Text("unavailable")
        why = "" if found.available else f"{found.reason}; {found.remedy}"
        what = f"{profile.description}: {found.found}" if found.found else profile.description
        table.add(profile.name, what, status, ", ".join(engines), why)
    return table


def findings_table(findings: Sequence[Finding]) -> Rows:
    """What ``farm doctor`` found."""
    table = Rows([Column("what"), Column("found", wraps=24), Column("remedy", wraps=24, below=1)])
    for finding in findings:
        style = {"ok": "green", "note": "yellow", "problem": "bold red"}[finding.level]
        table.add(finding.what, Text(finding.found, style=style), finding.remedy)
    return table
