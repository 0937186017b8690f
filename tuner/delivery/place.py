"""Where winners go, looked at before a run begins: what a run finds is never lost at its end."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from farm.delivery.files import RECORD_FILE, stranger
from farm.errors import OptionError
from farm.units import Bytes, format_bytes
from tuner.delivery.record import read_origin
from tuner.runs.start import Checked

_BESIDES_MODEL = Bytes(64 << 10)  # script, records, and the folder itself
_DRAFT = 14  # characters that a folder's name has more while it is written


def check_output(checked: Checked, run: str = "", *, force: bool = False) -> None:
    """Raise OptionError where winners could not be written or would replace something else.

    run: that is resumed, "" for a new one. Its own winners may be replaced, and those of the same
    model; with ``force`` those of other models, too. What the farm did not write stays.
    """
    given = checked.request.output
    folder = Path(given) if given else Path("runs", run)
    devices = [p.name for p in checked.profiles if (given or run) and not p.is_fake]
    try:
        place = _existing(folder)
        _require_names(folder, place)
        _require_writable(folder, place, len(checked.subject.workload.model))
        for device in devices:
            _require_free(folder.absolute() / device)
            _require_own(folder.absolute() / device, checked, run, force=force)
    except OSError as error:
        raise OptionError(
            f"The winners cannot be written to {folder} ({error.strerror or error}). Give another "
            "--output."
        ) from None


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    absolute = folder.absolute()
    place = next(p for p in (absolute, *absolute.parents) if os.path.lexists(p))
    if place.is_dir():
        return place
    what = "a link that leads nowhere" if place.is_symlink() and not place.exists() else "a file"
    raise OptionError(
        f"The winners cannot be written to {folder}, because {place} is {what}. Give another "
        "--output."
    )


def _require_writable(folder: Path, place: Path, model_bytes: int) -> None:
    try:
        tempfile.TemporaryDirectory(prefix=".farm-", dir=place).cleanup()
    except OSError as error:
        raise OptionError(
            f"The winners cannot be written to {folder}, because {place} is not writable "
            f"({error.strerror}). Give another --output."
        ) from None
    free, needed = shutil.disk_usage(place).free, model_bytes + _BESIDES_MODEL
    if free < needed:
        raise OptionError(
            f"The winners cannot be written to {folder}, because the disk there has "
            f"{format_bytes(free)} left and a winner like the model needs {format_bytes(needed)}. "
            "Make room, or give another --output."
        )


def _require_free(target: Path) -> None:
    """Raise OptionError for what a delivered folder cannot take the place of."""
    if target.is_symlink():
        raise OptionError(
            f"{target} is a symbolic link, which a winner does not replace. Remove it, or give "
            "another --output."
        )
    if not target.exists():
        return
    if target.is_dir() and target.is_mount():
        raise OptionError(
            f"{target} is where a file system is mounted, which a winner cannot replace. Mount it "
            f"at {target.parent}, or give another --output."
        )
    if not (_is_empty(target) or (target / RECORD_FILE).is_file()):
        raise OptionError(
            f"{target} is in the way of a winner, and no earlier winner: it would be replaced. "
            "Move it, or give another --output."
        )
    if not os.access(target, os.R_OK | os.W_OK | os.X_OK):
        raise OptionError(
            f"{target} is not writable, so the winner in it cannot be replaced. Give another "
            "--output."
        )
    if found := stranger(target):
        raise OptionError(
            f"{target} holds {found}, which the farm did not write and does not delete. Move it "
            "away, or give another --output."
        )


def _require_names(folder: Path, place: Path) -> None:
    """Raise OptionError for names that the file system does not take."""
    longest = os.pathconf(place, "PC_NAME_MAX") - _DRAFT
    for name in folder.absolute().relative_to(place).parts:
        if len(os.fsencode(name)) > longest:
            raise OptionError(
                f"The winners cannot be written to {folder}, because the name '{name[:40]}...' "
                f"has more than {longest} bytes. Give another --output."
            )


def _require_own(target: Path, checked: Checked, run: str, *, force: bool) -> None:
    """Raise OptionError where the winner of another model would be replaced."""
    origin = read_origin(target)
    if origin is None or force or origin.run == run:
        return
    if origin.model_sha256 != checked.subject.model.sha256:
        raise OptionError(
            f"{target} holds {origin}, which is another model. Give another --output, or --force "
            "to replace it."
        )


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())
