"""Energy counters: of the machine RAPL, through ``/sys/class/powercap``, and others like it.

They count a whole processor package or board, so idle power, measured on the same machine, is
subtracted. Without a counter the energy is modelled in ``farm.devices.energy`` and says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

from workers.engines.session import Session
from workers.meters.latency import calibrate
from workers.protocol import EnergyReading

_TIMED_SECONDS = 0.05  # of runs that are timed at once
POWERCAP = Path("/sys/class/powercap")


class EnergyCounter(Protocol):
    """A counter of energy. least_seconds: of what it is to count."""

    @property
    def least_seconds(self) -> float: ...  # noqa: D102  (see above)

    def read(self) -> tuple[int, ...]:
        """What it says, in units of its own."""

    def joules_between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings."""


@dataclass(frozen=True, slots=True)
class RaplCounter:
    """The sum of the package domains of RAPL.

    domains: folders ``intel-rapl:N``; ranges: where each counter wraps around, in microjoules.
    least_seconds: nothing against the counter's update interval of about 1 ms.
    """

    domains: tuple[Path, ...]
    ranges: tuple[int, ...]
    least_seconds: ClassVar[float] = 0.0

    def read(self) -> tuple[int, ...]:
        """Microjoules of each package since an arbitrary start."""
        return tuple(int((d / "energy_uj").read_text()) for d in self.domains)

    def joules_between(self, before: tuple[int, ...], after: tuple[int, ...]) -> float:
        """Energy between two readings less than one wrap-around apart."""
        deltas = (
            (b - a) % span if b < a else b - a
            for a, b, span in zip(before, after, self.ranges, strict=True)
        )
        return sum(deltas) / 1e6


def find_rapl(root: Path = POWERCAP) -> RaplCounter | None:
    """The machine's RAPL counter, or None where there is none or it may not be read."""
    domains = tuple(sorted(d for d in root.glob("intel-rapl:*") if d.name.count(":") == 1))
    try:
        ranges = tuple(int((d / "max_energy_range_uj").read_text()) for d in domains)
        counter = RaplCounter(domains, ranges)
        counter.read()
    except OSError:
        return None
    return counter if domains else None


def energy_of_session(session: Session, counter: EnergyCounter, seconds: float) -> EnergyReading:
    """Energy of one run of a session, by as many as are counted; see :func:`energy_per_run`.

    How many runs are timed at once is found before: those are not divided by.
    """
    loops = calibrate(session, min(_TIMED_SECONDS, seconds))

    def run_for(span: float) -> int:
        deadline, runs = time.perf_counter() + span, 0
        while time.perf_counter() < deadline:
            session.timed(loops)
            runs += loops + session.untimed_runs
        return runs

    return energy_per_run(counter, run_for, seconds)


def energy_per_run(
    counter: EnergyCounter,
    run_for: Callable[[float], int],
    seconds: float = 1.0,
) -> EnergyReading:
    """Energy of one run, idle power subtracted, which is measured first, for half as long.

    run_for: runs the candidate for about that many seconds and returns how often.
    seconds: at least; a counter that is read seldom needs more.
    """
    seconds = max(seconds, counter.least_seconds)
    before, start = counter.read(), time.perf_counter()
    time.sleep(seconds / 2)
    idle_watts = counter.joules_between(before, counter.read()) / (time.perf_counter() - start)
    before, start = counter.read(), time.perf_counter()
    runs = run_for(seconds)
    elapsed = time.perf_counter() - start
    total = counter.joules_between(before, counter.read())
    joules = max(0.0, total - idle_watts * elapsed) / max(1, runs)
    return EnergyReading(joules, elapsed, idle_watts)
