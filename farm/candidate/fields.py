"""What the classes of a candidate's parts share."""

from __future__ import annotations

from types import MappingProxyType

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid", defer_build=True)  # built where something is parsed
ADDED = MappingProxyType({"added": True})
"""Metadata of a field that no stored candidate had: see ``canonical``. New fields carry it."""
