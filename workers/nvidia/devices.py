"""Device profiles of the GPUs that are here, and what their workers need to know of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from farm.devices.profile import DeviceProfile
from workers.nvidia.meter import VISIBLE
from workers.nvidia.nvml import Gpu, Nvml, NvmlError
from workers.nvidia.presence import found_gpus, silent_gpus, uses_nvidia

PATTERN = "gpu"
"""The profile that those of further GPUs are made of; they are called gpu1, gpu2..."""

_NO_GPU = "-1"


def with_nvidia_gpus(profiles: Mapping[str, DeviceProfile]) -> dict[str, DeviceProfile]:
    """Profiles, with one for every GPU that is here; those of the user's own stay as they are.

    The pattern's own description becomes that of its GPU.
    """
    pattern = profiles.get(PATTERN)
    if pattern is None or not uses_nvidia(pattern):
        return dict(profiles)
    told = dict.fromkeys(silent_gpus(), "NVIDIA GPU that does not answer")
    told |= {gpu.index: gpu.describe() for gpu in found_gpus()}
    made: dict[str, DeviceProfile] = {}
    for number, description in sorted(told.items()):
        if number == pattern.gpu:
            made[PATTERN] = replace(pattern, description=description)
        elif (name := f"{PATTERN}{number}") not in profiles:
            made[name] = replace(pattern, name=name, description=description, gpu=number)
    return {**profiles, **made}


def opened(profile: DeviceProfile) -> tuple[Nvml, Gpu] | None:
    """The driver's library and the GPU of a device; None where it has none, or none is here."""
    if not uses_nvidia(profile):
        return None
    try:
        nvml = Nvml()
        gpu = next((each for each in nvml.gpus() if each.index == profile.gpu), None)
    except NvmlError:
        return None
    return None if gpu is None else (nvml, gpu)


def child_variables(profile: DeviceProfile) -> dict[str, str]:
    """What the child processes of a device have in their environment, so that they use its GPU.

    Where it is gone they see none: without the variable they would take another one.
    """
    if not uses_nvidia(profile):
        return {}
    found = opened(profile)
    return {VISIBLE: found[1].uuid if found else _NO_GPU}


def gpu_versions(profile: DeviceProfile) -> dict[str, str]:
    """The GPU of a device and its driver, as a part of the software that a trial ran with."""
    found = opened(profile)
    if found is None:
        return {}
    return {"nvidia gpu": found[1].name, "nvidia driver": found[1].driver}
