"""Writes packages: generated C with everything that is needed to build, test and call it.

A package folder has ``model.c model.h weights.c weights.h kernels/ runtime/ Makefile
manifest.json README.md test_vectors/`` and the compiled ``libmodel.a``, for a Hexagon also
``model.elf``. It is written beside its place and renamed: it is whole or it is not there.
What a folder holds that is none of this is its owner's, and is neither compiled nor deleted.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from farm.codegen.build.compilers import Compiler, Target
from farm.codegen.build.toolchain import (
    Library,
    build_both,
    build_library,
    copy_runtime,
    runtime_files,
)
from farm.codegen.package.manifest import MANIFEST_FILE, Manifest
from farm.codegen.package.readme import makefile, readme
from farm.codegen.program import Array
from farm.errors import OptionError
from farm.host.places import take_place

if TYPE_CHECKING:  # whoever opens a package needs no generator
    from farm.codegen.generate import Generation

VECTORS = "test_vectors"
REQUESTS, REPLIES = "requests.bin", "replies.bin"
FEWEST_VECTORS = 16
LIBRARY_FILE, PROGRAM_FILE, MAKEFILE = "libmodel.a", "model.elf", "Makefile"

_SOURCES = frozenset({"model.c", "model.h", "weights.c", "weights.h", "runtime/package.h"})
_VECTORS = frozenset({f"{VECTORS}/{REQUESTS}", f"{VECTORS}/{REPLIES}"})
# The farm and `make` write these, and a package for the host is whole without.
_OPTIONAL = frozenset({"README.md", "provenance.json", "SHA256SUMS", PROGRAM_FILE})
_INCLUDE = re.compile(r'^\s*#\s*include\s*"([\w.]+(?:/[\w.]+)*)"', flags=re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Vector:
    """One test vector: arrays in the model's order, and the outputs that must come back."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


def write_sources(folder: Path, generation: Generation) -> None:
    """Write the generated C and the kernels it uses into an existing folder."""
    for name, text in generation.generated.files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    kernels = folder / "kernels"
    kernels.mkdir(exist_ok=True)
    source = resources.files("farm.codegen") / "kernels"
    for name in generation.generated.kernels:
        text = (source / name).read_text(encoding="utf-8")
        (kernels / name).write_text(text, encoding="utf-8")


def build(folder: Path, target: Target, compiler: Compiler) -> Library:
    """Compile the package in a folder to ``libmodel.a`` there, for a Hexagon also ``model.elf``.

    Raises CompileError.
    """
    library = folder / LIBRARY_FILE
    if target.is_hexagon:
        return build_both(folder, target, library, folder / PROGRAM_FILE, compiler)
    return build_library(folder, target, library, compiler)


def source_files(folder: Path) -> frozenset[str]:
    """Names of the model's C in a package and of all that it includes, there or not."""
    found: set[str] = set()
    waiting = sorted(_SOURCES)
    while waiting:
        name = waiting.pop()
        if name in found or ".." in name.split("/"):
            continue
        found.add(name)
        if not name.startswith("runtime/") and _is_regular(folder / name):
            text = (folder / name).read_text(encoding="utf-8", errors="replace")
            waiting += [(Path(name).parent / other).as_posix() for other in _INCLUDE.findall(text)]
    return frozenset(found)


def package_files(folder: Path, target: Target) -> frozenset[str]:
    """Names of the files that make a package whole, there or not."""
    program = {PROGRAM_FILE} if target.is_hexagon else set()
    runtime = {f"runtime/{name}" for name in runtime_files()}
    plain = {MANIFEST_FILE, MAKEFILE, LIBRARY_FILE}
    return source_files(folder) | _VECTORS | runtime | program | plain


def finish_package(folder: Path, manifest: Manifest, vectors: Sequence[Vector]) -> None:
    """Complete a folder with sources and binaries: vectors, Makefile, README, manifest."""
    copy_runtime(folder)
    _write_vectors(folder / VECTORS, vectors)
    (folder / MAKEFILE).write_text(makefile(manifest), encoding="utf-8")
    (folder / "README.md").write_text(readme(manifest), encoding="utf-8")
    (folder / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")


def _write_vectors(folder: Path, vectors: Sequence[Vector]) -> None:
    """What the runner reads and must answer, see ``runtime/runner.c``: ``make test`` compares."""
    folder.mkdir()
    with (folder / REQUESTS).open("wb") as requests, (folder / REPLIES).open("wb") as replies:
        for vector in vectors:
            requests.write(b"r" + b"".join(array.tobytes() for array in vector.inputs))
            replies.write(b"r" + b"".join(array.tobytes() for array in vector.outputs))
        requests.write(b"q")


@contextmanager
def package_folder(target: Path, *, replace: bool) -> Iterator[Path]:
    """A folder to write a package in, which takes its place when it is complete.

    replace: a package that is there already goes away, and nothing else does.

    Raises OptionError: the place is taken, or it cannot be written there.
    """
    _require_free(target, replace=replace)
    draft: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        yield draft
        draft.chmod(0o755)
        _require_free(target, replace=replace)  # others may have written there meanwhile
        take_place(draft, target)
    except OSError as error:
        if not _is_about(error, target.parent):
            raise
        raise OptionError(f"The package cannot be written to {target}: {_cause(error)}.") from None
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


def _require_free(target: Path, *, replace: bool) -> None:
    """Raise OptionError where a package would take the place of anything but another one."""
    if target.is_symlink():
        raise OptionError(
            f"{target} is a symbolic link, which a package does not replace; give the folder "
            "itself, or remove the link."
        )
    if not target.exists():
        return
    if not replace:
        raise OptionError(f"{target} exists already; give --force to replace it.")
    if not (is_package(target) or _is_empty(target)):
        raise OptionError(f"{target} exists and is no package, so it is not replaced; move it.")
    if stranger := _stranger(target):
        raise OptionError(
            f"{target} holds {stranger}, which is no part of a package, so it is not replaced; "
            "move that away."
        )


def _stranger(folder: Path) -> str:
    """The first thing in a package's folder that no package has; empty if there is none."""
    known = package_files(folder, Target.PORTABLE) | _OPTIONAL
    known |= {name.removesuffix(".c") + ".o" for name in known if name.endswith(".c")}
    folders = {parent.as_posix() for name in known for parent in Path(name).parents}
    for place, inner, files in os.walk(folder):
        relative = Path(place).relative_to(folder)
        for name in sorted(files):
            if (relative / name).as_posix() not in known or not _is_regular(Path(place, name)):
                return (relative / name).as_posix()
        for name in sorted(inner):
            if (relative / name).as_posix() not in folders or Path(place, name).is_symlink():
                return (relative / name).as_posix()
    return ""


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _is_about(error: OSError, folder: Path) -> bool:
    """Whether something in the folder could not be written; a full disk names no file."""
    name = error.args[0][0][1] if isinstance(error, shutil.Error) else error.filename
    return name is None or folder.absolute() in Path(str(name)).absolute().parents


def _cause(error: OSError) -> str:
    """Why writing failed; of copying many files, why the first of them could not be copied."""
    if isinstance(error, shutil.Error):
        return str(error.args[0][0][-1])
    return error.strerror or str(error)


def _is_empty(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


def is_package(folder: Path) -> bool:
    """Whether a folder looks like a package that the farm wrote."""
    return (folder / MANIFEST_FILE).is_file() and (folder / "model.c").is_file()
