"""Prints what this machine's Vulkan drivers offer: ``{"loader": true, "devices": []}``.

Run as a script, in a process of its own: drivers are loaded by what the environment says when a
process starts, and a faulty one ends nothing but this. Structures and numbers are those of the
Vulkan specification, version 1.1, and of two extensions, where a driver has them.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import struct
import sys
import uuid
from typing import Any

_LOADER = "libvulkan.so.1"
_APPLICATION_INFO, _INSTANCE_CREATE_INFO = 0, 1
_VERSION = 1 << 22 | 1 << 12  # Mesa's layer that chooses GPUs reads addresses from 1.1 on
_PROPERTIES, _IDS = 1000059001, 1000071004
_OF_EXTENSIONS = {"VK_KHR_driver_properties": 1000196000, "VK_EXT_pci_bus_info": 1000212000}
_EXTENSION_BYTES = 260
_PROPERTIES_BYTES = 4096  # more than each of these structures has
_CONTENT_AT = 16  # behind the kind of a structure and the pointer to the next one
_VERSION_AT, _KIND_AT, _NAME_AT, _NAME_BYTES = 4, 16, 20, 256
_DRIVER_NAME_AT = 4
_UUID_BYTES = 16
_NVIDIA = 0x10DE
_MEMORY_BYTES = 1024  # more than VkPhysicalDeviceMemoryProperties has
_HEAP_COUNT_AT, _HEAPS_AT, _HEAP_BYTES, _ITS_OWN = 260, 264, 16, 1
_KINDS = {1: "integrated", 2: "discrete", 3: "virtual", 4: "software"}


class _ApplicationInfo(ctypes.Structure):
    """VkApplicationInfo."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("application", ctypes.c_char_p),
        ("application_version", ctypes.c_uint32),
        ("engine", ctypes.c_char_p),
        ("engine_version", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
    )


class _InstanceCreateInfo(ctypes.Structure):
    """VkInstanceCreateInfo."""

    _fields_ = (
        ("kind", ctypes.c_int),
        ("next", ctypes.c_void_p),
        ("flags", ctypes.c_uint32),
        ("application", ctypes.POINTER(_ApplicationInfo)),
        ("layer_count", ctypes.c_uint32),
        ("layers", ctypes.c_void_p),
        ("extension_count", ctypes.c_uint32),
        ("extensions", ctypes.c_void_p),
    )


def _devices(vulkan: ctypes.CDLL) -> list[dict[str, Any]]:
    """What there is to say of each device; none where no driver can be loaded."""
    instance, count = ctypes.c_void_p(), ctypes.c_uint32()
    application = _ApplicationInfo(kind=_APPLICATION_INFO, version=_VERSION)
    info = _InstanceCreateInfo(kind=_INSTANCE_CREATE_INFO, application=ctypes.pointer(application))
    if vulkan.vkCreateInstance(ctypes.byref(info), None, ctypes.byref(instance)):
        return []
    try:
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), None)
        found = (ctypes.c_void_p * count.value)()
        vulkan.vkEnumeratePhysicalDevices(instance, ctypes.byref(count), found)
        return [_described(vulkan, device) for device in found if device]
    finally:
        vulkan.vkDestroyInstance(instance, None)


def _described(vulkan: ctypes.CDLL, device: int) -> dict[str, Any]:
    """By the names of ``VulkanDevice``."""
    has = _extensions(vulkan, device)
    optional = {kind for name, kind in _OF_EXTENSIONS.items() if name in has}
    told = _asked(vulkan, device, *optional, _IDS, _PROPERTIES)
    properties, ids = told[_PROPERTIES], told[_IDS]
    driver, pci = map(told.get, _OF_EXTENSIONS.values())
    version, vendor, model, kind = struct.unpack_from("<IIIi", properties, _VERSION_AT)
    return {
        "name": _text(properties, _NAME_AT),
        "kind": _KINDS.get(kind, "other"),
        "driver": _version(version, vendor),
        "memory_bytes": _memory(vulkan, device),
        "vendor": vendor,
        "model": model,
        "driver_name": _text(driver, _DRIVER_NAME_AT) if driver else "",
        "address": _address(pci) if pci else "",
        "uuid": str(uuid.UUID(bytes=ids[:_UUID_BYTES])) if any(ids[:_UUID_BYTES]) else "",
    }


def _extensions(vulkan: ctypes.CDLL, device: int) -> set[str]:
    count, pointer = ctypes.c_uint32(), ctypes.c_void_p(device)
    vulkan.vkEnumerateDeviceExtensionProperties(pointer, None, ctypes.byref(count), None)
    found = ctypes.create_string_buffer(_EXTENSION_BYTES * max(1, count.value))
    vulkan.vkEnumerateDeviceExtensionProperties(pointer, None, ctypes.byref(count), found)
    return {_text(found.raw, _EXTENSION_BYTES * number) for number in range(count.value)}


def _asked(vulkan: ctypes.CDLL, device: int, *kinds: int) -> dict[int, bytes]:
    """The contents of a chain of structures by their kinds, the outermost one last."""
    chain = {kind: ctypes.create_string_buffer(_PROPERTIES_BYTES) for kind in kinds}
    following = 0
    for kind, each in chain.items():
        struct.pack_into("<i4xQ", each, 0, kind, following)
        following = ctypes.addressof(each)
    vulkan.vkGetPhysicalDeviceProperties2(ctypes.c_void_p(device), chain[kinds[-1]])
    return {kind: each.raw[_CONTENT_AT:] for kind, each in chain.items()}


def _address(told: bytes) -> str:
    """On PCI: ``0000:03:00.0``; empty for that of the host, by which a driver tells nothing."""
    domain, bus, device, function = place = struct.unpack_from("<IIII", told)
    if not any(place):
        return ""
    return f"{domain:04x}:{bus:02x}:{device:02x}.{function:x}"


def _text(told: bytes, at: int) -> str:
    return told[at : at + _NAME_BYTES].split(b"\0", 1)[0].decode("utf-8", "replace")


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
