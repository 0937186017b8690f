"""Device profiles of the GPUs that are here, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from farm.devices.profile import DeviceProfile
from workers.environments.installed import environments_of
from workers.gpus.intel import ENGINE, intel_gpu, with_intel_gpus
from workers.gpus.vulkan import ENGINE as VULKAN
from workers.gpus.vulkan import VulkanDevice, vulkan_gpu, with_vulkan_gpus
from workers.nvidia.devices import opened, with_nvidia_gpus


@dataclass(frozen=True, slots=True)
class GpuFacts:
    """A GPU as its driver, OpenVINO or Vulkan describes it; None where that is not told.

    number: as that counts, from 0. cuda: the newest that the driver runs. link: to the machine.
    """

    number: int
    name: str
    memory_bytes: int | None
    driver: str | None
    cuda: str | None = None
    link: str | None = None
    uuid: str | None = None


def with_gpus(profiles: Mapping[str, DeviceProfile]) -> dict[str, DeviceProfile]:
    """Profiles, with one for every GPU of NVIDIA, of Intel and by Vulkan that is here."""
    with_makers = with_intel_gpus(with_nvidia_gpus(profiles), openvino_interpreter())
    return with_vulkan_gpus(with_makers)


def gpu_facts(profile: DeviceProfile) -> GpuFacts | None:
    """What is known of a device's GPU; None where there is none, or which one is unknown."""
    if (found := opened(profile)) is not None:
        gpu = found[1]
        cuda = ".".join(map(str, gpu.cuda))
        link = str(gpu.link) if gpu.link else None
        memory = gpu.memory_bytes or None
        return GpuFacts(gpu.index, gpu.name, memory, gpu.driver, cuda, link, gpu.uuid)
    if VULKAN in profile.engines:
        return _vulkan_facts(profile, vulkan_gpu(profile))
    if ENGINE not in profile.engines:
        return None
    intel = intel_gpu(profile, profile.interpreter or openvino_interpreter())
    if intel is None:
        return None
    return GpuFacts(profile.gpu, intel.name, intel.memory_bytes, intel.driver or None)


def _vulkan_facts(profile: DeviceProfile, gpu: VulkanDevice | None) -> GpuFacts | None:
    if gpu is None:
        return None
    return GpuFacts(
        profile.gpu,
        gpu.name,
        gpu.memory_bytes or None,
        gpu.driver or None,
        link=gpu.link or None,
        uuid=gpu.uuid or None,
    )


def openvino_interpreter() -> str:
    """The Python that runs OpenVINO on GPUs; empty for the farm's own."""
    given = environments_of([ENGINE]).get(ENGINE)
    return "" if given is None else str(given.interpreter)
