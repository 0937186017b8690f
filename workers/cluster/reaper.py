"""Ends processes as soon as the process that asked for it is gone, however that ended.

Ray's agents outlive a killed driver by a minute, in which they try to report the death of their
raylet to a server that is dead as well.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable

import psutil


def end_with_me(pids: Iterable[int]) -> subprocess.Popen[bytes]:
    """End these processes when this one ends, or when the returned one's input is closed.

    What they have started until then ends with them. The returned process sleeps until then.
    """
    told = [f"{pid}:{began}" for pid in pids if (began := _began(pid)) is not None]
    arguments = [sys.executable, "-I", __file__, *told]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, start_new_session=True)


def _began(pid: int) -> float | None:
    """When a process began, which tells it from a later one of the same number."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return float(psutil.Process(pid).create_time())
    return None


def main() -> None:
    """Wait for the end of the input: its other end closes when its owner is gone."""
    sys.stdin.read()
    found: list[psutil.Process] = []
    for told in sys.argv[1:]:
        pid, _, began = told.partition(":")
        if _began(int(pid)) == float(began):
            process = psutil.Process(int(pid))
            found += [process, *_descendants(process)]
    for process in found:
        with contextlib.suppress(psutil.Error):
            process.kill()


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    with contextlib.suppress(psutil.Error):
        return list(process.children(recursive=True))
    return []


if __name__ == "__main__":
    main()
