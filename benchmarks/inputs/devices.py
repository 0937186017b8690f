"""The device that a script measures on."""

from __future__ import annotations

from farm.devices.profile import DeviceProfile, check_engine, select_profiles
from farm.errors import DeviceError
from workers.discovery import device_availability


def measurable(name: str, engine: str, known: dict[str, DeviceProfile]) -> DeviceProfile:
    """The profile of a device that is here and has an engine. known: profiles by name.

    Raises DeviceError: there is no such device, it is not here, or it has another engine.
    """
    (profile,) = select_profiles((name,), known)
    check_engine(profile, engine, "this script")
    found = device_availability(profile)
    if not found.available:
        raise DeviceError(f"{name} cannot be measured: {found.reason}; {found.remedy}.")
    return profile
