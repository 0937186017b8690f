"""Intel's GPUs as OpenVINO lists them: which there are, and why there is none.

The names of properties: OpenVINO's ``properties.hpp`` and ``intel_gpu/properties.hpp``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from farm.candidate import FloatType, OpenVinoGpu
from farm.devices.profile import Availability, DeviceProfile
from farm.host.privacy import sending_nothing
from farm.units import counted
from workers.device_files import closed_node

ENGINE = OpenVinoGpu().kind
PATTERN = "gpu-intel"
"""The profile that those of further GPUs are made of; they are called gpu-intel1, gpu-intel2..."""

_DRM, _NODES = Path("/sys/class/drm"), Path("/dev/dri")
_VENDOR = "0x8086"
_SEVERAL = 2
_ASK_SECONDS = 60.0
_OPENCL = "libOpenCL.so.1"
_ASKED = """
import json
import openvino
core = openvino.Core()
def told(device, name):
    try:
        return core.get_property(device, name)
    except Exception:
        return None
def why():
    try:
        core.get_property("GPU", "FULL_DEVICE_NAME")
    except Exception as error:
        return str(error)
    return ""
listed = list(core.available_devices)
gpus = [
    [
        told(name, "FULL_DEVICE_NAME") or name,
        told(name, "GPU_DEVICE_TOTAL_MEM_SIZE"),
        told(name, "GPU_DRIVER_VERSION"),
        told(name, "OPTIMIZATION_CAPABILITIES") or [],
    ]
    for name in listed
    if name.partition(".")[0] == "GPU"
]
print(json.dumps({"listed": listed, "gpus": gpus, "why": "" if gpus else why()}, default=str))
"""


@dataclass(frozen=True, slots=True)
class IntelGpu:
    """A GPU as OpenVINO describes it. What it does not tell is None, or empty.

    memory_bytes: its own, or of the machine for one that is part of a processor. capabilities:
    arithmetic and more that it is good at, by OpenVINO's names.
    """

    name: str
    memory_bytes: int | None = None
    driver: str = ""
    capabilities: frozenset[str] = frozenset()

    def describe(self) -> str:
        """One line for people."""
        parts = [self.name]
        parts += [] if self.memory_bytes is None else [f"{self.memory_bytes / (1 << 30):.0f} GiB"]
        return ", ".join([*parts, *([f"driver {self.driver}"] if self.driver else [])])


@dataclass(frozen=True, slots=True)
class Listed:
    """What OpenVINO lists. names: of all devices. gpus: in its order. why: there is no GPU."""

    names: tuple[str, ...] = ()
    gpus: tuple[IntelGpu, ...] = ()
    why: str = ""


def intel_availability(profile: DeviceProfile, interpreter: str) -> Availability:
    """Whether OpenVINO runs on the GPU of a profile. interpreter: Python that has OpenVINO."""
    told = listed(interpreter)
    if not told.names:
        return Availability(
            available=False,
            reason=f"OpenVINO does not answer: {told.why}",
            remedy="install it again: pip install --force-reinstall openvino",
        )
    if not told.gpus:
        return _no_gpu(told)
    if profile.gpu >= len(told.gpus):
        return Availability(
            available=False,
            reason=f"OpenVINO lists {counted(len(told.gpus), 'GPU')}, and number {profile.gpu}, "
            "from 0, is none of them",
            remedy="correct gpu in the device profile",
        )
    return Availability(available=True, found=told.gpus[profile.gpu].describe())


def intel_gpu(profile: DeviceProfile, interpreter: str) -> IntelGpu | None:
    """The GPU of a profile; None where it has none, or none is here."""
    if ENGINE not in profile.engines:
        return None
    found = listed(interpreter).gpus
    return found[profile.gpu] if profile.gpu < len(found) else None


def intel_float_types(profile: DeviceProfile, interpreter: str) -> tuple[FloatType, ...]:
    """Arithmetic that the GPU of a profile is good at, float32 first."""
    gpu = intel_gpu(profile, interpreter)
    has_half = gpu is not None and "FP16" in gpu.capabilities
    return (FloatType.FLOAT32, *([FloatType.FLOAT16] if has_half else []))


def with_intel_gpus(
    profiles: Mapping[str, DeviceProfile], interpreter: str
) -> dict[str, DeviceProfile]:
    """Profiles, with one for every GPU that OpenVINO lists; those of the user's own stay.

    It is not asked where the system does not know of several: that takes a moment, and the first
    one is the pattern's in any case.
    """
    pattern = profiles.get(PATTERN)
    if pattern is None or len(_render_nodes()) < _SEVERAL:
        return dict(profiles)
    made = (
        replace(pattern, name=f"{PATTERN}{number}", gpu=number)
        for number in range(len(listed(interpreter).gpus))
        if number != pattern.gpu
    )
    return {**{each.name: each for each in made}, **profiles}


def listed(interpreter: str) -> Listed:
    """What OpenVINO lists. interpreter: Python that has it; empty for the farm's own."""
    return _asked(interpreter or sys.executable)


@cache
def _asked(interpreter: str) -> Listed:
    """In a process of its own, which a faulty driver may end."""
    command = [interpreter, "-I", "-c", sending_nothing(f"\n{_ASKED}")]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ASK_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Listed(why=f"not within {_ASK_SECONDS:g} s")
    except OSError as error:
        return Listed(why=f"its Python cannot be started: {error.strerror}")
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return Listed(why=said[-1] if said else f"its process ended with {done.returncode}")
    told = json.loads(done.stdout.splitlines()[-1])
    gpus = (
        IntelGpu(name, memory and int(memory), driver or "", frozenset(capabilities))
        for name, memory, driver, capabilities in told["gpus"]
    )
    return Listed(tuple(told["listed"]), tuple(gpus), told["why"])


def _no_gpu(told: Listed) -> Availability:
    only = f"OpenVINO lists no GPU, only {' and '.join(told.names)}"
    nodes = _render_nodes()
    if not nodes:
        return Availability(
            available=False,
            reason=f"{only}, and the system knows of no GPU of Intel",
            remedy="run on a machine with a GPU of Intel and its driver",
        )
    if (closed := closed_node(nodes)) is not None:
        return closed
    missing = f": {_OPENCL} is not installed" if _OPENCL in told.why else ""
    return Availability(
        available=False,
        reason=f"{only}{missing}",
        remedy="apt-get install ocl-icd-libopencl1 intel-opencl-icd, or your system's packages of "
        "Intel's compute runtime",
    )


def _render_nodes() -> tuple[Path, ...]:
    """The files by which GPUs of Intel are reached, where there is Linux."""
    vendors = sorted(_DRM.glob("renderD*/device/vendor"))
    own = (path for path in vendors if path.read_text().strip() == _VENDOR)
    return tuple(_NODES / path.parents[1].name for path in own)
