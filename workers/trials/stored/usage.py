"""Who uses which entries of a cache, and when each was used last; eviction by that.

A process that uses a cache has a file in its ``users`` folder, locked while the process lives,
with the entries it took: nobody evicts those. Everything that takes an entry away, or says that
it is used, holds the lock on the file ``lock`` for that moment.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from farm.artifact.folder import HASHES_FILE
from farm.errors import OptionError
from farm.host.folders import folder_size
from farm.host.locks import Lock
from farm.host.temporary import free_folder, owned_folder
from farm.units import Bytes, parse_bytes

COPIES = 3
"""Of a model, which compiling writes: what a pass saves, what it loads again, the artifact."""

KINDS = ("workloads", "references", "artifacts")
DRAFT = ".draft-"
_USERS = "users"
_LIMIT_VARIABLE = "FARM_CACHE_LIMIT"
_DEFAULT_LIMIT = "20GiB"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a cache. size: bytes on disk. used: when it was last taken, Unix time."""

    path: Path
    size: Bytes
    used: float


class Usage:
    """The entries that one process uses."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._file: Path | None = None
        self._lock: Lock | None = None
        self._noted: set[Path] = set()

    def note(self, entry: Path) -> None:
        """Say that an entry is used from now on. Raises OSError."""
        with suppress(OSError):
            os.utime(entry / HASHES_FILE)
        if entry in self._noted:
            return
        with locked(self._root):
            if self._file is None:
                self._file, self._lock = _new_user(self._root)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{entry.relative_to(self._root).as_posix()}\n")
        self._noted.add(entry)

    def end(self) -> None:
        """Say that nothing is used any more; again does nothing."""
        if self._file is not None and self._lock is not None:
            self._file.unlink(missing_ok=True)
            self._lock.release()
            self._file, self._lock = None, None
        self._noted.clear()


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Be the only process that takes entries of a cache away, or into use. Raises OSError."""
    (root / _USERS).mkdir(parents=True, exist_ok=True)
    (root / "lock").touch()
    with Lock.take(root / "lock"):
        yield


def cache_limit() -> Bytes:
    """What the entries of a cache may take when a run starts. Raises OptionError."""
    text = os.environ.get(_LIMIT_VARIABLE) or _DEFAULT_LIMIT
    try:
        return parse_bytes(text)
    except OptionError as error:
        raise OptionError(f"{_LIMIT_VARIABLE}: {error}") from None


def entries(root: Path) -> list[Entry]:
    """The entries of a cache, those first that were used longest ago."""
    found = (path for kind in KINDS for path in _folders(root / kind) if not _is_draft(path))
    return sorted((_entry(path) for path in found), key=lambda entry: (entry.used, entry.path))


def drafts(root: Path) -> Iterator[tuple[Path, Lock]]:
    """What processes that were killed left half-written, each locked."""
    places = (root, *(root / kind for kind in KINDS))
    for path in (path for place in places for path in _folders(place) if _is_draft(path)):
        if lock := free_folder(path):
            yield path, lock


def in_use(root: Path) -> set[Path]:
    """The entries that living processes use. Raises OSError."""
    if not root.is_dir():
        return set()
    with locked(root):
        return _in_use(root)


def evict(root: Path, limit: Bytes) -> Bytes:
    """Remove entries, the longest unused first, until the rest is within a limit; what was freed.

    An entry that a living process uses stays. Raises OSError.
    """
    for draft, lock in drafts(root):
        with lock:  # else it may come into use before it is gone
            shutil.rmtree(draft, ignore_errors=True)
    known = entries(root)
    excess = sum(entry.size for entry in known) - limit
    freed, trash = 0, []
    with locked(root):
        used = _in_use(root)
        for entry in known:
            if freed >= excess:
                break
            if entry.path not in used:
                trash.append(moved_away(entry.path))
                freed += entry.size
    for folder in trash:
        shutil.rmtree(folder, ignore_errors=True)
    return Bytes(freed)


def moved_away(entry: Path) -> Path:
    """A folder for the rubbish beside an entry, with the entry in it. Raises OSError.

    Moved before it is removed, so that nobody meets half of it; what has its files open keeps
    them.
    """
    trash, lock = owned_folder(entry.parent, DRAFT)
    with lock, suppress(FileNotFoundError):
        entry.rename(trash / entry.name)
    return trash


def _in_use(root: Path) -> set[Path]:
    """The same, for who has the lock; files of processes that ended are removed."""
    used: set[Path] = set()
    for file in _listed(root / _USERS):
        if lock := Lock.take_free(file):
            file.unlink(missing_ok=True)
            lock.release()
        else:
            with suppress(OSError):
                used |= {root / line for line in file.read_text(encoding="utf-8").splitlines()}
    return used


def _new_user(root: Path) -> tuple[Path, Lock]:
    descriptor, name = tempfile.mkstemp(dir=root / _USERS)
    os.close(descriptor)
    return Path(name), Lock.take(Path(name))


def _entry(path: Path) -> Entry:
    used = 0.0
    for timed in (path / HASHES_FILE, path):
        with suppress(OSError):
            used = timed.stat().st_mtime
            break
    return Entry(path, folder_size(path), used)


def _is_draft(path: Path) -> bool:
    return path.name.startswith(DRAFT)


def _folders(folder: Path) -> list[Path]:
    return [path for path in _listed(folder) if path.is_dir() and not path.is_symlink()]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
