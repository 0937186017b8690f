"""How a process sees one Vulkan GPU and no other: WebGPU takes what it sees, and cannot be told.

What shows only that GPU is found by listing what a process with these variables sees.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from farm.devices.profile import DeviceProfile
from workers.gpus.vulkan import (
    DRIVERS,
    VulkanDevice,
    has_double,
    own_variables,
    told_drivers,
    vulkan_gpu,
    vulkan_here,
)

_ADDED = "VK_ADD_DRIVER_FILES"
_FOLDER = Path("vulkan", "icd.d")
# Vulkan's loader looks in a user's own folders, too; their paths would leave with what is
# delivered: who has a driver there names it.
_PLACES = (
    ("XDG_CONFIG_DIRS", "/etc/xdg"),
    ("", "/usr/local/etc:/etc"),
    ("XDG_DATA_DIRS", "/usr/local/share:/usr/share"),
)
_MESA_ALONE = {"MESA_VK_DEVICE_SELECT_FORCE_DEFAULT_DEVICE": "1"}


def alone(profile: DeviceProfile) -> dict[str, str] | None:
    """Variables beside the profile's own by which processes see its Vulkan GPU, and no other.

    None where nothing here does that, or it has no such GPU.
    """
    gpu = vulkan_gpu(profile)
    if gpu is None or has_double(gpu, profile):
        return None
    found = _found(tuple(sorted(own_variables(profile).items())), gpu)
    return None if found is None else dict(found)


def self_contained(profile: DeviceProfile) -> DeviceProfile:
    """The profile with variables that show its Vulkan GPU, the first and only one then.

    For machines and processes that cannot ask the drivers of this one.
    """
    found = alone(profile)
    if found is None:
        return profile
    return replace(profile, gpu=0, variables=own_variables(profile) | found)


def named_drivers(variables: Mapping[str, str]) -> tuple[Path, ...] | None:
    """Files and folders of drivers that variables name; None where they leave that open."""
    told = told_drivers(variables)
    return None if told is None else _paths(told)


@cache
def _found(own: tuple[tuple[str, str], ...], gpu: VulkanDevice) -> Mapping[str, str] | None:
    variables = dict(own)
    if vulkan_here(variables).devices == (gpu,):
        return {}
    for driver in _drivers(os.environ | variables):
        chosen = dict.fromkeys(DRIVERS, str(driver))
        if gpu not in vulkan_here(variables | chosen).devices:
            continue
        for way in ({}, _by_model(gpu), _by_address(gpu)):
            if vulkan_here(variables | chosen | way).devices == (gpu,):
                return chosen | way
    return None


def _by_model(gpu: VulkanDevice) -> dict[str, str]:
    """Vulkan's loader since 1.4.326 chooses so, and so does a layer of Mesa in older ones."""
    return {
        "VK_LOADER_VENDOR_ID_FILTER": f"{gpu.vendor:#x}",
        "VK_LOADER_DEVICE_ID_FILTER": f"{gpu.model:#x}",
        "MESA_VK_DEVICE_SELECT": f"{gpu.vendor:x}:{gpu.model:x}",
    } | _MESA_ALONE


def _by_address(gpu: VulkanDevice) -> dict[str, str]:
    """Mesa's layer chooses so among GPUs of one model."""
    place = gpu.address.replace(":", "_").replace(".", "_")
    return {"DRI_PRIME": f"pci-{place}"} | _MESA_ALONE if place else {}


def _drivers(variables: Mapping[str, str]) -> Iterator[Path]:
    """Files of drivers, where Vulkan's loader looks for them.

    Its documentation: "Driver Discovery on Linux" in ``LoaderDriverInterface.md``.
    """
    named = named_drivers(variables)
    for place in _places(variables) if named is None else named:
        yield from sorted(place.glob("*.json")) if place.is_dir() else (place,)


def _places(variables: Mapping[str, str]) -> tuple[Path, ...]:
    folders = (variables.get(name) or usual for name, usual in _PLACES)
    found = (path / _FOLDER for told in folders for path in _paths(told))
    return (*_paths(variables.get(_ADDED, "")), *found)


def _paths(told: str) -> tuple[Path, ...]:
    return tuple(map(Path, filter(None, told.split(os.pathsep))))
