"""What the Vulkan drivers of this machine offer, asked without running anything on a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from farm.candidate import OnnxRuntimeWebGpu
from farm.devices.profile import DeviceProfile

ENGINE = OnnxRuntimeWebGpu().kind
_SCRIPT = Path(__file__).with_name("listing.py")
_ASK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class VulkanDevice:
    """One device. kind: ``integrated``, ``discrete``, ``virtual``, ``software`` or ``other``.

    driver: its version. memory_bytes: its own, or of the machine for one that has none.
    """

    name: str
    kind: str
    driver: str = ""
    memory_bytes: int = 0

    @property
    def is_software(self) -> bool:
        """Whether it is a program on a processor."""
        return self.kind == "software"

    def __str__(self) -> str:
        """``Intel(R) Arc(TM) A770, discrete``."""
        return f"{self.name}, {self.kind}"


@dataclass(frozen=True, slots=True)
class Vulkan:
    """What there is. has_loader: the library that finds drivers is installed."""

    has_loader: bool = False
    devices: tuple[VulkanDevice, ...] = ()


def vulkan_here(variables: Mapping[str, str]) -> Vulkan:
    """What a process finds that has these variables in its environment beside this one's."""
    return _asked(tuple(sorted(variables.items())))


def vulkan_versions(profile: DeviceProfile) -> dict[str, str]:
    """The GPUs of a device and their drivers, as a part of the software that a trial ran with.

    All that Vulkan lists: the engine takes one of them, and does not say which.
    """
    if ENGINE not in profile.engines:
        return {}
    devices = vulkan_here(profile.variables).devices
    told = {
        "vulkan gpu": [device.name for device in devices],
        "vulkan driver": [device.driver for device in devices if device.driver],
    }
    return {name: " and ".join(found) for name, found in told.items() if found}


@cache
def _asked(variables: tuple[tuple[str, str], ...]) -> Vulkan:
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        done = subprocess.run(
            [sys.executable, "-I", str(_SCRIPT)],
            capture_output=True,
            timeout=_ASK_SECONDS,
            check=True,
            env=os.environ | dict(variables),
        )
        told = json.loads(done.stdout)
        devices = tuple(VulkanDevice(*device) for device in told["devices"])
        return Vulkan(told["loader"], devices)
    return Vulkan(has_loader=True)  # and a driver that fails
