"""How long a device's energy counter counts at least; None for a device that has none."""

from __future__ import annotations

from farm.devices.profile import DeviceKind, DeviceProfile
from workers.meters.energy import CounterError, find_rapl
from workers.nvidia.devices import opened
from workers.nvidia.meter import GpuEnergyCounter
from workers.nvidia.presence import uses_nvidia


def energy_window(profile: DeviceProfile) -> float | None:
    """Seconds for which runs on a device of this machine are counted at least.

    None where no counter tells of the device, it may not be read, or it stands still.
    """
    if uses_nvidia(profile):
        found = opened(profile)
        counts = found is not None and found[0].joules(found[1]) is not None
        return GpuEnergyCounter.least_seconds if counts else None
    if profile.kind is not DeviceKind.CPU or profile.is_fake:
        return None
    rapl = find_rapl()
    try:
        return rapl.least_seconds if rapl is not None and rapl.moves() else None
    except CounterError:
        return None
