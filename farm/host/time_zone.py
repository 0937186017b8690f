"""The time zone of this machine, by the name that other machines know."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

_LOCALTIME = Path("/etc/localtime")
_BELOW = "/zoneinfo/"


def zone_name(localtime: Path = _LOCALTIME) -> str:
    """``Europe/Berlin``: from ``TZ``, or from where the system's link leads; "" where unknown.

    localtime: that link.
    """
    named = os.environ.get("TZ", "").removeprefix(":")
    name = named or os.path.realpath(localtime).rpartition(_BELOW)[2]
    return name if _exists(name) else ""


def _exists(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        return False
    return True
