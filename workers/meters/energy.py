"""Energy counters: of the machine RAPL, through ``/sys/class/powercap``, and others like it.

They count a whole processor package or board, so idle power, measured on the same machine, is
subtracted. Without a counter the energy is modelled in ``farm.devices.energy`` and says so.
Which device has one is known to ``workers.counted``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from workers.engines.session import Session
from workers.meters.latency import calibrate
from workers.nvidia.nvml import NvmlError
from workers.protocol import EnergyReading

_TIMED_SECONDS = 0.05  # of runs that are timed at once
POWERCAP = "FARM_POWERCAP"
"""The variable that names the folder of RAPL where that is not the system's own.

A container may have that of its host elsewhere.
"""
_SYSTEM_POWERCAP = "/sys/class/powercap"
NO_COUNTER = "The energy counter is not there any more."


class CounterError(Exception):
    """A counter of energy cannot be read any more. The message is a sentence."""


class EnergyCounter(Protocol):
    """A counter of energy. least_seconds: of what it is to count."""

    @property
    def least_seconds(self) -> float: ...  # noqa: D102  (see above)

    def read(self) -> tuple[int, ...]:
        """What it says, in units of its own. Raises CounterError, NvmlError."""

    def joules_between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings."""


@dataclass(frozen=True, slots=True)
class RaplCounter:
    """The sum of the package domains of RAPL.

    domains: folders ``intel-rapl:N``; ranges: where each counter wraps around, in microjoules.
    least_seconds: 500 times the counter's update interval of about 1 ms.
    """

    domains: tuple[Path, ...]
    ranges: tuple[int, ...]
    least_seconds: ClassVar[float] = 0.5

    def read(self) -> tuple[int, ...]:
        """Microjoules of each package since an arbitrary start. Raises CounterError."""
        return tuple(_microjoules(domain / "energy_uj") for domain in self.domains)

    def joules_between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings less than one wrap-around apart."""
        deltas = (
            (b - a) % span if b < a else b - a
            for a, b, span in zip(before, after, self.ranges, strict=True)
        )
        return sum(deltas) / 1e6


def find_rapl(root: Path | None = None) -> RaplCounter | None:
    """The machine's RAPL counter, or None where there is none or it may not be read.

    root: its folder, by default that of the variable ``POWERCAP``, or the system's own.
    """
    root = root or Path(os.environ.get(POWERCAP) or _SYSTEM_POWERCAP)
    domains = tuple(sorted(d for d in root.glob("intel-rapl:*") if d.name.count(":") == 1))
    try:
        ranges = tuple(_microjoules(domain / "max_energy_range_uj") for domain in domains)
        counter = RaplCounter(domains, ranges)
        counter.read()
    except CounterError:
        return None
    return counter if domains else None


def idle_watts(counter: EnergyCounter, seconds: float) -> float:
    """What is drawn while nothing runs here, over so many seconds. Raises CounterError."""
    before, start = _read(counter), time.perf_counter()
    time.sleep(seconds)
    return counter.joules_between(before, _read(counter)) / (time.perf_counter() - start)


def energy_of_session(
    session: Session, counter: EnergyCounter, seconds: float, idle: float | None = None
) -> EnergyReading:
    """Energy of one run of a session, by as many as are counted; see :func:`energy_per_run`.

    How many runs are timed at once is found before: those are not divided by. Raises CounterError.
    """
    loops = calibrate(session, min(_TIMED_SECONDS, seconds))

    def run_for(span: float) -> int:
        deadline, runs = time.perf_counter() + span, 0
        while time.perf_counter() < deadline:
            session.timed(loops)
            runs += loops + session.untimed_runs
        return runs

    return energy_per_run(counter, run_for, seconds, idle)


def energy_per_run(
    counter: EnergyCounter,
    run_for: Callable[[float], int],
    seconds: float,
    idle: float | None = None,
) -> EnergyReading:
    """Energy of one run, idle power subtracted.

    run_for: runs the candidate for about that many seconds and returns how often.
    seconds: of what is counted; the counter says how many it needs.
    idle: watts; None to measure them first, for half as long.

    Raises CounterError.
    """
    if idle is None:
        idle = idle_watts(counter, seconds / 2)
    before, start = _read(counter), time.perf_counter()
    runs = run_for(seconds)
    elapsed = time.perf_counter() - start
    total = counter.joules_between(before, _read(counter))
    joules = max(0.0, total - idle * elapsed) / max(1, runs)
    return EnergyReading(joules, elapsed, idle)


def _read(counter: EnergyCounter) -> tuple[int, ...]:
    try:
        return counter.read()
    except NvmlError as error:
        raise CounterError(f"The energy was not counted: {error.reason}.") from None


def _microjoules(file: Path) -> int:
    try:
        return int(file.read_text())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it holds no number"
        raise CounterError(f"The energy counter {file} cannot be read: {why}.") from None
