"""Hashes of the files of a cache's entry, written with it, by which damage is found.

Disks lose bits, machines lose power, and tidy programs delete single files. Whatever ran into
that would look like a candidate that fails.
"""

from __future__ import annotations

import hashlib
import json
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from farm.artifact.folder import HASHES_FILE


@dataclass(frozen=True, slots=True)
class FileHash:
    """What a file was when it was written. executable: whether its owner may run it."""

    sha256: str
    executable: bool


_HASHES: TypeAdapter[dict[str, FileHash]] = TypeAdapter(dict[str, FileHash])

Stamp = tuple[tuple[str, int, int, int, int], ...]
"""Name, inode, size, mode and time of change of every file: the same while nobody wrote."""


def write_hashes(folder: Path) -> None:
    """Add the file with the hashes of all others to a folder of files. Raises OSError."""
    hashes = {name: asdict(_hashed(folder / name)) for name in _files(folder)}
    (folder / HASHES_FILE).write_text(json.dumps(hashes, indent=1), encoding="ascii")


def damage(folder: Path) -> str:
    """What is wrong with a folder that :func:`write_hashes` completed; empty if nothing is."""
    try:
        hashes = _HASHES.validate_json((folder / HASHES_FILE).read_bytes())
    except FileNotFoundError:
        return f"it has no {HASHES_FILE}"
    except (OSError, ValidationError):
        return f"its {HASHES_FILE} cannot be read"
    for name, written in hashes.items():
        try:
            found = _hashed(folder / name)
        except FileNotFoundError:
            return f"its {name} is gone"
        except OSError as error:
            return f"its {name} cannot be read: {error.strerror}"
        if found != written:
            return f"its {name} is not what was written"
    return ""


def stamp(folder: Path) -> Stamp:
    """What changes when a file of a folder is written to. Raises OSError."""
    found = ((name, (folder / name).stat()) for name in _files(folder))
    return tuple(
        # The time of the hashes is when the entry was used last; see the module ``usage``.
        (name, s.st_ino, s.st_size, s.st_mode, 0 if name == HASHES_FILE else s.st_mtime_ns)
        for name, s in found
    )


def _files(folder: Path) -> list[str]:
    """Paths in the folder, also in folders in it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in found)


def _hashed(path: Path) -> FileHash:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileHash(digest, bool(path.stat().st_mode & stat.S_IXUSR))
