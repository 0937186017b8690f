"""``farm package verify``: builds a package anew and replays its test vectors."""

from __future__ import annotations

import math
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farm.codegen.compilers import (
    Compiler,
    Target,
    default_compiler,
    find_compilers,
    find_emulator,
    host_targets,
)
from farm.codegen.manifest import Manifest, Port, read_manifest
from farm.codegen.package import REPLIES, REQUESTS, VECTORS, Vector
from farm.codegen.toolchain import Library, build_runner
from farm.errors import InputError
from workers.engines.runner import RunnerProcess
from workers.engines.session import EngineError

_REQUEST, _QUIT = b"r", b"q"


@dataclass(frozen=True, slots=True)
class Verified:
    """What replaying the test vectors showed.

    vectors: how many were replayed. target: what the code was built for here. compiler: that
    built it. disagreement: the first answer that is not what it should be; empty if there is none.
    notes: why this was not verified as it will run.
    """

    folder: Path
    vectors: int
    target: Target
    compiler: str
    disagreement: str = ""
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether every answer was the same, bit for bit."""
        return not self.disagreement


def verify_package(folder: Path) -> Verified:
    """Build the package in a copy of its folder and replay its test vectors.

    Raises InputError: it is no package, or not a whole one. Raises CompileError: it does not
    compile.
    """
    manifest = read_manifest(folder)
    vectors = list(read_vectors(folder, manifest))
    target, notes = _runnable(manifest.target)
    compiler = _compiler(manifest, target)
    with tempfile.TemporaryDirectory(prefix="farm-verify-") as name:
        sources = Path(name) / "package"
        shutil.copytree(folder, sources, ignore=shutil.ignore_patterns(VECTORS, "*.o"))
        program = Path(name) / "runner"
        library = build_runner(sources, target, program, compiler)
        try:
            disagreement = _wrong_figure(sources, manifest, library) or _disagreement(
                program, target, manifest, vectors
            )
        except EngineError as error:
            disagreement = str(error)
    return Verified(folder, len(vectors), target, compiler.label, disagreement, notes)


def read_vectors(folder: Path, manifest: Manifest) -> Iterator[Vector]:
    """The test vectors of a package. Raises InputError: they are not there or not whole."""
    given, told = _sizes(manifest.inputs), _sizes(manifest.outputs)
    count = manifest.vectors
    requests = _read(folder / VECTORS / REQUESTS, count * (1 + sum(given)) + len(_QUIT))
    replies = _read(folder / VECTORS / REPLIES, count * (1 + sum(told)))
    for number in range(count):
        request = requests[number * (1 + sum(given)) :][: 1 + sum(given)]
        reply = replies[number * (1 + sum(told)) :][: 1 + sum(told)]
        if request[:1] != _REQUEST:
            raise InputError(f"Test vector {number} in {folder} is damaged.")
        yield Vector(_arrays(request[1:], manifest.inputs), _arrays(reply[1:], manifest.outputs))


def _runnable(target: Target) -> tuple[Target, tuple[str, ...]]:
    """What to build for, so that it can run here, and why that is not the package's target."""
    if target.is_hexagon and not find_emulator():
        why = "qemu-hexagon is not installed, so its code was verified on this machine's processor"
        return Target.PORTABLE, (f"{why}; on Debian and Ubuntu: apt-get install qemu-user.",)
    if not target.is_hexagon and target not in host_targets():
        why = f"this machine's processor has no {target}, so its portable code was verified"
        return Target.PORTABLE, (f"{why}.",)
    return target, ()


def _compiler(manifest: Manifest, target: Target) -> Compiler:
    """The kind of compiler that the package was built by, or the default one."""
    kind = manifest.compiler.split()[0]
    found = (c for c in find_compilers(target) if c.kind == kind)
    return next(found, None) or default_compiler(target)


def _wrong_figure(sources: Path, manifest: Manifest, library: Library) -> str:
    """The first size in the manifest that is not what the sources say; empty if there is none."""
    header = (sources / "model.h").read_text(encoding="utf-8", errors="replace")
    found = dict(re.findall(r"^#define MODEL_(\w+)_BYTES (\d+)u", header, flags=re.MULTILINE))
    told = {
        "ARENA": manifest.arena_bytes,
        "SCRATCH": manifest.scratch_bytes,
        "MEMORY": manifest.memory_bytes,
    }
    for name, size in told.items():
        if found.get(name) != str(size):
            return f"the manifest says {name.lower()}_bytes {size}, model.h {found.get(name)}"
    same = (library.target, library.compiler.label) == (manifest.target, manifest.compiler)
    if same and library.code_bytes != manifest.code_bytes:
        return (
            f"the manifest says code_bytes {manifest.code_bytes}, and the compiled code has "
            f"{library.code_bytes}"
        )
    return ""


def _disagreement(
    program: Path, target: Target, manifest: Manifest, vectors: Sequence[Vector]
) -> str:
    runner = RunnerProcess(program, target)
    try:
        for number, vector in enumerate(vectors):
            answers = runner.run(vector.inputs)
            for port, answer, expected in zip(
                manifest.outputs, answers, vector.outputs, strict=True
            ):
                if answer.tobytes() != expected.tobytes():
                    where = f"output '{port.name}' of test vector {number}"
                    return f"{where}: {_difference(answer.view(port.dtype), expected)}"
    finally:
        runner.close()
    return ""


def _difference(answer: NDArray[np.generic], expected: NDArray[np.generic]) -> str:
    """The first element that differs."""
    ours, theirs = answer.ravel(), expected.ravel()
    size = expected.dtype.itemsize
    bits = ours.view(np.uint8).reshape(-1, size) != theirs.view(np.uint8).reshape(-1, size)
    index = int(np.argmax(bits.any(axis=1)))
    return f"element {index} is {ours[index]}, and should be {theirs[index]}"


def _sizes(ports: Sequence[Port]) -> list[int]:
    return [math.prod(port.shape) * np.dtype(port.dtype).itemsize for port in ports]


def _arrays(content: bytes, ports: Sequence[Port]) -> tuple[NDArray[np.generic], ...]:
    ends = np.cumsum(_sizes(ports))
    parts = np.split(np.frombuffer(content, np.uint8), ends[:-1])
    return tuple(
        part.copy().view(port.dtype).reshape(port.shape)
        for part, port in zip(parts, ports, strict=True)
    )


def _read(path: Path, size: int) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"The package is not whole: {path} cannot be read ({error.strerror})."
        ) from None
    if len(content) != size:
        raise InputError(
            f"The package is damaged: {path} has {len(content)} bytes, and should have {size}."
        )
    return content
