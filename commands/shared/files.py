"""Files that commands write: looked at before anything is done, written at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from farm.errors import OptionError
from farm.host.places import is_database, write_file


def check_files(read: Mapping[str, Path], written: Mapping[str, Path | None]) -> None:
    """Find before anything is planned what could not be written.

    read: files that are only read, by what they are. written: by option. Raises OptionError.
    """
    taken = dict(read)
    for option, path in written.items():
        if path is None:
            continue
        if not path.parent.is_dir():
            raise OptionError(f"{option} {path} cannot be written: {path.parent} is no folder.")
        if not os.access(path.parent, os.W_OK):
            raise OptionError(f"{option} {path} cannot be written: {path.parent} is not writable.")
        if path.exists() and not path.is_file():
            raise OptionError(f"{option} {path} is no file that can be replaced; give another.")
        for what, other in taken.items():
            if _same(path, other):
                raise OptionError(f"{option} {path} is {what} as well; give another.")
        with said_of(path):
            if is_database(path):
                raise OptionError(f"{option} {path} is a database, such as a store; give another.")
        taken[option] = path


def model_files(model: Path) -> dict[str, Path]:
    """A model and the files of its weights, by what they are. Raises ModelError."""
    from farm.model.file import external_files

    beside = {f"the data {path.name} of the model": path for path in external_files(model)}
    return {"the model": model, **beside}


def write_files(texts: Mapping[Path, str | bytes]) -> None:
    """Write every file, whole or not at all. Raises OptionError."""
    for path, content in texts.items():
        with said_of(path):
            write_file(path, content.encode() if isinstance(content, str) else content)


@contextmanager
def said_of(path: Path) -> Iterator[None]:
    """Say which file could not be written. Raises OptionError for an OSError."""
    try:
        yield
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror or error}.") from error


def _same(one: Path, other: Path) -> bool:
    """Whether two names are of one file, be it by a link or by another way to it."""
    if os.path.realpath(one) == os.path.realpath(other):
        return True
    return one.exists() and other.exists() and one.samefile(other)
