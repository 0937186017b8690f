"""What Linux tells of GPUs and of their links, as files: nothing is asked of a driver."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

_DRM, _NVIDIA = Path("/sys/class/drm"), Path("/proc/driver/nvidia/gpus")
_DEVICES = Path("/sys/bus/pci/devices")
_GENERATIONS = ("2.5", "5.0", "8.0", "16.0", "32.0", "64.0")
"""Giga-transfers per second of a lane, by generation of PCI Express from 1."""


def gpus_known() -> int:
    """How many GPUs have a driver that may compute on them; 0 where the system does not tell."""
    rendering = {(node / "device").resolve().name for node in _DRM.glob("renderD*")}
    nvidia = {folder.name for folder in _NVIDIA.glob("*")}
    return len(rendering | nvidia)


def pcie_link(address: str) -> str:
    """The fastest link that a device has to the machine: ``PCIe 4 x16``; empty where none is told.

    It is that of the slot: behind it a card may have links of its own, which say nothing.
    address: on PCI, ``0000:03:00.0``.
    """
    device = (_DEVICES / address).resolve()
    way = [place for place in (device, *device.parents) if (place / "max_link_speed").exists()]
    with suppress(OSError, ValueError):
        (one, other) = ((_generation(end), _lanes(end)) for end in way[-2:])
        return f"PCIe {min(one[0], other[0])} x{min(one[1], other[1])}"
    return ""


def _generation(end: Path) -> int:
    """Raises ValueError: it is unknown."""
    speed = float((end / "max_link_speed").read_text().split(" ")[0])
    return _GENERATIONS.index(f"{speed:.1f}") + 1


def _lanes(end: Path) -> int:
    """Raises ValueError: they are unknown."""
    return int((end / "max_link_width").read_text())
