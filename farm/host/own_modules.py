"""Keeps the farm's own packages in front of a user's modules of the same names.

Python looks along PYTHONPATH before it looks where packages are installed, so that a user's
``workers.py`` or ``db.py`` there would be taken for the farm's. Only the farm's own names are
bound to their place; the order of everything else stays as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
_PACKAGES = ("commands", "db", "farm", "reports", "tuner", "workers")
_NAMES = frozenset(("cli", *_PACKAGES))


class _OwnModules:
    """Finds the farm's top-level modules in the folder that this one comes from."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's place; None for modules that are not the farm's."""
        if path is not None or name not in _NAMES:
            return None
        return PathFinder.find_spec(name, [str(ROOT)], target)


def put_first() -> None:
    """From now on in this process the farm's names mean the farm's modules; again is harmless."""
    if _OwnModules not in sys.meta_path:
        sys.meta_path.insert(0, _OwnModules)


def link_into(folder: Path) -> None:
    """Fill a folder with links to the farm's packages, to be first on another's PYTHONPATH.

    For processes whose start is not the farm's, so that ``put_first`` would come too late.
    """
    for name in _PACKAGES:
        (folder / name).symlink_to(ROOT / name, target_is_directory=True)
