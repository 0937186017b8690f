"""What one GPU's counters tell a process that runs on it: clock, memory, energy."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from workers.nvidia.nvml import Gpu, Nvml, NvmlError

VISIBLE = "CUDA_VISIBLE_DEVICES"
"""The variable by which CUDA is told which GPUs a process may use, by number or id."""
ORDER = "CUDA_DEVICE_ORDER"
"""The variable by which CUDA counts GPUs as their driver does, and not the fastest one first."""
_MIG = "MIG-"  # begins the id of a part of a GPU
_STEADY_SECONDS = 0.2  # the driver looks at clocks about every 20 ms
_STEADY_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class GpuEnergyCounter:
    """Energy of the whole board, memory and fans included, since the driver was loaded.

    least_seconds: of what is counted, fifty times as long as the driver takes between two counts.
    """

    nvml: Nvml
    gpu: Gpu
    least_seconds: ClassVar[float] = 5.0
    update_seconds: ClassVar[float] = 0.1

    def read(self) -> tuple[int, ...]:
        """Millijoules. Raises NvmlError: the driver tells them no longer."""
        joules = self.nvml.joules(self.gpu)
        if joules is None:
            raise NvmlError(
                "the NVIDIA driver no longer tells of the GPU's energy", "measure it again"
            )
        return (round(joules * 1e3),)

    def joules_between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings."""
        return (after[0] - before[0]) / 1e3


class GpuMeter:
    """The counters of one GPU, for the process that this is."""

    def __init__(self, nvml: Nvml, gpu: Gpu) -> None:
        self.gpu = gpu
        self._nvml = nvml
        self._clocks: deque[tuple[float, float]] = deque()
        self._used_before = nvml.used_memory(gpu)

    @classmethod
    def visible(cls) -> GpuMeter:
        """That of the first GPU that CUDA shows this process.

        Raises NvmlError: there is none, or the driver does not answer.
        """
        nvml = Nvml()
        gpus = nvml.gpus()
        first = os.environ.get(VISIBLE, "0").partition(",")[0]
        if _is_number(first) and not counts_as_the_driver(gpus):
            raise NvmlError(*of_unknown_order(first))
        gpu = _called(first, gpus)
        if gpu is None:
            raise NvmlError(
                f"no NVIDIA GPU is called '{first}', as {VISIBLE} says",
                "correct that variable; nvidia-smi -L lists the GPUs",
            )
        return cls(nvml, gpu)

    def clock(self) -> float | None:
        """Hertz at the moment; None where the driver does not tell it."""
        return self._nvml.clock(self.gpu)

    def is_at_pace(self) -> bool:
        """Whether its clock changed by at most 2 % in the last 0.2 s, as far as this was asked.

        True where the driver does not tell the clock.
        """
        clock, now = self.clock(), time.monotonic()
        if clock is None:
            return True
        self._clocks.append((now, clock))
        while len(self._clocks) > 1 and now - self._clocks[1][0] >= _STEADY_SECONDS:
            self._clocks.popleft()
        clocks = [each for _, each in self._clocks]
        long_enough = now - self._clocks[0][0] >= _STEADY_SECONDS
        return long_enough and max(clocks) - min(clocks) <= _STEADY_SHARE * max(clocks)

    def memory(self) -> tuple[int, bool] | None:
        """Bytes that this process has in the GPU's memory; None where nothing tells that.

        And whether that is by how much more all processes have there since this was made, which is
        what a driver tells that sees no single ones.
        """
        own = self._nvml.process_memory(self.gpu, os.getpid())
        if own is not None:
            return own, False
        used = self._nvml.used_memory(self.gpu)
        if used is None or self._used_before is None:
            return None
        return max(0, used - self._used_before), True

    def energy_counter(self) -> GpuEnergyCounter | None:
        """None where the GPU has no counter: those before Volta."""
        told = self._nvml.joules(self.gpu)
        return None if told is None else GpuEnergyCounter(self._nvml, self.gpu)


def visible_gpus(gpus: Sequence[Gpu]) -> tuple[Gpu, ...]:
    """Those that CUDA shows this process, in the order of its variable.

    As CUDA does, it ends at the first name that no GPU has (CUDA C++ Programming Guide, "CUDA
    Environment Variables"). Numbers are taken as the driver's, which they may not be: see
    :func:`numbers_are_clear`. Parts of GPUs (MIG) hide none.
    """
    told = os.environ.get(VISIBLE)
    if told is None or _MIG in told:
        return tuple(gpus)
    named = (_called(name.strip(), gpus) for name in told.split(","))
    return tuple(gpu for gpu in itertools.takewhile(lambda gpu: gpu is not None, named) if gpu)


def counts_as_the_driver(gpus: Sequence[Gpu]) -> bool:
    """Whether CUDA counts the GPUs of this machine as their driver does.

    By itself it counts the fastest one first; of one kind none is faster.
    """
    return os.environ.get(ORDER) == "PCI_BUS_ID" or len({gpu.name for gpu in gpus}) <= 1


def numbers_are_clear(gpus: Sequence[Gpu]) -> bool:
    """Whether it is known which GPUs CUDA's variable names.

    So it is where it names all of them, or ids; nobody tells how CUDA finds the fastest one.
    """
    has_numbers = any(map(_is_number, os.environ.get(VISIBLE, "").split(",")))
    are_all = set(visible_gpus(gpus)) == set(gpus)
    return not has_numbers or are_all or counts_as_the_driver(gpus)


def of_unknown_order(told: str) -> tuple[str, str]:
    """Why it is not known which GPU a number is, and what would change that."""
    reason = (
        f"nobody tells which GPU {VISIBLE} means by '{told}': CUDA counts the fastest one first"
    )
    remedy = (
        f"set {ORDER}=PCI_BUS_ID, by which it counts as the driver does, or name GPUs by the ids"
    )
    return reason, f"{remedy} that nvidia-smi -L lists"


def _is_number(name: str) -> bool:
    return name.strip().isdecimal()


def _called(name: str, gpus: Iterable[Gpu]) -> Gpu | None:
    """The GPU of this number or id, whose beginning is enough."""
    found = (g for g in gpus if str(g.index) == name or (name and g.uuid.startswith(name)))
    return next(found, None)
