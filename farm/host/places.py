"""Folders that are written beside their place, and take it when they are whole."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def take_place(draft: Path, folder: Path) -> None:
    """Move a folder to its place, and delete the one that was there.

    At no moment is neither the old one there nor the new one.

    Raises OSError: it cannot be moved; the old one is there again.
    """
    if not os.path.lexists(folder):
        draft.rename(folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(aside)
    try:
        draft.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)
