"""One process at a time runs a suite, and others can see that it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from farm.errors import OptionError
from farm.host.folders import data_folder
from farm.host.locks import Lock


@contextmanager
def alone(suite: str) -> Iterator[None]:
    """Run a suite. Raises OptionError: another process does, or the lock cannot be written."""
    path = _lock(suite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise OptionError(
            f"The folder {path.parent}, where good states are kept, cannot be written: "
            f"{error.strerror}. Make it writable, or name another place by XDG_DATA_HOME."
        ) from None
    lock = Lock.take_free(path)
    if lock is None:
        raise OptionError(f"A night of suite {suite} is being run already; wait for its end.")
    with lock:
        yield


def is_running(suite: str) -> bool:
    """Whether a process of this user runs a suite at the moment."""
    path = _lock(suite)
    if not path.exists():
        return False
    lock = Lock.take_free(path)
    if lock is None:
        return True
    with lock:
        return False


def _lock(suite: str) -> Path:
    return data_folder() / "nightly" / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', suite)}.lock"
