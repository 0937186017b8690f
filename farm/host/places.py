"""Folders and files that are written beside their place, and take it when they are whole."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_DATABASE = b"SQLite format 3\0"  # what its file begins with


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


def is_database(path: Path) -> bool:
    """Whether there is an SQLite database, such as a store. Raises OSError: it cannot be read."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_DATABASE)) == _DATABASE


def write_file(path: Path, content: bytes) -> None:
    """Write one file: it is whole, or what was there before.

    Raises OSError: see ``draft_of``.
    """
    with draft_of(path) as file:
        file.write(content)


@contextmanager
def draft_of(path: Path) -> Iterator[BinaryIO]:
    """A file beside a place that is moved there once all is written, and else is gone.

    Raises OSError: the place cannot be written, the disk is full, or a database is there, which
    nothing but what knows it may replace.
    """
    if is_database(path):
        raise FileExistsError(errno.EEXIST, "it is a database, such as a store", str(path))
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)
