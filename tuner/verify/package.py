"""``farm package verify``: builds a package anew and compares what it ships with that.

What the manifest's compiler makes of the sources must be the library that is shipped, byte for
byte; the Makefile and the runner must be the farm's; figures that can be found out must be the
manifest's; and every test vector must be answered with the same bits. Where that compiler is not
here, the shipped library answers the test vectors itself, if it can run here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import farm
from farm.codegen.build.compilers import (
    Compiler,
    Target,
    default_compiler,
    find_compilers,
    find_emulator,
    host_targets,
)
from farm.codegen.build.elf import machines
from farm.codegen.build.toolchain import build_both, build_runner, link_runner, runtime_files
from farm.codegen.package.manifest import MANIFEST_FILE, Manifest, read_manifest
from farm.codegen.package.readme import makefile
from farm.codegen.package.write import (
    LIBRARY_FILE,
    MAKEFILE,
    PROGRAM_FILE,
    Vector,
    package_files,
    source_files,
)
from farm.errors import CompileError, InputError
from farm.host.temporary import temporary_folder
from farm.units import Bytes, format_bytes
from tuner.verify.figures import other, wrong_scales, wrong_sizes
from tuner.verify.vectors import first_wrong, read_vectors
from workers.engines.runner import RunnerProcess
from workers.engines.session import EngineError

_MOST_BYTES = Bytes(512 << 20)  # of one file: weights as text take a few times their own bytes
_X86_64, _HEXAGON = 62, 164  # ELF's numbers of processors
_MACHINES = {
    Target.AVX2: _X86_64,
    Target.AVX512_VNNI: _X86_64,
    Target.HEXAGON: _HEXAGON,
    Target.HEXAGON_HVX: _HEXAGON,
}


@dataclass(frozen=True, slots=True)
class Verified:
    """What building a package anew and replaying its test vectors showed.

    vectors: how many were replayed. target: what the code was built for here. compiler: that
    built it. disagreements: what is not as it should be, a sentence without its full stop each.
    notes: why something was not compared, or not verified as it will run.
    """

    folder: Path
    vectors: int
    target: Target
    compiler: str
    disagreements: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether every file, figure and answer is what it should be."""
        return not self.disagreements


def verify_package(folder: Path) -> Verified:
    """Build the package in a copy of its folder, compare, and replay its test vectors.

    Raises InputError: it is no package, or not a whole one. Raises CompileError: it does not
    compile.
    """
    if (folder / MANIFEST_FILE).exists():  # else it is no package, whatever lies there
        _require_plain(folder)
    manifest = read_manifest(folder)
    _require_whole(folder, manifest)
    vectors = list(read_vectors(folder, manifest))
    with temporary_folder("verify") as place:
        return _Rebuilt(folder, manifest, vectors, place).run()


class _Rebuilt:
    """A package that is being verified. place: an empty folder to build and run it in."""

    def __init__(
        self, folder: Path, manifest: Manifest, vectors: Sequence[Vector], place: Path
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._vectors = vectors
        self._place = place
        self._sources = place / "package"
        self._found: list[str] = []
        self._notes: list[str] = []

    def run(self) -> Verified:
        """Raises CompileError: the sources do not compile."""
        manifest = self._manifest
        self._copy()
        if _is_own(manifest):
            self._found += _other_texts(self._folder, manifest)
        else:
            self._notes.append(
                f"It was made by farm {manifest.farm}, and this is {farm.__version__}: its "
                "Makefile and runner were not compared."
            )
        self._found += wrong_sizes(self._sources, manifest)
        self._found += wrong_scales(self._sources, manifest)
        target = self._runnable()
        compiler = _compiler(manifest, target)
        builder = _builder(manifest)
        if builder:
            self._compare(builder)
        if builder and target is manifest.target:
            program = self._place / PROGRAM_FILE
        else:
            program = self._place / "runner"
            build_runner(self._sources, target, program, compiler)
        self._replay(program, target)
        self._count(program, target)
        if not builder:
            self._replay_shipped(program, target, compiler)
        found, notes = tuple(self._found), tuple(self._notes)
        return Verified(self._folder, len(self._vectors), target, compiler.label, found, notes)

    def _copy(self) -> None:
        """Copy what is compiled, and no more: other files in the folder are not the package's."""
        for name in source_files(self._folder):
            copy = self._sources / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._folder / name, copy)

    def _runnable(self) -> Target:
        """What to build for, so that it can run here; a note where that is another target."""
        target = self._manifest.target
        if target.is_hexagon and not find_emulator():
            self._notes.append(
                "qemu-hexagon is not installed, so its code was verified on this machine's "
                "processor; on Debian and Ubuntu: apt-get install qemu-user."
            )
            return Target.PORTABLE
        if not target.is_hexagon and target not in host_targets():
            self._notes.append(
                f"This machine's processor has no {target}, so its portable code was verified."
            )
            return Target.PORTABLE
        return target

    def _compare(self, builder: Compiler) -> None:
        """Build what is shipped, and compare."""
        manifest, shipped = self._manifest, self._folder / LIBRARY_FILE
        archive, program = self._place / LIBRARY_FILE, self._place / PROGRAM_FILE
        library = build_both(self._sources, manifest.target, archive, program, builder)
        if manifest.target is Target.PORTABLE and _is_foreign(shipped, archive):
            self._notes.append(
                f"{LIBRARY_FILE} is for another kind of processor, so it was not compared."
            )
            return
        if manifest.flags != builder.flags(manifest.target):
            self._found.append("the manifest's flags are not those that the farm compiles with")
        if manifest.code_bytes != library.code_bytes:
            self._found.append(other("code_bytes", manifest.code_bytes, library.code_bytes))
        with_program = manifest.target.is_hexagon and _is_own(manifest)
        for path in (archive, program) if with_program else (archive,):
            if path.read_bytes() != (self._folder / path.name).read_bytes():
                self._found.append(f"{path.name} is not what {builder.label} makes of the sources")

    def _replay(self, program: Path, target: Target, what: str = "") -> None:
        """Replay the test vectors until an answer is wrong. what: which program, in words."""
        try:
            with RunnerProcess(program, target) as runner:
                wrong = first_wrong(runner, self._manifest, self._vectors)
        except EngineError as error:
            wrong = str(error).rstrip(".")
        if wrong:
            self._found.append(what + wrong)

    def _count(self, program: Path, target: Target) -> None:
        """Count the packets of one run, where the manifest says how many there are."""
        told = self._manifest.packets
        if told is None or not target.is_hexagon:
            return
        with contextlib.suppress(EngineError), RunnerProcess(program, target) as runner:
            runner.run(self._vectors[0].inputs)
            counted = runner.count(1).packets
            if counted != told:
                self._found.append(other("packets", told, counted))

    def _replay_shipped(self, built: Path, target: Target, compiler: Compiler) -> None:
        """Let the shipped library answer, which cannot be built anew here, if it can run here.

        built: a program for ``target``.
        """
        manifest, shipped = self._manifest, self._folder / LIBRARY_FILE
        runs = target is manifest.target
        there = machines(shipped)
        if there != (machines(built) if runs else {_MACHINES[manifest.target]}):
            runs = False
            if not there or manifest.target is not Target.PORTABLE:
                self._found.append(f"{LIBRARY_FILE} holds no code for {manifest.target}")
        instead = "but replayed as it is" if runs else "and it cannot run here"
        self._notes.append(
            f"What built it ({manifest.compiler}, farm {manifest.farm}) is not on this machine: "
            f"{LIBRARY_FILE} was not built anew, {instead}."
        )
        if not runs:
            return
        linked = self._place / "shipped"
        try:
            link_runner(self._sources, shipped, target, linked, compiler)
        except CompileError as error:
            self._found.append(f"{LIBRARY_FILE} cannot be linked: {str(error).rstrip('.')}")
        else:
            self._replay(linked, target, f"{LIBRARY_FILE}: ")
        if target.is_hexagon:
            self._replay(self._folder / PROGRAM_FILE, target, f"{PROGRAM_FILE}: ")


def _require_plain(folder: Path) -> None:
    """Raise InputError for what may have no end, and no package has: links, pipes, devices."""
    for place, folders, files in os.walk(folder):
        for path in (Path(place, name) for name in (*folders, *files)):
            found = path.lstat()
            if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
                raise InputError(f"{path} is no regular file, and a package has no other.")
            if stat.S_ISREG(found.st_mode) and found.st_size > _MOST_BYTES:
                raise InputError(
                    f"{path} has {format_bytes(Bytes(found.st_size))}, and no file of a package "
                    f"has more than {format_bytes(_MOST_BYTES)}."
                )


def _require_whole(folder: Path, manifest: Manifest) -> None:
    names = package_files(folder, manifest.target)
    if not _is_own(manifest):  # whose runner may be in other files
        names -= {f"runtime/{name}" for name in runtime_files()}
    for name in sorted(names):
        if not (folder / name).is_file():
            raise InputError(f"{folder} is not whole: {name} is missing.")


def _is_own(manifest: Manifest) -> bool:
    """Whether this version of the farm made the package."""
    return manifest.farm == farm.__version__


def _builder(manifest: Manifest) -> Compiler | None:
    """The very compiler that the package was built by, if this farm would use it in that way."""
    for compiler in find_compilers(manifest.target):
        if compiler.label == manifest.compiler:
            as_then = compiler.flags(manifest.target) == manifest.flags
            return compiler if as_then or _is_own(manifest) else None
    return None


def _compiler(manifest: Manifest, target: Target) -> Compiler:
    """What builds for a target as the package was built, as nearly as this machine can."""
    kind, _, _ = manifest.compiler.partition(" ")
    alike = [c for c in find_compilers(target) if c.kind == kind]
    return alike[0] if alike else default_compiler(target)


def _is_foreign(shipped: Path, built: Path) -> bool:
    """Whether a shipped file is code, but for another kind of processor."""
    return machines(shipped) not in (frozenset(), machines(built))


def _other_texts(folder: Path, manifest: Manifest) -> Iterator[str]:
    """The Makefile and parts of the runner that are not what the farm writes."""
    if (folder / MAKEFILE).read_bytes() != makefile(manifest).encode():
        yield f"{MAKEFILE} is not what the farm writes"
    source = resources.files("farm.codegen") / "runtime"
    for name in runtime_files():
        if (folder / "runtime" / name).read_bytes() != (source / name).read_bytes():
            yield f"runtime/{name} is not what the farm writes"
