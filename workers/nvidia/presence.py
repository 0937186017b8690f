"""Whether a GPU can be used here, and if not, why and what would change it."""

from __future__ import annotations

import ctypes.util
import importlib.metadata
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from farm.candidate import OnnxRuntimeCuda, OnnxRuntimeTensorRt
from farm.devices.profile import Availability, DeviceProfile
from farm.units import counted
from workers.device_files import closed_node
from workers.nvidia.meter import VISIBLE, numbers_are_clear, of_unknown_order, visible_gpus
from workers.nvidia.nvml import Gpu, Nvml, NvmlError

NVIDIA_ENGINES = frozenset({OnnxRuntimeCuda().kind, OnnxRuntimeTensorRt().kind})
_DEVICES = Path("/dev")
_TENSORRT = "libnvinfer.so.10"  # to which the provider of ONNX Runtime 1.31 is linked
_HERE = Availability(available=True)
# By major version of CUDA; minor ones are compatible: CUDA's release notes, "CUDA Driver".
_LEAST_DRIVERS = {11: "450.80", 12: "525.60", 13: "580"}
_RUNTIMES = ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu11")


def uses_nvidia(profile: DeviceProfile) -> bool:
    """Whether engines of a device run on an NVIDIA GPU."""
    return not NVIDIA_ENGINES.isdisjoint(profile.engines)


def gpu_availability(index: int = 0) -> Availability:
    """Whether the GPU of this number, as the driver counts, can be used by this process.

    What CUDA_VISIBLE_DEVICES leaves out cannot: somebody else has it.
    """
    nodes = sorted(_DEVICES.glob("nvidia[0-9]*"), key=_number)
    if not nodes and shutil.which("nvidia-smi") is None:
        return Availability(
            available=False,
            reason="no NVIDIA GPU was found (neither /dev/nvidia0 nor nvidia-smi)",
            remedy="run on a machine with an NVIDIA GPU and its driver; "
            "gpu-vulkan and gpu-intel are GPUs of other makers",
        )
    needed = [
        *nodes[index : index + 1],
        *(_DEVICES / name for name in ("nvidiactl", "nvidia-uvm")),
    ]
    if (closed := closed_node(needed)) is not None:
        return closed
    try:
        nvml = Nvml()
        if index >= (count := nvml.count()):
            return Availability(
                available=False,
                reason=f"the driver tells of {counted(count, 'NVIDIA GPU')}, and number {index}, "
                "from 0, is none of them",
                remedy="correct gpu in the device profile",
            )
        gpu, gpus = nvml.gpu(index), nvml.gpus()
    except NvmlError as error:
        return Availability(available=False, reason=error.reason, remedy=error.remedy)
    return _usable(gpu, gpus)


def _usable(gpu: Gpu, gpus: Sequence[Gpu]) -> Availability:
    """Whether this process may use one of the GPUs that answer, and as a whole."""
    if gpu.is_divided:
        return Availability(
            available=False,
            reason=f"{gpu.name} is divided into instances (MIG), and what the driver counts, as "
            "energy, is of all of them together",
            remedy=f"end that while nobody uses it: sudo nvidia-smi -i {gpu.index} -mig 0",
        )
    if not numbers_are_clear(gpus):
        reason, remedy = of_unknown_order(os.environ[VISIBLE])
        return Availability(available=False, reason=reason, remedy=remedy)
    if gpu not in visible_gpus(gpus):
        return Availability(
            available=False,
            reason=f"{VISIBLE} is '{os.environ[VISIBLE]}', which leaves out the GPU of number "
            f"{gpu.index}, as the driver counts",
            remedy="take the device of a GPU that it names, or change that variable",
        )
    return _HERE


def engine_presence() -> Availability:
    """Whether the farm's own interpreter has a build of ONNX Runtime for NVIDIA's GPUs."""
    try:
        importlib.metadata.version("onnxruntime-gpu")
    except importlib.metadata.PackageNotFoundError:
        return Availability(
            available=False,
            reason="the Python package onnxruntime-gpu is not installed",
            remedy="pip install onnxruntime-gpu, in an environment of its own",
        )
    return _HERE


def nvidia_availability(engine: str, where: str, versions: Mapping[str, str]) -> Availability:
    """Whether an engine can run here in a Python that has it.

    where: which Python that is, for people. versions: of its packages.
    """
    found = driver_availability(where, versions)
    is_whole = engine != OnnxRuntimeTensorRt().kind or not found.available
    return found if is_whole else tensorrt_availability(versions)


def driver_availability(where: str, versions: Mapping[str, str]) -> Availability:
    """Whether the driver here runs the CUDA that is in a Python.

    Where there is no driver, or no CUDA in it, nothing stands against.
    where, versions: see :func:`nvidia_availability`.
    """
    cuda = next((versions[name] for name in _RUNTIMES if name in versions), "")
    major = int(cuda.partition(".")[0] or 0)
    gpus = found_gpus() if major else ()
    if not gpus or gpus[0].cuda[0] >= major:
        return _HERE
    newest, least = ".".join(map(str, gpus[0].cuda)), _LEAST_DRIVERS.get(major, "")
    return Availability(
        available=False,
        reason=f"the NVIDIA driver {gpus[0].driver} runs CUDA {newest} at most, and {where} has "
        f"CUDA {cuda}",
        remedy=f"install the driver {least} or newer" if least else "install a newer driver",
    )


def tensorrt_availability(versions: Mapping[str, str]) -> Availability:
    """Whether the TensorRT that ONNX Runtime's provider is linked to can be loaded.

    versions: of the packages in the environment that gives the engine.
    """
    if any(name.startswith("tensorrt") for name in versions) or _has_library(_TENSORRT):
        return _HERE
    return Availability(
        available=False,
        reason=f"TensorRT 10 is not installed: there is no {_TENSORRT}",
        remedy="install TensorRT 10 for CUDA 13 as NVIDIA offers it; indexes have no wheels of it",
    )


def found_gpus() -> tuple[Gpu, ...]:
    """The GPUs that the driver tells of; none where it does not answer."""
    try:
        return Nvml().gpus()
    except NvmlError:
        return ()


def silent_gpus() -> tuple[int, ...]:
    """Numbers of the GPUs that the driver counts and that do not answer."""
    try:
        nvml = Nvml()
        count, answering = nvml.count(), {gpu.index for gpu in nvml.gpus()}
    except NvmlError:
        return ()
    return tuple(index for index in range(count) if index not in answering)


def _number(node: Path) -> int:
    return int("".join(filter(str.isdecimal, node.name)))


def _has_library(name: str) -> bool:
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    if any(Path(folder, name).exists() for folder in folders if folder):
        return True
    return ctypes.util.find_library(name.removeprefix("lib").partition(".so")[0]) == name
