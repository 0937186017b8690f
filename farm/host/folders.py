"""The user's folders, by the XDG base directory specification, and what ``~`` stands for."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from farm.errors import OptionError
from farm.units import Bytes


def data_folder() -> Path:
    """``$XDG_DATA_HOME/farm``, by default in ``~/.local/share``. Raises OptionError."""
    return _folder("XDG_DATA_HOME", ".local/share")


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/farm``, by default in ``~/.cache``. Raises OptionError."""
    return _folder("XDG_CACHE_HOME", ".cache")


def expanded(path: str) -> Path:
    """A path with the home folder that it begins with, if it does. Raises OptionError."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        name = path.split("/", 1)[0]
        raise OptionError(
            f"'{path}' begins with {name}, and there is no home folder of that name; write the "
            "whole path."
        ) from None


def give_home(folder: Path) -> None:
    """Let dependencies that want a home folder, as Ray does, have this one where there is none."""
    try:
        Path.home()
    except RuntimeError:
        os.environ["HOME"] = str(folder)


def folder_size(folder: Path) -> Bytes:
    """What a folder takes on disk, its folders included; files that go meanwhile do not count."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(place) / name).lstat().st_blocks * 512
    return Bytes(total)


def _folder(variable: str, default: str) -> Path:
    """The farm's folder. A relative path in the variable is ignored, as the specification asks."""
    base = os.environ.get(variable, "")
    if Path(base).is_absolute():
        return Path(base) / "farm"
    try:
        return Path.home() / default / "farm"
    except RuntimeError:
        raise OptionError(
            f"The home folder of user {os.getuid()} is unknown, so there is no place for the "
            f"farm's files; set HOME, or {variable} to a folder."
        ) from None
