"""Energy counters: of the machine RAPL, through ``/sys/class/powercap``, and others like it.

They count a whole processor package or board, so idle power, measured on the same machine, is
subtracted. Without a counter the energy is modelled in ``farm.devices.energy`` and says so.
Which device has one is known to ``workers.meters.energy_window``.
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
from workers.protocol import EnergyCount, EnergyReading

_TIMED_SECONDS = 0.05  # of runs that are timed at once
POWERCAP = "FARM_POWERCAP"
"""The variable that names the folder of RAPL where that is not the system's own.

A container may have that of its host elsewhere.
"""
_SYSTEM_POWERCAP = "/sys/class/powercap"
NO_COUNTER = "The energy counter is not there any more."
STANDS_STILL = "The energy counter stands still: it tells nothing."
_MOVES_WITHIN = 0.1  # a hundred times what RAPL takes between two counts
_PACKAGE = "package"  # begins the name of a processor's own domain; psys holds those, too


class CounterError(Exception):
    """A counter of energy cannot be read any more. The message is a sentence."""


class EnergyCounter(Protocol):
    """A counter of energy.

    least_seconds: of what it is to count. update_seconds: between two of its counts, about.
    """

    @property
    def least_seconds(self) -> float: ...  # noqa: D102  (see above)

    @property
    def update_seconds(self) -> float: ...  # noqa: D102  (see above)

    def read(self) -> tuple[int, ...]:
        """What it says, in units of its own. Raises CounterError, NvmlError."""

    def joules_between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings."""


@dataclass(frozen=True, slots=True)
class RaplCounter:
    """The sum of the package domains of RAPL.

    domains: folders ``intel-rapl:N``; ranges: where each counter wraps around, in microjoules.
    least_seconds: 500 times the counter's update interval.
    """

    domains: tuple[Path, ...]
    ranges: tuple[int, ...]
    least_seconds: ClassVar[float] = 0.5
    update_seconds: ClassVar[float] = 1e-3

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

    def moves(self) -> bool:
        """Whether it counts: no processor draws nothing. Raises CounterError."""
        before, deadline = self.read(), time.perf_counter() + _MOVES_WITHIN
        while self.read() == before:
            if time.perf_counter() > deadline:
                return False
            time.sleep(self.update_seconds)
        return True


def find_rapl(root: Path | None = None) -> RaplCounter | None:
    """The machine's RAPL counter, or None where there is none or it may not be read.

    root: its folder, by default ``powercap()``.
    """
    found = sorted((root or powercap()).glob("intel-rapl:*"))
    domains = tuple(domain for domain in found if _is_package(domain))
    try:
        ranges = tuple(_microjoules(domain / "max_energy_range_uj") for domain in domains)
        counter = RaplCounter(domains, ranges)
        counter.read()
    except CounterError:
        return None
    return counter if domains else None


def powercap() -> Path:
    """The folder of RAPL: that of the variable ``POWERCAP``, or the system's own."""
    return Path(os.environ.get(POWERCAP) or _SYSTEM_POWERCAP)


def idle_watts(counter: EnergyCounter, seconds: float) -> float:
    """What is drawn while nothing runs here, over so many seconds. Raises CounterError."""
    before, start = _read(counter), time.perf_counter()
    time.sleep(seconds)
    return _joules_since(counter, before) / (time.perf_counter() - start)


def count_session(session: Session, counter: EnergyCounter, seconds: float) -> EnergyCount:
    """Energy of runs of a session, as many as are counted; see :func:`count_runs`.

    How many runs are timed at once is found before: those are not counted. Raises CounterError.
    """
    loops = calibrate(session, min(_TIMED_SECONDS, seconds))

    def run_for(span: float) -> int:
        deadline, runs = time.perf_counter() + span, 0
        while time.perf_counter() < deadline:
            session.timed(loops)
            runs += loops + session.untimed_runs
        return runs

    return count_runs(counter, run_for, seconds)


def count_runs(
    counter: EnergyCounter, run_for: Callable[[float], int], seconds: float
) -> EnergyCount:
    """Energy of runs that follow each other, with what the machine draws anyway.

    run_for: runs the candidate for about that many seconds and returns how often.
    seconds: of what is counted; the counter says how many it needs.

    Raises CounterError.
    """
    before, start = _read(counter), time.perf_counter()
    runs = run_for(seconds)
    elapsed = time.perf_counter() - start
    joules = _joules_since(counter, before)
    return EnergyCount(joules, max(1, runs), elapsed, counter.update_seconds)


def without_idle(count: EnergyCount, before: float, after: float) -> EnergyReading:
    """Energy of one run, the mean of two idle powers subtracted.

    before, after: watts, each measured for half as long as the runs were counted. What may be
    wrong with it is one count more or less of each reading, and half of what idle power changed.
    """
    idle, seconds = (before + after) / 2, count.seconds
    one_count = (count.joules / seconds + 2 * idle) * count.update_seconds
    error = one_count + abs(after - before) / 2 * seconds
    net = count.joules - idle * seconds
    return EnergyReading(net / count.runs, seconds, idle, error / count.runs)


def _joules_since(counter: EnergyCounter, before: tuple[int, ...]) -> float:
    """Raises CounterError, also where nothing was counted: no machine draws nothing."""
    joules = counter.joules_between(before, _read(counter))
    if joules <= 0.0:
        raise CounterError(STANDS_STILL)
    return joules


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


def _is_package(domain: Path) -> bool:
    """Whether a domain is a processor's own: not a part of one, nor the platform around it."""
    try:
        name = (domain / "name").read_text()
    except OSError:
        return False
    return domain.name.count(":") == 1 and name.startswith(_PACKAGE)
