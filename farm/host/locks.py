"""Locks on files and folders that say whether whoever made them still lives.

The system takes a lock back however its process ends, which no process id written to a file can
promise: ids are given again, and mean nothing in another container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self


class Lock:
    """The lock on a file or folder, held until it is released or this process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path) -> Self:
        """The lock on what is there; waits while another process has it.

        Where the file system knows no locks, nobody else can take it either. Raises OSError.
        """
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return cls(descriptor)

    @classmethod
    def take_free(cls, path: Path) -> Self | None:
        """The lock, or None: somebody has it, it is not there, or it cannot be told."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    @classmethod
    def share(cls, path: Path) -> Self | None:
        """A lock that others can share, and that keeps it from being taken; None as above."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:  # the file system knows no locks: nobody can take it either
            return cls(descriptor)
        return cls(descriptor)

    def is_on(self, path: Path) -> bool:
        """Whether what lies at the path is what is locked, and not removed or replaced."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), path.lstat())
        except OSError:
            return False

    def release(self) -> None:
        """Give it back; again does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        """The lock itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self.release()
