"""The machine: its devices, and what the doctor found."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from farm.device import Availability, DeviceProfile
from reports.doctor import Finding
from reports.tables.cells import add


def devices_table(
    rows: Sequence[tuple[DeviceProfile, Availability, tuple[str, ...]]],
) -> Table:
    """Profiles, whether their devices are there, and what would change that."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("device", "description", "status", "engines", "reason and remedy"):
        table.add_column(name, overflow="fold")
    for profile, found, engines in rows:
        status = Text("available", style="green") if found.available else Text("unavailable")
        why = "" if found.available else f"{found.reason}; {found.remedy}"
        add(table, profile.name, profile.description, status, ", ".join(engines), why)
    return table


def findings_table(findings: Sequence[Finding]) -> Table:
    """What ``farm doctor`` found."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("what", "found", "remedy"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        style = {"ok": "green", "note": "yellow", "problem": "bold red"}[finding.level]
        add(table, finding.what, Text(finding.found, style=style), finding.remedy)
    return table
