"""Artifacts that are kept: as the cache had them, and for as long as somebody wants them.

The cache loses what was not used for long, and what it compiles anew comes from the software of
today. A kept artifact lies in the farm's data, in a folder named by the hashes of its files, and
is run from there.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from farm.codegen.package.record import PROGRAMS
from farm.errors import InfrastructureError, OptionError
from farm.host.folders import data_folder, folder_size
from farm.host.temporary import free_folder, owned_folder
from farm.units import Bytes
from workers.trials.stored.hashes import damage, write_hashes

_DRAFT = ".draft-"
_FULL = {errno.ENOSPC, errno.EDQUOT}


def keep(files: Mapping[str, bytes]) -> Path:
    """Keep an artifact; its folder, whose name is its key. One that is kept already stays.

    files: by name, or path in it, as ``Executor.artifact_files`` gives them.

    Raises InfrastructureError: they cannot be written.
    """
    place = kept_folder() / _key(files)
    if kept(place.name) is not None:
        return place
    try:
        _write(place, files)
    except OSError as error:
        if kept(place.name) is not None:  # another process was quicker
            return place
        full = error.errno in _FULL
        raise InfrastructureError(
            f"An artifact cannot be kept in {place.parent}: "
            f"{'the disk is full; make room there' if full else error.strerror or error}."
        ) from None
    return place


def kept(key: str) -> Path | None:
    """The folder of a kept artifact; None where it is not there, or not as it was kept."""
    place = kept_folder() / key
    return None if damage(place) else place


def kept_folder() -> Path:
    """Where artifacts are kept. Raises OptionError: the home folder is unknown."""
    return data_folder() / "nightly" / "artifacts"


def kept_size() -> Bytes:
    """What kept artifacts take on disk."""
    try:
        return folder_size(kept_folder())
    except OptionError:
        return Bytes(0)


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    """Written beside its place and renamed, so that a folder of its name is whole."""
    place.parent.mkdir(parents=True, exist_ok=True)
    _clear(place.parent)
    draft, lock = owned_folder(place.parent, _DRAFT)
    with lock:
        try:
            for name, content in files.items():
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                (draft / name).write_bytes(content)
                if Path(name).name in PROGRAMS:
                    (draft / name).chmod(0o755)
            write_hashes(draft)
            shutil.rmtree(place, ignore_errors=True)  # what is there is damaged
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _clear(folder: Path) -> None:
    """Remove what processes that were killed left half-written."""
    for left in folder.glob(f"{_DRAFT}*"):
        if lock := free_folder(left):
            with lock:
                shutil.rmtree(left, ignore_errors=True)


def _key(files: Mapping[str, bytes]) -> str:
    """The SHA-256 over the files' names and the hashes of their content."""
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n".encode())
    return whole.hexdigest()
