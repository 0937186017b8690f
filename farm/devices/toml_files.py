"""TOML files that describe one thing each: those that come with the farm, then the user's."""

from __future__ import annotations

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from farm.errors import DeviceError

_T = TypeVar("_T")


def parse_toml(adapter: TypeAdapter[_T], text: str, what: str) -> _T:
    """Read one description from TOML text; ``what`` names the text in messages.

    Raises DeviceError: not TOML, a missing or unknown key, a wrong value.
    """
    try:
        return adapter.validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DeviceError(f"{what} is not valid TOML: {error}.") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the top level"
        raise DeviceError(f"{what}: at {where}: {first['msg']}.") from None


def read_toml_files(room: str, folder: Path | None, kind: str) -> list[tuple[str, str]]:
    """Name and text of every file of a folder of ``farm.devices``, then of every file of a folder.

    kind: what the files are, for messages. Raises DeviceError for a file that cannot be read.
    """
    texts = [
        (f"{kind} {entry.name}", entry.read_text(encoding="utf-8"))
        for entry in sorted((resources.files("farm.devices") / room).iterdir(), key=_name)
        if entry.name.endswith(".toml")
    ]
    if folder is not None and folder.is_dir():
        paths = sorted(folder.glob("*.toml"))
        texts += [(f"{kind} {path}", _read(path, kind)) for path in paths]
    return texts


def _name(entry: Traversable) -> str:
    return entry.name


def _read(path: Path, kind: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DeviceError(f"{kind} {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise DeviceError(f"{kind} {path} cannot be read: it is not text in UTF-8.") from None
