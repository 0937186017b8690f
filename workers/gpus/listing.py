"""Prints what this machine's Vulkan drivers offer: ``{"loader": true, "devices": []}``.

Run as a script, in a process of its own: drivers are loaded by what the environment says when a
process starts, and a faulty one ends nothing but this. Structures and numbers are those of the
Vulkan specification, version 1.0.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import struct
import sys

_LOADER = "libvulkan.so.1"
_INSTANCE_CREATE_INFO = 1
_PROPERTIES_BYTES = 4096  # more than VkPhysicalDeviceProperties has
_DRIVER_AT, _KIND_AT, _NAME_AT, _NAME_BYTES = 4, 16, 20, 256
_NVIDIA = 0x10DE
_MEMORY_BYTES = 1024  # more than VkPhysicalDeviceMemoryProperties has
_HEAP_COUNT_AT, _HEAPS_AT, _HEAP_BYTES, _ITS_OWN = 260, 264, 16, 1
_KINDS = {1: "integrated", 2: "discrete", 3: "virtual", 4: "software"}


class _InstanceCreateInfo(ctypes.Structure):
    """VkInstanceCreateInfo."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.c_void_p),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def _devices(vulkan: ctypes.CDLL) -> list[tuple[str, str, str, int]]:
    """Name, kind, driver and memory of each device; none where no driver can be loaded."""
    instance, count = ctypes.c_void_p(), ctypes.c_uint32()
    info = _InstanceCreateInfo(kind=_INSTANCE_CREATE_INFO)
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)):
        return []
    try:
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        found = (ctypes.c_void_p * count.value)()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), found)
        return [_described(vulkan, device) for device in found if device]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _described(vulkan: ctypes.CDLL, device: int) -> tuple[str, str, str, int]:
    properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
    vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
    driver, maker = struct.unpack_from("<II", properties.raw, _DRIVER_AT)
    (kind,) = struct.unpack_from("<i", properties.raw, _KIND_AT)
    name = properties.raw[_NAME_AT : _NAME_AT + _NAME_BYTES].split(b"\0", 1)[0]
    return (
        name.decode("utf-8", "replace"),
        _KINDS.get(kind, "other"),
        _version(driver, maker),
        _memory(vulkan, device),
    )


def _version(number: int, maker: int) -> str:
    """A driver's version. NVIDIA packs four numbers into it, others three, as Vulkan does."""
    if maker == _NVIDIA:
        return f"{number >> 22}.{number >> 14 & 0xFF}.{number >> 6 & 0xFF}.{number & 0x3F}"
    return f"{number >> 22}.{number >> 12 & 0x3FF}.{number & 0xFFF}"


def _memory(vulkan: ctypes.CDLL, device: int) -> int:
    """Bytes of the largest heap that is the device's own; 0 for none."""
    memory = ctypes.create_string_buffer(_MEMORY_BYTES)
    vulkan.vkGetPhysicalDeviceMemoryProperties(ctypes.c_void_p(device), memory)
    (count,) = struct.unpack_from("<I", memory.raw, _HEAP_COUNT_AT)
    heaps = (
        struct.unpack_from("<QI", memory.raw, _HEAPS_AT + _HEAP_BYTES * number)
        for number in range(count)
    )
    return max((size for size, flags in heaps if flags & _ITS_OWN), default=0)


def main() -> None:
    """Print what there is."""
    told: dict[str, object] = {"loader": False, "devices": []}
    with contextlib.suppress(OSError):
        vulkan = ctypes.CDLL(_LOADER)
        told = {"loader": True, "devices": _devices(vulkan)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
