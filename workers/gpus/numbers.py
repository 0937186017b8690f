"""Which GPUs processes see, where a machine has several, and by which numbers.

Processes of a device see one GPU of NVIDIA or by Vulkan, its own. OpenVINO shows them all GPUs of
Intel.
"""

from __future__ import annotations

from collections.abc import Iterable

from farm.devices.profile import DeviceProfile
from workers.gpus.alone import alone
from workers.gpus.vulkan import own_variables
from workers.nvidia.devices import child_variables
from workers.nvidia.meter import ORDER, VISIBLE
from workers.nvidia.presence import uses_nvidia


def seen_variables(profile: DeviceProfile) -> dict[str, str]:
    """Of the environment of a device's child processes, by which they find its GPU, too."""
    return own_variables(profile) | child_variables(profile) | (alone(profile) or {})


def seen_number(profile: DeviceProfile) -> int:
    """That of a device's GPU in its own child processes."""
    return 0 if uses_nvidia(profile) else profile.gpu


def delivered_numbers(profiles: Iterable[DeviceProfile]) -> dict[str, int]:
    """By name of the device, those in a process that has :func:`delivered_variables`."""
    given = tuple(profiles)
    nvidia = [profile.name for profile in _in_order(given)]
    others = {profile.name: profile.gpu for profile in given if not uses_nvidia(profile)}
    return others | {name: number for number, name in enumerate(nvidia)}


def delivered_variables(profiles: Iterable[DeviceProfile]) -> dict[str, str]:
    """Variables by which another process sees the GPUs of NVIDIA of some devices, and no others.

    By their numbers, as their driver counts: ids would be those of this machine.
    """
    numbers = ",".join(str(profile.gpu) for profile in _in_order(profiles))
    return {ORDER: "PCI_BUS_ID", VISIBLE: numbers} if numbers else {}


def _in_order(profiles: Iterable[DeviceProfile]) -> tuple[DeviceProfile, ...]:
    """Those that are GPUs of NVIDIA, as their driver counts them."""
    return tuple(sorted(filter(uses_nvidia, profiles), key=lambda profile: profile.gpu))
