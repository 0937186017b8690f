"""What leaves the farm: a folder with a model, its session and how to run it; single files.

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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from farm.errors import OptionError
from farm.model.model import TensorSpec
from farm.model.shapes import fixed_sentence
from farm.session import OpenVinoSpec, SessionSpec
from farm.text import printable

RECORD_FILE = "provenance.json"  # every delivery has it
SUMS_FILE = "SHA256SUMS"
_SUM = re.compile(r"([0-9a-f]{64})  (.+)")
MODEL_FILE, SESSION_FILE, SCRIPT_FILE = "model.onnx", "session.json", "run.py"
UNCONFIRMED_FILE = "NOT-CONFIRMED.txt"

_TEMPLATES = resources.files("farm") / "templates"
_SESSIONS = {SessionSpec: "session_onnxruntime.py", OpenVinoSpec: "session_openvino.py"}
_UNCONFIRMED = (
    "This is the best that a search had found when it was interrupted. It was not confirmed:\n"
    "neither its speed in fresh processes nor its accuracy on data the search never saw.\n"
)
# Deliveries of earlier versions have no SHA256SUMS; these are what they may hold.
_WITHOUT_SUMS = frozenset({RECORD_FILE, MODEL_FILE, SESSION_FILE, SCRIPT_FILE})
_PACKAGE_WITHOUT_SUMS = (
    *("manifest.json", "Makefile", "README.md", "*.[cha]", "*.elf"),
    *("kernels/*.[ch]", "runtime/*.[ch]", "test_vectors/*.bin"),
)


def write_delivery(  # noqa: PLR0913  (each part of what was measured)
    folder: Path,
    model: bytes,
    session: SessionSpec | OpenVinoSpec,
    inputs: Sequence[TensorSpec],
    provenance: str,
    shapes: Mapping[str, int] = MappingProxyType({}),
    *,
    confirmed: bool = True,
    callers: int = 1,
    batch: int = 1,
) -> None:
    """Write the folder beside its place and move it there: it is whole or it is not there.

    shapes: the size given to each dynamic dimension of the model, by name.
    confirmed: false for the best of a search that was interrupted, which a file says then.
    callers: how many called it at the same time where it was measured, which ``run.py`` says.
    batch: how many samples one run takes.

    An earlier delivery in its place is replaced.

    Raises OSError: the place cannot be written, the disk is full, something else is there.
    """
    files = {
        MODEL_FILE: model,
        SESSION_FILE: session.to_json().encode(),
        SCRIPT_FILE: _run_script(session, _batched(inputs, batch), shapes, callers).encode(),
        RECORD_FILE: provenance.encode(),
    }
    if not confirmed:
        files[UNCONFIRMED_FILE] = _UNCONFIRMED.encode()
    write_files(folder, files)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, given by their paths in the folder, as :func:`write_delivery` does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in {**files, SUMS_FILE: _sums(files)}.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
            if name.endswith(".elf"):
                (draft / name).chmod(0o755)  # the emulator runs nothing else
        draft.chmod(0o755)
        _take_place(draft, folder)
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


def _take_place(draft: Path, folder: Path) -> None:
    """Put a folder in its place. At no moment is neither the old one there nor the new one."""
    if not os.path.lexists(folder):
        draft.rename(folder)
        return
    if folder.is_symlink() or not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is no folder", str(folder))
    if found := stranger(folder):
        message = f"it holds {found}, which the farm did not write and does not delete"
        raise FileExistsError(errno.EEXIST, message, str(folder))
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    folder.rename(aside)
    try:
        draft.rename(folder)
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _raise(error: OSError) -> None:
    raise error


def write_file(path: Path, content: bytes) -> None:
    """Write one file beside its place and rename it: it is whole or it is not there.

    Raises OSError: the place cannot be written, the disk is full.
    """
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _batched(inputs: Sequence[TensorSpec], size: int) -> list[TensorSpec]:
    """Inputs as one run takes them; in a batch all begin with its dimension."""
    if size == 1:
        return list(inputs)
    return [replace(i, shape=(size * i.shape[0], *i.shape[1:])) for i in inputs]


def _run_script(
    session: SessionSpec | OpenVinoSpec,
    inputs: Sequence[TensorSpec],
    shapes: Mapping[str, int],
    callers: int,
) -> str:
    described = [(spec.name, tuple(spec.shape), str(spec.dtype)) for spec in inputs]
    text = (_TEMPLATES / "run.py").read_text(encoding="utf-8")
    loading = (_TEMPLATES / _SESSIONS[type(session)]).read_text(encoding="utf-8")
    text = text.replace("# SESSION\n", f"\n{loading}\n")
    text = text.replace("INPUTS = []", f"INPUTS = {described}")
    text = text.replace("CALLERS = 1", f"CALLERS = {callers}")
    return text.replace('FIXED = ""', f"FIXED = {printable(fixed_sentence(shapes))!r}")
