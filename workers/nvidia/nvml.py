"""NVML, the library of NVIDIA's driver that tells of its GPUs: all that the farm asks of it.

It comes with the driver and is called through ``nvidia-ml-py``, which is imported where it is
asked. Only the standard library is needed besides: children ask it, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_DRIVER_IS_MISSING = (
    "the NVIDIA driver is not there, or this container does not show it",
    "install the driver, or start the container with its GPUs",
)
# What the driver answers that tells nothing, by its code: what that means, and what to do.
_FAILURES: Mapping[int, tuple[str, str]] = {
    4: (
        "this user may not ask the NVIDIA driver",
        "run as a user who may open /dev/nvidiactl",
    ),
    9: _DRIVER_IS_MISSING,
    12: _DRIVER_IS_MISSING,
    18: (
        "the NVIDIA driver that runs and its library are of two versions",
        "restart the machine, so that the newer one runs",
    ),
}
_MEGA, _MILLI = 1e6, 1e-3
_SM_CLOCK = 1
# Policies whose time the driver counts, and reasons for a lower clock as they stand: see NVML's
# nvmlPerfPolicyType_t and nvmlClocksEventReasons.
_POLICIES = {"power": (0, 3), "heat": (1,), "reliability": (5,)}
_REASONS = {"power": 0x04 | 0x80, "heat": 0x08 | 0x20 | 0x40}
VISIBLE_REASONS = frozenset(_REASONS)
"""Those that the driver tells while they hold."""


class NvmlError(Exception):
    """The driver tells nothing. remedy: what would change that."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class PcieLink:
    """How a GPU is connected. lanes: of the widest link that it has here."""

    generation: int
    lanes: int

    def __str__(self) -> str:
        return f"PCIe {self.generation} x{self.lanes}"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as its driver describes it.

    index: as the driver counts, from 0. uuid: the same in every process and after every start.
    driver: its version. cuda: the newest CUDA that it runs, major and minor. link: None where the
    driver tells of none, as for a GPU that is soldered on. is_divided: into instances (MIG), each
    a GPU of its own to CUDA; then memory_bytes is 0 where only an administrator may ask for it.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int
    driver: str
    cuda: tuple[int, int]
    link: PcieLink | None
    is_divided: bool = False

    def describe(self) -> str:
        """One line for people."""
        memory = f"{self.memory_bytes / (1 << 30):.0f} GiB" if self.memory_bytes else ""
        link = str(self.link) if self.link else ""
        return ", ".join(filter(None, (self.name, memory, f"driver {self.driver}", link)))


class Nvml:
    """The library, ready to be asked. What a GPU or its driver does not tell is None.

    Raises NvmlError: there is no driver, or it does not answer.
    """

    def __init__(self) -> None:
        try:
            import pynvml  # noqa: PLC0415  (only where it is asked)
        except ImportError:
            raise NvmlError(
                "the Python package nvidia-ml-py is not installed", "pip install nvidia-ml-py"
            ) from None
        self._library: Any = pynvml
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise _failure(error) from None

    def count(self) -> int:
        """How many GPUs there are, those included that do not answer. Raises NvmlError."""
        try:
            return int(self._library.nvmlDeviceGetCount())
        except self._library.NVMLError as error:
            raise _failure(error) from None

    def gpus(self) -> tuple[Gpu, ...]:
        """All that answer, in the driver's order.

        Raises NvmlError: the driver does not say how many there are, or which CUDA it runs.
        """
        software, found = self._software(), []
        for index in range(self.count()):
            with suppress(self._library.NVMLError):
                found.append(self._gpu(index, *software))
        return tuple(found)

    def gpu(self, index: int) -> Gpu:
        """That of a number, as the driver counts. Raises NvmlError: it does not answer."""
        software = self._software()
        try:
            return self._gpu(index, *software)
        except self._library.NVMLError as error:
            unknown = (
                f"the NVIDIA GPU of number {index}, from 0, does not answer its driver: {error}",
                "look for Xid in the kernel's log (dmesg), then restart the machine",
            )
            raise NvmlError(*_FAILURES.get(error.value, unknown)) from None

    def process_memory(self, gpu: Gpu, process: int) -> int | None:
        """Bytes that a process has in a GPU's memory.

        None where the driver sees no such process, as in a container with process ids of its own.
        """
        running = self._told("nvmlDeviceGetComputeRunningProcesses", gpu) or ()
        own = (each.usedGpuMemory for each in running if each.pid == process)
        return next((int(used) for used in own if used is not None), None)

    def used_memory(self, gpu: Gpu) -> int | None:
        """Bytes of a GPU's memory that all processes together have."""
        told = self._told("nvmlDeviceGetMemoryInfo", gpu)
        return None if told is None else int(told.used)

    def joules(self, gpu: Gpu) -> float | None:
        """Energy since the driver was loaded; counted anew about every 0.1 s."""
        millijoules = self._told("nvmlDeviceGetTotalEnergyConsumption", gpu)
        return None if millijoules is None else millijoules * _MILLI

    def watts(self, gpu: Gpu) -> float | None:
        """What it draws at the moment."""
        milliwatts = self._told("nvmlDeviceGetPowerUsage", gpu)
        return None if milliwatts is None else milliwatts * _MILLI

    def clock(self, gpu: Gpu) -> float | None:
        """Hertz of its multiprocessors at the moment."""
        megahertz = self._told("nvmlDeviceGetClockInfo", gpu, _SM_CLOCK)
        return None if megahertz is None else megahertz * _MEGA

    def utilisation(self, gpu: Gpu) -> float | None:
        """The share of the last moments in which a kernel ran, 0 to 1."""
        rates = self._told("nvmlDeviceGetUtilizationRates", gpu)
        return None if rates is None else rates.gpu / 100.0

    def slowed_seconds(self, gpu: Gpu) -> dict[str, float]:
        """By reason, how long it was held below its clock since the driver was loaded.

        Reasons that the driver does not count are left out.
        """
        found: dict[str, float] = {}
        for reason, policies in _POLICIES.items():
            told = [self._told("nvmlDeviceGetViolationStatus", gpu, each) for each in policies]
            counted = [each.violationTime / 1e9 for each in told if each is not None]
            if counted:
                found[reason] = max(counted)
        return found

    def slowed_now(self, gpu: Gpu) -> tuple[str, ...]:
        """Reasons for which it is held below its clock at the moment."""
        bits = self._told("nvmlDeviceGetCurrentClocksThrottleReasons", gpu) or 0
        return tuple(reason for reason, mask in _REASONS.items() if bits & mask)

    def _software(self) -> tuple[str, tuple[int, int]]:
        """The driver's version, and the newest CUDA that it runs."""
        library = self._library
        try:
            newest = library.nvmlSystemGetCudaDriverVersion()
            return library.nvmlSystemGetDriverVersion(), (newest // 1000, newest % 1000 // 10)
        except library.NVMLError as error:
            raise _failure(error) from None

    def _gpu(self, index: int, driver: str, cuda: tuple[int, int]) -> Gpu:
        """Raises NVML's own error where it does not answer, as after it was lost."""
        library = self._library
        handle = library.nvmlDeviceGetHandleByIndex(index)
        is_divided = self._is_divided(handle)
        return Gpu(
            index,
            library.nvmlDeviceGetUUID(handle),
            library.nvmlDeviceGetName(handle),
            self._memory(handle, is_divided=is_divided),
            driver,
            cuda,
            self._link(handle),
            is_divided,
        )

    def _is_divided(self, handle: Any) -> bool:  # noqa: ANN401  (a pointer)
        """Those before Ampere have no such mode, nor have old drivers such a question."""
        try:
            now, _after_a_reset = self._library.nvmlDeviceGetMigMode(handle)
        except self._library.NVMLError:
            return False
        return bool(now)

    def _memory(self, handle: Any, *, is_divided: bool) -> int:  # noqa: ANN401  (a pointer)
        try:
            return int(self._library.nvmlDeviceGetMemoryInfo(handle).total)
        except self._library.NVMLError:
            if is_divided:
                return 0
            raise

    def _link(self, handle: Any) -> PcieLink | None:  # noqa: ANN401  (a pointer)
        try:
            return PcieLink(
                self._library.nvmlDeviceGetMaxPcieLinkGeneration(handle),
                self._library.nvmlDeviceGetMaxPcieLinkWidth(handle),
            )
        except self._library.NVMLError:
            return None

    def _told(self, question: str, gpu: Gpu, *arguments: int) -> Any:  # noqa: ANN401  (as told)
        """What the driver answers; None where it does not."""
        try:
            handle = self._library.nvmlDeviceGetHandleByIndex(gpu.index)
            return getattr(self._library, question)(handle, *arguments)
        except self._library.NVMLError:
            return None


def _failure(error: Any) -> NvmlError:  # noqa: ANN401  (NVML's, which is imported late)
    unknown = f"the NVIDIA driver does not answer: {error}", "restart it, or the machine"
    return NvmlError(*_FAILURES.get(error.value, unknown))
