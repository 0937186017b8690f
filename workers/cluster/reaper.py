"""Ends processes as soon as the process that asked for it is gone, however that ended.

Ray's agents outlive a killed driver by a minute, in which they try to report the death of their
raylet to a server that is dead as well.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterable


def end_with_me(pids: Iterable[int]) -> subprocess.Popen[bytes]:
    """End these processes when this one ends, or when the returned one's input is closed.

    The returned process sleeps until then.
    """
    arguments = [sys.executable, "-I", __file__, *map(str, pids)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, start_new_session=True)


def main() -> None:
    """Wait for the end of the input: its other end closes when its owner is gone."""
    sys.stdin.read()
    for pid in sys.argv[1:]:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    main()
