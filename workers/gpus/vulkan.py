"""What the Vulkan drivers of this machine offer, asked without running anything on a device."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from farm.candidate import OnnxRuntimeCuda, OnnxRuntimeTensorRt, OnnxRuntimeWebGpu, OpenVinoGpu
from farm.devices.profile import DeviceProfile
from workers.gpus.pci import gpus_known, pcie_link

ENGINE = OnnxRuntimeWebGpu().kind
PATTERN = "gpu-vulkan"
"""The profile that those of further GPUs are made of: gpu-vulkan1, gpu-vulkan2..."""
DRIVERS = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES")
"""Variables that name files of drivers, instead of all that are installed; the first one counts.

The second one is what loaders before 1.3.207 know.
"""

_SEVERAL = 2
_SCRIPT = Path(__file__).with_name("listing.py")
_ASK_SECONDS = 30.0
_COUNTING = {each().kind for each in (OnnxRuntimeCuda, OnnxRuntimeTensorRt, OpenVinoGpu)}
_ORDER = ("discrete", "integrated", "virtual", "other", "software")


@dataclass(frozen=True, slots=True)
class VulkanDevice:
    """One device, as one driver describes it.

    kind: ``integrated``, ``discrete``, ``virtual``, ``software`` or ``other``.
    driver: its version. memory_bytes: its own, or of the machine for one that has none.
    vendor, model: numbers of PCI. address: on PCI, ``0000:03:00.0``. uuid: the same in every
    process and, of hardware, by every driver. What its driver does not tell is empty or 0.
    """

    name: str
    kind: str
    driver: str = ""
    memory_bytes: int = 0
    vendor: int = 0
    model: int = 0
    driver_name: str = ""
    address: str = ""
    uuid: str = ""

    @property
    def is_software(self) -> bool:
        """Whether it is a program on a processor."""
        return self.kind == "software"

    @property
    def link(self) -> str:
        """To the machine: ``PCIe 4 x16``; empty in a processor, and where none is told."""
        is_card = self.kind == "discrete" and self.address
        return pcie_link(self.address) if is_card else ""

    def is_same(self, other: VulkanDevice) -> bool:
        """Whether another listing is of this GPU, too: by address, or by id where one has none.

        Ids alone will not do: some drivers make them of the model.
        """
        if self.address and other.address:
            return self.address == other.address
        return bool(self.uuid) and self.uuid == other.uuid

    def describe(self) -> str:
        """One line for people."""
        memory = f"{self.memory_bytes / (1 << 30):.0f} GiB" if self.memory_bytes else ""
        driver = f"driver {self.driver}" if self.driver else ""
        return ", ".join(filter(None, (str(self), memory, driver, self.link)))

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


def told_drivers(variables: Mapping[str, str]) -> str | None:
    """What variables say of files of drivers; None where they leave that open."""
    return next((variables[name] for name in DRIVERS if variables.get(name)), None)


def own_variables(profile: DeviceProfile) -> dict[str, str]:
    """The profile's own, with drivers by both variables: one that the user set would go first."""
    told = told_drivers(profile.variables)
    return profile.variables | ({} if told is None else dict.fromkeys(DRIVERS, told))


def vulkan_gpus(profile: DeviceProfile) -> tuple[VulkanDevice, ...]:
    """The GPUs that a profile's number counts, in an order that stays as long as they do.

    Discrete ones come first, then those in processors, then others, each in the order of their
    addresses. A GPU of two drivers is one, by the driver that tells its address, or else whose
    name comes first. Programs are GPUs of a profile that says it is one, and of no other.
    """
    listed = vulkan_here(own_variables(profile)).devices
    suited = (each for each in listed if each.is_software == profile.is_software)
    gpus: list[VulkanDevice] = []
    for each in sorted(suited, key=_place):
        if not any(each.is_same(other) for other in gpus):
            gpus.append(each)
    return tuple(gpus)


def vulkan_gpu(profile: DeviceProfile) -> VulkanDevice | None:
    """The GPU of a profile; None where it has none, or none is here."""
    if ENGINE not in profile.engines:
        return None
    gpus = vulkan_gpus(profile)
    if counts_otherwise(profile) and (profile.gpu or len(gpus) > 1):
        return None
    return next(iter(gpus[profile.gpu :]), None)


def has_double(gpu: VulkanDevice, profile: DeviceProfile) -> bool:
    """Whether another GPU of a profile's is listed as this one is, so that nobody tells which."""
    return not (gpu.address or gpu.uuid) and vulkan_gpus(profile).count(gpu) > 1


def counts_otherwise(profile: DeviceProfile) -> bool:
    """Whether a profile's number is that of another engine, too, which counts other GPUs."""
    return not _COUNTING.isdisjoint(profile.engines)


def with_vulkan_gpus(profiles: Mapping[str, DeviceProfile]) -> dict[str, DeviceProfile]:
    """Profiles, with one for every GPU that Vulkan lists; those of the user's own stay.

    It is not asked where the system does not know of several, as with those of Intel.
    """
    pattern = profiles.get(PATTERN)
    if pattern is None or gpus_known() < _SEVERAL:
        return dict(profiles)
    made = (
        replace(pattern, name=f"{PATTERN}{number}", gpu=number)
        for number in range(len(vulkan_gpus(pattern)))
        if number != pattern.gpu
    )
    return {**{each.name: each for each in made}, **profiles}


def vulkan_versions(profile: DeviceProfile) -> dict[str, str]:
    """The GPU of a device and its driver, as a part of the software that a trial ran with."""
    gpu = vulkan_gpu(profile)
    if gpu is None:
        return {}
    return {"vulkan gpu": gpu.name} | ({"vulkan driver": gpu.driver} if gpu.driver else {})


def _place(device: VulkanDevice) -> tuple[object, ...]:
    """Where it is among others; those without an address come behind those that have one."""
    address = not device.address, device.address
    model = device.vendor, device.model, device.uuid
    return _ORDER.index(device.kind), address, model, device.driver_name, device.name


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
        return Vulkan(told["loader"], tuple(VulkanDevice(**each) for each in told["devices"]))
    return Vulkan(has_loader=True)  # and a driver that fails
