"""What leaves the farm: a folder with a model, its session and how to run it; single files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType

from farm.model.model import TensorSpec
from farm.model.shapes import fixed_sentence
from farm.session import SessionSpec
from farm.text import printable

_TEMPLATE = resources.files("farm") / "templates" / "run.py"


def write_delivery(
    folder: Path,
    model: bytes,
    session: SessionSpec,
    inputs: Sequence[TensorSpec],
    provenance: str,
    shapes: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Write the folder beside its place and rename it: it is whole or it is not there.

    shapes: the size given to each dynamic dimension of the model, by name.

    A folder of an earlier, interrupted invocation of the same run is replaced.

    Raises OSError: the place cannot be written, the disk is full.
    """
    files = {
        "model.onnx": model,
        "session.json": session.to_json().encode(),
        "run.py": _run_script(inputs, shapes).encode(),
        "provenance.json": provenance.encode(),
    }
    write_files(folder, files)


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files, given by their paths in the folder, as :func:`write_delivery` does."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in files.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
        draft.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


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


def _run_script(inputs: Sequence[TensorSpec], shapes: Mapping[str, int]) -> str:
    described = [(spec.name, tuple(spec.shape), str(spec.dtype)) for spec in inputs]
    text = _TEMPLATE.read_text(encoding="utf-8").replace("INPUTS = []", f"INPUTS = {described}")
    return text.replace('FIXED = ""', f"FIXED = {printable(fixed_sentence(shapes))!r}")
