"""Profiles in seconds, also of places where packets were counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from farm.devices.profile import DeviceProfile
from farm.profile.kernels import OperatorProfile


def in_seconds(
    rows: Sequence[OperatorProfile], profile: DeviceProfile
) -> tuple[OperatorProfile, ...]:
    """The rows of a profile with seconds, modelled from packets where these were counted."""
    return tuple(_timed(row, profile) for row in rows)


def _timed(row: OperatorProfile, profile: DeviceProfile) -> OperatorProfile:
    if row.seconds is not None or row.packets is None or profile.package is None:
        return row
    return replace(row, seconds=profile.package.seconds(row.packets))
