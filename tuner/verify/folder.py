"""``farm verify``: whether what was claimed of a delivered folder still holds, on this machine.

The files must be those that were delivered. Then the delivered model or library itself, and not
one compiled anew, races the baseline as `farm bench` does: in interleaved blocks, each in fresh
processes, and its outputs are compared with those of the original model.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from farm.codegen.package.manifest import MANIFEST_FILE
from farm.delivery.files import RECORD_FILE, SUMS_FILE, delivered_sums
from farm.devices.profile import DeviceProfile
from farm.errors import OptionError
from tuner.delivery.record import Record, read_record
from tuner.events import Listener
from tuner.verify.claim import Holds
from tuner.verify.package import Verified, verify_package
from tuner.verify.race import Race, Unjudged
from tuner.verify.verification import Verification

_UNRECORDED = (
    "It was delivered by an earlier version of the farm, which recorded no digests: whether its "
    "files are those that were delivered is unknown."
)
_UNCONFIRMED = "It is the best of a search that was interrupted, and was never confirmed."


def verify_folder(
    folder: Path,
    profiles: Mapping[str, DeviceProfile],
    listen: Listener,
    model: Path | None = None,
    data: Path | None = None,
) -> Verification:
    """Verify a delivered folder.

    model, data: files to use where those that the record names are not there.

    Raises InputError: it is no delivered folder, or not a whole one; a file that was given is
    another one. Raises CompileError: a package does not compile.
    """
    _require_delivery(folder)
    package = verify_package(folder) if (folder / MANIFEST_FILE).is_file() else None
    if not (folder / RECORD_FILE).exists():
        assert package is not None
        return _of_package(folder, package)
    record = read_record(folder)
    found = Verification(folder, Holds.YES, record=record, claimed=record.claim, package=package)
    changed, recorded = _changed(folder)
    found = replace(
        found,
        disagreements=(*changed, *(package.disagreements if package else ())),
        notes=tuple(_notes(record, package, recorded=recorded)),
    )
    if found.disagreements:
        reason = "it is not what was delivered, so it was not raced"
        return replace(found, holds=Holds.NO, reason=reason)
    try:
        return Race(found, record, profiles, listen).run(model, data)
    except Unjudged as why:
        return replace(found, holds=Holds.UNKNOWN, reason=str(why))


def _require_delivery(folder: Path) -> None:
    """Raise InputError for what is no delivered folder, or has no end."""
    if not folder.is_dir():
        raise OptionError(f"There is no folder {folder}.")
    if (folder / RECORD_FILE).exists() or (folder / MANIFEST_FILE).exists():
        return
    inner = sorted(path.parent.name for path in folder.glob(f"*/{RECORD_FILE}"))
    if inner:
        raise OptionError(
            f"{folder} holds winners of {', '.join(inner)}: give the folder of one of them, such "
            f"as {folder / inner[0]}."
        )
    read_record(folder)  # says what is missing


def _changed(folder: Path) -> tuple[list[str], bool]:
    """Which files are not those that were delivered; whether digests were recorded.

    Raises InputError: a file is missing.
    """
    sums = delivered_sums(folder)
    changed = []
    for name, digest in sorted(sums.items()):
        path = folder / name
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise OptionError(f"{folder / SUMS_FILE} is damaged: it names {name}.")
        if not os.path.lexists(path):
            raise OptionError(f"{folder} is not whole: {name} is missing.")
        if not stat.S_ISREG(path.lstat().st_mode):
            raise OptionError(f"{path} is no regular file, and nothing else was delivered.")
        with path.open("rb") as file:
            if digest and hashlib.file_digest(file, "sha256").hexdigest() != digest:
                changed.append(f"{name} is not the file that was delivered")
    return changed, all(sums.values())


def _notes(record: Record, package: Verified | None, *, recorded: bool) -> Iterator[str]:
    if not record.origin.confirmed:
        yield _UNCONFIRMED
    if not recorded:
        yield _UNRECORDED
    if package:
        yield from package.notes


def _of_package(folder: Path, package: Verified) -> Verification:
    """A package that `farm package` made, for which nothing is claimed but that it is whole."""
    holds = Holds.YES if package.agrees else Holds.NO
    return Verification(
        folder,
        holds,
        "it is a package of `farm package`, for which no speed was claimed",
        package=package,
        disagreements=package.disagreements,
        notes=package.notes,
    )
