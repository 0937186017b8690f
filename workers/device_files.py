"""Whether this user may open the files by which GPUs are reached."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from farm.devices.profile import Availability


def closed_node(nodes: Iterable[Path]) -> Availability | None:
    """Why one of these files keeps a GPU from this user; None where none does."""
    closed = next((path for path in nodes if path.exists() and not may_open(path)), None)
    if closed is None:
        return None
    return Availability(
        available=False,
        reason=f"this user may not open {closed}",
        remedy=f"join the group {_group(closed)}, which may, or have the file's mode changed",
    )


def may_open(path: Path) -> bool:
    """Whether this user may read and write a file."""
    return os.access(path, os.R_OK | os.W_OK)


def _group(path: Path) -> str:
    try:
        return path.group()
    except KeyError:
        return str(path.stat().st_gid)
