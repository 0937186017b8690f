"""A stand-in for RAPL: a powercap tree in a folder, whose counters tests move on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_IDLE_WATTS, _BUSY_WATTS = 10.0, 40.0
_MOVED_EVERY = 0.01


class FakeRapl:
    """A powercap tree in a folder; ``spend`` moves its counters on."""

    span = 1_000_000_000  # microjoules until a counter wraps around

    def __init__(self, root: Path, packages: int = 2) -> None:
        self.packages = [root / f"intel-rapl:{i}" for i in range(packages)]
        parts = [root / "intel-rapl:0:0"]  # a part of package 0: not to be counted twice
        for domain in (*self.packages, *parts):
            domain.mkdir(parents=True)
            (domain / "energy_uj").write_text(f"{self.span - 100_000}\n")
            (domain / "name").write_text("package-0\n" if domain in self.packages else "core\n")
            (domain / "max_energy_range_uj").write_text(f"{self.span}\n")
        self.root = root

    def spend(self, microjoules: int) -> None:
        for package in self.packages:
            file, new = package / "energy_uj", package / "new"
            new.write_text(str((int(file.read_text()) + microjoules) % self.span))
            new.replace(file)  # at once: nobody reads half a number

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count 10 W always, and 40 W more for each processor second of this process's children.

        Of each package.
        """
        ends = threading.Event()
        thread = threading.Thread(target=self._count, args=(ends,))
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    def _count(self, ends: threading.Event) -> None:
        told, busy = time.monotonic(), _children_seconds()
        while not ends.wait(_MOVED_EVERY):
            now, own = time.monotonic(), _children_seconds()
            joules = _IDLE_WATTS * (now - told) + _BUSY_WATTS * max(0.0, own - busy)
            self.spend(round(joules * 1e6))
            told, busy = now, own


def _children_seconds() -> float:
    total = 0.0
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:  # it ended meanwhile
            continue
        total += times.user + times.system
    return total
