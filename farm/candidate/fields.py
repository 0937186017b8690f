"""What the classes of a candidate's parts share."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated

from pydantic import ConfigDict, Field

STRICT = ConfigDict(extra="forbid", defer_build=True)  # built where something is parsed
ADDED = MappingProxyType({"added": True})
"""Metadata of a field that no stored candidate had: see ``canonical``. New fields carry it."""
ThreadCount = Annotated[int, Field(ge=0)]


def threads_label(count: int) -> str:
    """The end of an engine's name in tables; 0 is the engine's own choice, and not said."""
    return "" if count == 0 else f" {count} thread{'s' if count > 1 else ''}"
