"""Looks whether there is room for a run before it starts, where a full disk would only show late.

Ray waits a minute and a half for servers that could not write, and compilers word a full disk
freely.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from farm.errors import InfrastructureError
from farm.units import Bytes, format_bytes
from workers.leftovers import clear_leftovers
from workers.trials.stored.usage import COPIES, cache_limit

LEAST_ROOM = Bytes(64 << 20)
_VARIABLES = ("TMPDIR", "TEMP", "TMP")  # in the order in which Python looks at them


def make_room(cache: Path, model: Path | None = None) -> None:
    """Clear what killed runs left, and check that this one can write 64 MiB and its model.

    model: that is compiled, if it is known.

    Raises InfrastructureError: a folder cannot be written, or its disk is full. Raises
    OptionError: the limit of the cache cannot be understood.
    """
    cache_limit()
    needed = COPIES * model.stat().st_size if model is not None and model.is_file() else 0
    _check(_temporary_folder(), "The temporary folder", "TMPDIR", needed)
    _check(cache, "The cache folder", "XDG_CACHE_HOME", needed)
    clear_leftovers()


def _temporary_folder() -> Path:
    """The folder that the user chose. Python falls back to another one without a word."""
    for name in _VARIABLES:
        if chosen := os.environ.get(name):
            return Path(chosen)
    try:
        return Path(tempfile.gettempdir())
    except OSError as error:
        raise InfrastructureError(
            f"There is no folder for temporary files ({error.strerror}); make room, or name one "
            "by TMPDIR."
        ) from None


def _check(folder: Path, what: str, variable: str, needed: int) -> None:
    remedy = f"name another one by {variable}."
    place = next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())
    if what.startswith("The temporary") and place != folder.absolute():
        raise InfrastructureError(f"{what} {folder} does not exist; make it, or {remedy}")
    try:
        _check_size(folder, place, what, LEAST_ROOM + needed, remedy)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"farm")
    except OSError as error:
        raise InfrastructureError(
            f"{what} {folder} cannot be written ({error.strerror}); make it writable, or {remedy}"
        ) from None


def _check_size(folder: Path, place: Path, what: str, needed: int, remedy: str) -> None:
    disk = os.statvfs(place)
    free = disk.f_bavail * disk.f_frsize
    if free < needed:
        raise InfrastructureError(
            f"{what} {folder} has {format_bytes(free)} left on its disk, and "
            f"{format_bytes(needed)} are needed; make room there, or {remedy}"
        )
    if disk.f_files and not disk.f_favail:
        raise InfrastructureError(
            f"{what} {folder} is on a disk that can take no more files, though it has "
            f"{format_bytes(free)} left; remove some, or {remedy}"
        )
