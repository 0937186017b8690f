"""Peak memory of this process above a starting point, and of processes that it started.

The peak resident set is read from ``VmHWM`` and reset through ``clear_refs`` on Linux; elsewhere
``ru_maxrss`` serves, which cannot be reset, so that a peak before the start hides a lower one.
Where there is ``/proc``, nothing but the standard library is needed: a child may run in an
interpreter that has no more than an engine installed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROC = Path("/proc")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class Growth:
    """Memory of this process above what it has now."""

    def __init__(self) -> None:
        self._before, self._highest = resident(), 0
        reset_peak()

    def peak(self) -> int:
        """The most so far, in bytes."""
        return max(self._highest, peak() - self._before)

    @contextmanager
    def left_out(self) -> Iterator[None]:
        """What is done inside does not count, nor what that leaves behind."""
        self._highest, before = self.peak(), resident()
        yield
        self._before += max(0, resident() - before)
        reset_peak()


def resident() -> int:
    """Resident set of this process in bytes."""
    statm = _PROC / "self" / "statm"
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return _resident_elsewhere(None)


def reset_peak() -> None:
    """Start a new peak at the present resident set, where the system can."""
    if _CLEAR_REFS.exists():
        _CLEAR_REFS.write_text("5")


def peak(process: int | None = None) -> int:
    """Highest resident set in bytes since :func:`reset_peak`, or since the process began.

    process: another process, its id; this one by default.
    """
    status = _PROC / ("self" if process is None else str(process)) / "status"
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if process is not None:
        return _resident_elsewhere(process)
    import resource  # noqa: PLC0415  (does not exist on Windows)

    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def _resident_elsewhere(process: int | None) -> int:
    import psutil  # noqa: PLC0415  (only where the system has no /proc)

    return int(psutil.Process(process).memory_info().rss)
