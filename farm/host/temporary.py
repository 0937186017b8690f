"""Temporary folders whose owner can be told, so that those of killed programs can be cleared.

A folder is locked for as long as the process that made it uses it. One that is not locked was
left behind: ``leftovers`` finds it, whoever was killed how.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from farm.host.locks import Lock

_KEPT = "kept"
_RANDOM = 8  # characters with which a name ends
_SHORT = Path("/tmp")  # noqa: S108  (where folders are made that only their user can open)


class OwnedFolder:
    """A new folder among the temporary files, of this process until it is removed or kept.

    purpose: a lower-case word for its name. within: the longest path that it may have, in bytes;
    where the temporary folder's is too long already, it is made in ``/tmp``.

    Raises OSError where it cannot be made.
    """

    def __init__(self, purpose: str, within: int | None = None) -> None:
        base, prefix = Path(tempfile.gettempdir()), f"farm-{purpose}-{os.getuid()}-"
        if within is not None and len(os.fsencode(base / prefix)) + _RANDOM > within:
            base = _SHORT
        self.path, self._lock = owned_folder(base, prefix)

    def remove(self) -> None:
        """Remove it with all that is in it; again does nothing."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.release()

    def keep(self) -> Path:
        """Leave it to be looked at, under another name, which is returned."""
        kept = self.path.with_name(re.sub("^farm-[a-z]+", f"farm-{_KEPT}", self.path.name))
        with suppress(OSError):
            self.path = self.path.rename(kept)
        self._lock.release()
        return self.path


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """A new folder that is removed at the end. Raises OSError where it cannot be made."""
    folder = OwnedFolder(purpose)
    try:
        yield folder.path
    finally:
        folder.remove()


def owned_folder(parent: Path, prefix: str) -> tuple[Path, Lock]:
    """A new folder, and the lock on it. Raises OSError."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            lock = Lock.take(path)
        except FileNotFoundError:
            continue  # it was taken for a leftover before it was locked
        if lock.is_on(path):
            return path, lock
        lock.release()


def leftovers(*, kept: bool = False) -> Iterator[tuple[Path, Lock]]:
    """Temporary folders of this user whose processes have ended, each locked.

    kept: also those that were left to be looked at.
    """
    name = re.compile(rf"farm-([a-z]+)-{os.getuid()}-[a-z0-9_]{{{_RANDOM}}}")
    bases = {Path(tempfile.gettempdir()), _SHORT}
    for path in sorted(path for base in bases for path in base.glob("farm-*")):
        found = name.fullmatch(path.name)
        if found is None or (found[1] == _KEPT and not kept):
            continue
        if lock := free_folder(path):
            yield path, lock


def is_in_use(purpose: str) -> bool:
    """Whether a living process of this user has a temporary folder for this."""
    for path in Path(tempfile.gettempdir()).glob(f"farm-{purpose}-{os.getuid()}-*"):
        lock = Lock.take_free(path)
        if lock is None:
            return True
        lock.release()
    return False


def free_folder(path: Path) -> Lock | None:
    """The lock on a folder of this user that no living process uses; None if there is none."""
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink() and path.lstat().st_uid == os.getuid():
            return Lock.take_free(path)
    return None
