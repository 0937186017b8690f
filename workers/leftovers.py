"""What runs that were killed left among the temporary files: the farm's folders, and Ray's.

Only what is this user's, is named as the farm names it, and has no living owner.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from farm.host.temporary import leftovers


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Folders that nobody uses any more. folders: of the farm. sessions: of its Ray."""

    folders: tuple[Path, ...]
    sessions: tuple[Path, ...]


def find_leftovers(*, kept: bool = False) -> Leftovers:
    """What is left. kept: also what was kept on purpose, to be looked at."""
    found = []
    for path, lock in leftovers(kept=kept):
        lock.release()
        found.append(path)
    sessions = tuple(path for path in found if path.name.startswith(f"farm-ray-{os.getuid()}-"))
    return Leftovers(tuple(path for path in found if path not in sessions), sessions)


def clear_leftovers(*, kept: bool = False) -> None:
    """Remove what is left. What cannot be removed stays."""
    for path, lock in leftovers(kept=kept):
        with lock:
            shutil.rmtree(path, ignore_errors=True)
