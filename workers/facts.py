"""What a device's machine is and offers: found out without running anything."""

from __future__ import annotations

from contextlib import closing

from farm.artifact.engines import package_engines
from farm.candidate import UNTIMED, FloatType
from farm.devices.profile import DeviceProfile
from workers.discovery import openvino_float_types, usable_engines, webgpu_computes_float16
from workers.environments.installed import installed_environments
from workers.environments.interpreters import Interpreters
from workers.fingerprint import fingerprint, software_versions
from workers.gpus.intel import ENGINE as INTEL
from workers.gpus.intel import intel_float_types, intel_gpu
from workers.gpus.vulkan import vulkan_versions
from workers.jobs import DeviceFacts
from workers.meters.energy_window import energy_window
from workers.nvidia.devices import gpu_versions

_OPENVINO = frozenset({"openvino", "openvino-runtime"})


def facts_of(profile: DeviceProfile) -> DeviceFacts:
    """The facts of a device on this machine, whose environments may change right after."""
    with closing(Interpreters(profile)) as interpreters:
        return facts_with(profile, interpreters)


def facts_with(profile: DeviceProfile, interpreters: Interpreters) -> DeviceFacts:
    """The facts of a device whose engines run in these interpreters."""
    return DeviceFacts(
        fingerprint(),
        software_versions() | interpreters.versions() | _gpu_versions(profile, interpreters),
        tuple(engine for engine in usable_engines(profile) if engine not in UNTIMED),
        _float_types(profile, interpreters),
        package_engines(profile),
        {name: found.named_versions for name, found in installed_environments().items()},
        len(profile.processors),
        webgpu_float16=webgpu_computes_float16(profile),
        energy_window=energy_window(profile),
    )


def _gpu_versions(profile: DeviceProfile, interpreters: Interpreters) -> dict[str, str]:
    """The GPU that a trial ran on, and its driver, as a part of the software."""
    intel = intel_gpu(profile, interpreters.of(INTEL))
    if intel is None:
        return gpu_versions(profile) | vulkan_versions(profile)
    return {"intel gpu": intel.name} | ({"intel driver": intel.driver} if intel.driver else {})


def _float_types(profile: DeviceProfile, interpreters: Interpreters) -> tuple[FloatType, ...]:
    if INTEL in profile.engines:
        return intel_float_types(profile, interpreters.of(INTEL))
    if not _OPENVINO & set(profile.engines):
        return ()
    return openvino_float_types(interpreters.of("openvino-runtime"))
