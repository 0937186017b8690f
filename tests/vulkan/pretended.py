"""A machine that pretends to have several Vulkan GPUs: what its drivers list is a stand-in."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workers.gpus import alone, pci, vulkan, webgpu
from workers.gpus.vulkan import Vulkan, VulkanDevice

ARC = VulkanDevice(
    "Arc", "discrete", "23.2.1", 16 << 30, 0x8086, 0x56A0, "Intel Mesa", "0000:03:00.0", "a"
)
UHD = VulkanDevice(
    "UHD", "integrated", "23.2.1", 32 << 30, 0x8086, 0x4680, "Intel Mesa", "0000:00:02.0", "b"
)
RADEON = VulkanDevice(
    "Radeon", "discrete", "23.2.1", 24 << 30, 0x1002, 0x744C, "radv", "0000:0b:00.0", "c"
)
LLVMPIPE = VulkanDevice("llvmpipe", "software", driver_name="llvmpipe", uuid="d")


@dataclass
class PretendedVulkan:
    """Files of drivers, each with the GPUs that it lists, which Vulkan's loader finds.

    has_layer: Mesa's, which chooses by model or address. has_filters: the loader's own, by model.
    asked: how often drivers were listed.
    """

    folder: Path
    drivers: dict[str, tuple[VulkanDevice, ...]] = field(default_factory=dict)
    has_layer: bool = False
    has_filters: bool = False
    asked: int = 0

    def install(self, **drivers: tuple[VulkanDevice, ...]) -> None:
        """Drivers by the names of their files, without their ends."""
        for name, devices in drivers.items():
            (self.folder / f"{name}.json").touch()
            self.drivers[str(self.folder / f"{name}.json")] = devices

    def file(self, name: str) -> str:
        return str(self.folder / f"{name}.json")

    def choosing(self, name: str) -> dict[str, str]:
        """Variables that name the file of a driver."""
        return dict.fromkeys(vulkan.DRIVERS, self.file(name))

    def listed(self, variables: tuple[tuple[str, str], ...]) -> Vulkan:
        """As Vulkan's loader and Mesa's layer are documented."""
        self.asked += 1
        told = os.environ | dict(variables)
        named = told.get("VK_DRIVER_FILES") or told.get("VK_ICD_FILENAMES") or ""
        files = named.split(os.pathsep) if named else list(self.drivers)
        found = [device for file in files for device in self.drivers.get(file, ())]
        if self.has_filters and (model := told.get("VK_LOADER_DEVICE_ID_FILTER")):
            found = [device for device in found if device.model == int(model, 16)]
        if self.has_layer and told.get("MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE") == "1":
            by_model = told.get("MESA_VK_DEVICE_SELECT")
            by_address = told.get("DRI_PRIME")
            found = [
                device
                for device in found
                if f"{device.vendor:x}:{device.model:x}" == by_model
                or f"pci-{device.address.replace(':', '_').replace('.', '_')}" == by_address
            ][:1]
        return Vulkan(True, tuple(found))


def pretend_vulkan(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[PretendedVulkan]:
    """In this process alone; the system knows of two GPUs."""
    found = PretendedVulkan(folder / "vulkan" / "icd.d")
    found.folder.mkdir(parents=True)
    patch.setenv("XDG_DATA_DIRS", str(folder))
    for name in vulkan.DRIVERS:
        patch.delenv(name, raising=False)
    patch.setattr(vulkan, "_asked", found.listed)
    pretend_pci(folder, patch, ["0000:00:02.0", "0000:03:00.0"])
    forget()
    yield found
    patch.undo()
    forget()


def forget() -> None:
    """What this process was told before, by other drivers or with other variables."""
    for asked in (vulkan._asked, alone._found, webgpu._asked):
        getattr(asked, "cache_clear", lambda: None)()  # a stand-in keeps nothing


def pretend_pci(folder: Path, patch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """Files as Linux has them of GPUs with a node to compute by."""
    for number, address in enumerate(addresses):
        device = folder / "pci" / address
        device.mkdir(parents=True)
        node = folder / "drm" / f"renderD{128 + number}"
        node.mkdir(parents=True)
        (node / "device").symlink_to(device)
    patch.setattr(pci, "_DRM", folder / "drm")
    patch.setattr(pci, "_NVIDIA", folder / "nvidia")


def write_driver(folder: Path, name: str, library: Path) -> str:
    """The file of a real driver, by which Vulkan's loader finds it."""
    told = {"library_path": str(library), "api_version": "1.1.0"}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"file_format_version": "1.0.0", "ICD": told}))
    return str(path)
