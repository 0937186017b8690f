"""What the worker tests ask of the system: which children live, and for a small disk."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest


def children() -> set[int]:
    """Ids of this process's living descendants that are children of workers."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        try:
            if any(part.endswith("child/main.py") for part in process.cmdline()):
                found.add(process.pid)
        except psutil.Error:
            continue
    return found


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether it holds before the time is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return holds()


def runs(pid: int) -> bool:
    """Whether a process lives and is no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def fill_disk(disk: Path) -> None:
    """Write until a disk is full."""
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@contextmanager
def small_disk(folder: Path, size: str = "1m") -> Iterator[Path]:
    """A file system with hardly any room; skips the test where mounting is not allowed."""
    place = folder / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)
