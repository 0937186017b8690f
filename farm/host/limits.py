"""What this process may use of the machine: in a container, less than the machine has.

A control group limits itself and all below it, so the limit of a process is the least on the way
from its group up to the root. Linux has two versions of them, with files of other names.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from farm.units import Bytes

_ROOT = Path("/")
_NO_LIMIT = 1 << 60  # version 1 has no word for none: it says nearly 2^63


def processors(root: Path = _ROOT) -> int:
    """How many threads of this process can run at a time.

    Of a quota, whole processors count: more threads than that use it up before its period (most
    often 100 ms) ends, and then all of them stand still until the next one begins. One run would
    take several times as long as another, which spoils every measurement and helps no deployment.
    So a quota of 1.5 is one processor, and so is one of 0.5.

    root: where ``proc`` and ``sys`` are.
    """
    affinity = hasattr(os, "sched_getaffinity")
    allowed = len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1
    quota = processor_quota(root)
    return allowed if quota is None else max(1, min(allowed, math.floor(quota)))


def processor_quota(root: Path = _ROOT) -> float | None:
    """Processors' time per time that a control group grants; None where it grants all."""
    quotas = [_quota(folder) for folder in _groups(root, "cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def memory_limit(root: Path = _ROOT) -> Bytes | None:
    """The most memory that a control group grants; None where it grants all."""
    names = ("memory.max", "memory.limit_in_bytes")
    found = [_number(folder / name) for folder in _groups(root, "memory") for name in names]
    limits = [Bytes(limit) for limit in found if limit is not None and limit < _NO_LIMIT]
    return min(limits, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control groups, each with those above it.

    A folder may not exist: in a container the path may be the host's, while the container's own
    group is what is mounted at the top.
    """
    mounts = root / "sys" / "fs" / "cgroup"
    for line in _text(root / "proc" / "self" / "cgroup").splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controller in controllers.split(","):
            tops = {mounts / controller, mounts / controllers}
        elif not controllers:
            tops = {mounts}
        else:
            continue
        group = PurePosixPath("." + path)
        for top in tops:
            yield from (top / part for part in (group, *group.parents) if ".." not in part.parts)


def _quota(folder: Path) -> float | None:
    quota, _, period = _text(folder / "cpu.max").partition(" ")
    if not quota:
        quota, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    with contextlib.suppress(ValueError, ZeroDivisionError):  # "max" is no limit
        share = int(quota) / int(period)
        return share if share > 0 else None
    return None


def _number(path: Path) -> int | None:
    with contextlib.suppress(ValueError):  # "max" is no limit
        return int(_text(path))
    return None


def _text(path: Path) -> str:
    """Empty where it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(encoding="ascii", errors="replace").strip()
    return ""
