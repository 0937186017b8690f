"""Files that commands write: looked at before anything is done, written at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from farm.errors import OptionError


def check_files(read: Mapping[str, Path], written: Mapping[str, Path | None]) -> None:
    """Find before anything is planned what could not be written.

    read: files that are only read, by what they are. written: by option. Raises OptionError.
    """
    taken = {os.path.realpath(path): what for what, path in read.items()}
    for option, path in written.items():
        if path is None:
            continue
        if not path.parent.is_dir():
            raise OptionError(f"{option} {path} cannot be written: {path.parent} is no folder.")
        if not os.access(path.parent, os.W_OK):
            raise OptionError(f"{option} {path} cannot be written: {path.parent} is not writable.")
        if path.exists() and not path.is_file():
            raise OptionError(f"{option} {path} is no file that can be replaced; give another.")
        place = os.path.realpath(path)
        if place in taken:
            raise OptionError(f"{option} {path} is {taken[place]} as well; give another.")
        taken[place] = option


def write_files(texts: Mapping[Path, str | bytes]) -> None:
    """Write every file, whole or not at all. Raises OptionError."""
    from farm.delivery.files import write_file

    for path, content in texts.items():
        try:
            write_file(path, content.encode() if isinstance(content, str) else content)
        except OSError as error:
            raise OptionError(f"{path} cannot be written: {error.strerror}.") from error
