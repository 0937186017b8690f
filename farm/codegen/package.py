"""Writes packages: generated C with everything that is needed to build, test and call it.

A package folder has ``model.c model.h weights.c weights.h kernels/ runtime/ Makefile
manifest.json README.md test_vectors/`` and the compiled ``libmodel.a``, for a Hexagon also
``model.elf``. It is written beside its place and renamed: it is whole or it is not there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from farm.codegen.compilers import Compiler, Target
from farm.codegen.generate import Generation
from farm.codegen.manifest import MANIFEST_FILE, Manifest
from farm.codegen.program import Array
from farm.codegen.readme import makefile, readme
from farm.codegen.toolchain import Library, build_library, build_runner, copy_runtime
from farm.errors import OptionError

VECTORS = "test_vectors"
REQUESTS, REPLIES = "requests.bin", "replies.bin"
FEWEST_VECTORS = 16


@dataclass(frozen=True, slots=True)
class Vector:
    """One test vector: arrays in the model's order, and the outputs that must come back."""

    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


def write_sources(folder: Path, generation: Generation) -> None:
    """Write the generated C and the kernels it uses into an existing folder."""
    for name, text in generation.generated.files.items():
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
    if target.is_hexagon:
        build_runner(folder, target, folder / "model.elf", compiler)
    return build_library(folder, target, folder / "libmodel.a", compiler)


def finish_package(folder: Path, manifest: Manifest, vectors: Sequence[Vector]) -> None:
    """Complete a folder with sources and binaries: vectors, Makefile, README, manifest."""
    copy_runtime(folder)
    _write_vectors(folder / VECTORS, vectors)
    (folder / "Makefile").write_text(makefile(manifest), encoding="utf-8")
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

    replace: a folder that is there already goes away.

    Raises OptionError: the place is taken, or cannot be written.
    """
    if target.exists() and not replace:
        raise OptionError(f"{target} exists already; give --force to replace it.")
    if target.exists() and not (is_package(target) or _is_empty(target)):
        raise OptionError(f"{target} exists and is no package, so it is not replaced; move it.")
    draft: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        yield draft
        draft.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        draft.rename(target)
    except OSError as error:
        raise OptionError(f"The package cannot be written to {target}: {_cause(error)}.") from None
    finally:
        if draft is not None:
            shutil.rmtree(draft, ignore_errors=True)


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
