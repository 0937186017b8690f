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
_KIND_AT, _NAME_AT, _NAME_BYTES = 16, 20, 256
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


def _devices(vulkan: ctypes.CDLL) -> list[tuple[str, str]]:
    """Name and kind of each device; none where no driver can be loaded."""
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


def _described(vulkan: ctypes.CDLL, device: int) -> tuple[str, str]:
    properties = ctypes.create_string_buffer(_PROPERTIES_BYTES)
    vulkan.vkGetPhysicalDeviceProperties(ctypes.c_void_p(device), properties)
    (kind,) = struct.unpack_from("<i", properties.raw, _KIND_AT)
    name = properties.raw[_NAME_AT : _NAME_AT + _NAME_BYTES].split(b"\0", 1)[0]
    return name.decode("utf-8", "replace"), _KINDS.get(kind, "other")


def main() -> None:
    """Print what there is."""
    told: dict[str, object] = {"loader": False, "devices": []}
    with contextlib.suppress(OSError):
        vulkan = ctypes.CDLL(_LOADER)
        told = {"loader": True, "devices": _devices(vulkan)}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
