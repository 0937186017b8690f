"""Whether something else disturbed the machine during a block.

The rule is fixed beforehand and never looks at the latencies: a block is discarded when the
hypervisor took processor time away, when runnable threads waited for a processor, or when a GPU
was held below its clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.nvidia.throttling import Slowed, ThrottleReading, ThrottleWatch

_STAT = Path("/proc/stat")
_PRESSURE = Path("/proc/pressure/cpu")
# Shares of wall time; a quiet machine shows less than a third of each.
MAX_STEAL = 0.02
MAX_PRESSURE = 0.10
# Steal is counted in ticks of 10 ms: fewer than this many say nothing about a short block.
_MIN_STEAL_TICKS = 2


@dataclass(frozen=True, slots=True)
class MachineReading:
    """Counters of the whole machine at one instant; zero where the system has none."""

    at: float
    steal_ticks: int
    pressure_seconds: float

    @classmethod
    def now(cls) -> MachineReading:
        """Read the counters."""
        return cls(time.monotonic(), _steal_ticks(), _pressure_seconds())

    def disturbed_since(self, before: MachineReading) -> str:
        """Why the time between two readings cannot be used; empty if it can."""
        seconds = max(1e-9, self.at - before.at)
        ticks = self.steal_ticks - before.steal_ticks
        ticks_per_second = os.sysconf("SC_CLK_TCK") * (os.cpu_count() or 1)
        steal = ticks / ticks_per_second / seconds
        if ticks >= _MIN_STEAL_TICKS and steal > MAX_STEAL:
            return f"the hypervisor took {steal:.0%} of the processor time"
        pressure = (self.pressure_seconds - before.pressure_seconds) / seconds
        if pressure > MAX_PRESSURE:
            return f"threads waited for a processor {pressure:.0%} of the time"
        return ""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is looked at before and after a block. gpus: that its members run on."""

    machine: MachineReading
    gpus: tuple[ThrottleReading, ...] = ()

    @classmethod
    def now(cls, gpus: Sequence[ThrottleWatch] = ()) -> Reading:
        """Read all counters."""
        return cls(MachineReading.now(), tuple(map(ThrottleReading.now, gpus)))

    def disturbed_since(self, before: Reading) -> str:
        """Why the time between two readings cannot be used; empty if it can."""
        slowed = self.slowed_since(before)
        return self.machine.disturbed_since(before.machine) or (str(slowed[0]) if slowed else "")

    def slowed_since(self, before: Reading) -> tuple[Slowed, ...]:
        """Which GPUs were held below their clocks between two readings, and why."""
        pairs = zip(self.gpus, before.gpus, strict=True)
        return tuple(each for now, earlier in pairs for each in now.slowed_since(earlier))


def _steal_ticks() -> int:
    if not _STAT.exists():
        return 0
    fields = _STAT.read_text().split("\n", 1)[0].split()
    return int(fields[8]) if len(fields) > 8 else 0


def _pressure_seconds() -> float:
    if not _PRESSURE.exists():
        return 0.0
    line = _PRESSURE.read_text().split("\n", 1)[0]
    return int(line.rsplit("total=", 1)[1]) / 1e6
