"""Writes folders that leave the farm: each is whole or it is not there.

A delivered folder has ``SHA256SUMS`` of all that the farm wrote there, as ``sha256sum -c`` reads
it. What a folder holds besides is its owner's, and is not deleted.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from farm.errors import OptionError
from farm.host.places import take_place

RECORD_FILE = "provenance.json"  # every delivery has it
SUMS_FILE = "SHA256SUMS"
_SUM = re.compile(r"([0-9a-f]{64})  (.+)")
MODEL_FILE, SESSION_FILE, SCRIPT_FILE = "model.onnx", "session.json", "run.py"

# Deliveries of earlier versions have no SHA256SUMS; these are what they may hold.
_WITHOUT_SUMS = frozenset({RECORD_FILE, MODEL_FILE, SESSION_FILE, SCRIPT_FILE})
_PACKAGE_WITHOUT_SUMS = (
    *("manifest.json", "Makefile", "README.md", "*.[cha]", "*.elf"),
    *("kernels/*.[ch]", "runtime/*.[ch]", "test_vectors/*.bin"),
)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the folder beside its place and move it there: it is whole or it is not there.

    files: by their paths in the folder. An earlier delivery in its place is replaced.

    Raises OSError: the place cannot be written, the disk is full, something else is there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in {**files, SUMS_FILE: _sums(files)}.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
            if name.endswith((".elf", "/runner")):  # the second one in a part of a pipeline
                (draft / name).chmod(0o755)  # the emulator runs nothing else
        draft.chmod(0o755)
        _require_own(folder)
        take_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def stranger(folder: Path) -> str:
    """The first thing in a delivered folder that the farm did not write; "" if there is none.

    Raises OSError: it is no folder, or it cannot be read.
    """
    known = delivered_sums(folder).keys() | {SUMS_FILE}
    for place, inner, names in os.walk(folder, onerror=_raise):
        links = [name for name in inner if Path(place, name).is_symlink()]
        for name in sorted([*names, *links]):
            relative = (Path(place, name).relative_to(folder)).as_posix()
            made = f"{relative.removesuffix('.o')}.c"  # what `make` leaves of a package
            if not (relative in known or (relative.endswith(".o") and made in known)):
                return relative
    return ""


def delivered_sums(folder: Path) -> dict[str, str]:
    """SHA-256 of what was delivered in a folder, by path in it; "" where none was recorded.

    Raises OSError: it cannot be read. Raises OptionError: a line of it is not what was written.
    """
    try:
        text = (folder / SUMS_FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return dict.fromkeys(_unrecorded(folder), "")
    sums: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        found = _SUM.fullmatch(line)
        if found is None:
            raise OptionError(
                f"{folder / SUMS_FILE} is damaged: its line {number} is not a digest and a name."
            )
        sums[found[2]] = found[1]
    return sums


def _unrecorded(folder: Path) -> Iterator[str]:
    """What an earlier version delivered there, by its usual names."""
    if not (folder / RECORD_FILE).is_file():
        return
    yield from _WITHOUT_SUMS
    if (folder / "manifest.json").is_file():
        for pattern in _PACKAGE_WITHOUT_SUMS:
            yield from (path.relative_to(folder).as_posix() for path in folder.glob(pattern))


def _sums(files: Mapping[str, bytes]) -> bytes:
    rows = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(rows).encode()


def _require_own(folder: Path) -> None:
    """Raise OSError for what is in a delivery's place and is none of the farm's own."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", str(folder))
    if found := stranger(folder):
        message = f"it holds {found}, which the farm did not write and does not delete"
        raise FileExistsError(errno.EEXIST, message, str(folder))


def _raise(error: OSError) -> None:
    raise error
