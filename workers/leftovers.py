"""What runs that were killed left among the temporary files: the farm's folders, and Ray's.

Only what is this user's, is named as the farm names it, and has no living owner.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from farm.temporary import free_folder, leftovers

_SESSION = re.compile(r"session_(\d{4}-\d{2}-\d{2}_\d{2}-\d{2}-\d{2})_\d+_(\d+)")
_SECONDS_TO_START = 60.0
_ANSWER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Folders that nobody uses any more. folders: of the farm. sessions: of Ray."""

    folders: tuple[Path, ...]
    sessions: tuple[Path, ...]


def find_leftovers(*, kept: bool = False) -> Leftovers:
    """What is left. kept: also what was kept on purpose, to be looked at."""
    folders = []
    for path, lock in leftovers(kept=kept):
        lock.release()
        folders.append(path)
    return Leftovers(tuple(folders), tuple(_dead_sessions()))


def clear_leftovers(*, kept: bool = False) -> None:
    """Remove what is left. What cannot be removed stays."""
    for path, lock in leftovers(kept=kept):
        with lock:
            shutil.rmtree(path, ignore_errors=True)
    for path in _dead_sessions():
        shutil.rmtree(path, ignore_errors=True)


def ray_folders() -> list[Path]:
    """Where the farm lets Ray keep files: among the temporary files, or where paths are short.

    Other Rays of this user have folders of their own.
    """
    bases = {Path(tempfile.gettempdir()), Path("/tmp")}  # noqa: S108  (only looked into)
    return [base / f"farm-ray-{os.getuid()}" for base in sorted(bases)]


def _dead_sessions() -> Iterator[Path]:
    """Folders of Ray's sessions that no process serves, and what their starts left."""
    for folder in ray_folders():
        if (lock := free_folder(folder)) is None:
            continue
        lock.release()
        inside = [path for path in sorted(folder.iterdir()) if not path.is_symlink()]
        sessions = [path for path in inside if _SESSION.fullmatch(path.name)]
        dead = [path for path in sessions if not _is_served(path)]
        yield from dead
        if len(dead) == len(sessions):  # else they may belong to one that lives
            yield from (p for p in inside if p.name.startswith("modules-") and not _is_new(p))


def _is_served(session: Path) -> bool:
    """Whether the driver of a session lives, or one of its servers answers, or may soon."""
    found = _SESSION.fullmatch(session.name)
    assert found is not None
    with suppress(psutil.Error, OSError):
        # An id may be another process's by now, which began after the session.
        if psutil.Process(int(found[2])).create_time() <= _began(found[1]):
            return True
    sockets = list((session / "sockets").glob("*"))
    return any(map(_answers, sockets)) or (not sockets and _is_new(session))


def _began(stamp: str) -> float:
    """When a session of this name began, Unix time; a second later at most."""
    return time.mktime(time.strptime(stamp, "%Y-%m-%d_%H-%M-%S")) + 1.0


def _answers(path: Path) -> bool:
    with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_ANSWER_SECONDS)
        client.connect(str(path))
        return True
    return False


def _is_new(path: Path) -> bool:
    with suppress(OSError):
        return time.time() - path.lstat().st_mtime < _SECONDS_TO_START
    return False
