"""From a folder of generated C to an archive, and to a program that runs it.

The folder has ``model.c``, ``model.h``, ``weights.c`` and what they include, and for programs
``runtime/package.h``; every ``.c`` file directly in it is compiled. Sources are compiled in a
copy, by relative names and without dates, so that the same folder gives the same bytes wherever
it is.
"""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from farm.codegen.build.compilers import Compiler, Target, compiler_environment, default_compiler
from farm.codegen.build.elf import Sizes, object_sizes, undefined_symbols
from farm.errors import CompileError
from farm.host.temporary import OwnedFolder, temporary_folder
from farm.units import Bytes

# All that a package may need of a C library.
ALLOWED_SYMBOLS = frozenset({"memcpy", "memset"})

_RUNTIME = "runtime"
_ARCHIVE, _SHARED = "package.a", "package.so"
_SECONDS = 600.0  # for one file
_LINK = ("-s", "-Wl,--build-id=none")


@dataclass(frozen=True, slots=True)
class Library:
    """A compiled package.

    path: the archive, or the program that holds it. sizes: by source file.
    undefined: names it needs from elsewhere; at most ALLOWED_SYMBOLS.
    """

    path: Path
    target: Target
    compiler: Compiler
    sizes: Mapping[str, Sizes]
    undefined: frozenset[str]

    @property
    def code_bytes(self) -> Bytes:
        """Instructions and tables of everything but the weights."""
        own = [size for name, size in self.sizes.items() if name != "weights.c"]
        return Bytes(sum(size.code + size.constants for size in own))

    @property
    def weight_bytes(self) -> Bytes:
        """What ``weights.c`` takes; 0 where there is no such file."""
        weights = self.sizes.get("weights.c")
        return Bytes(weights.code + weights.constants + weights.variables if weights else 0)


def build_library(
    folder: Path, target: Target, output: Path, compiler: Compiler | None = None
) -> Library:
    """Compile a package's folder into the archive ``output``.

    The same folder, target and compiler give the same bytes.

    Raises CompileError: there is no compiler; it fails, and its copy of the sources is kept; the
    code needs more of a C library than ALLOWED_SYMBOLS, or has variables.
    """
    chosen = compiler or default_compiler(target)
    with _workshop(folder) as place:
        objects = _package_objects(place, target, chosen)
        return _delivered(_archived(place, objects, chosen), output, objects, target, chosen)


def build_runner(
    folder: Path, target: Target, output: Path, compiler: Compiler | None = None
) -> Library:
    """Compile a package's folder with the runner into the program ``output``.

    What the program reads and writes is described in ``runtime/runner.c``. On the host it is
    linked with the system's C library; for the Hexagon it stands alone.

    Raises CompileError as :func:`build_library` does.
    """
    chosen = compiler or default_compiler(target)
    with _workshop(folder) as place:
        objects = _package_objects(place, target, chosen)
        program = _linked(place, objects.values(), target, chosen)
        return _delivered(program, output, objects, target, chosen)


def build_both(
    folder: Path, target: Target, archive: Path, program: Path, compiler: Compiler
) -> Library:
    """Compile a package's folder once, into its archive and into the program that runs it.

    The bytes are those that :func:`build_library` and :func:`build_runner` give. Returns the
    archive.

    Raises CompileError as :func:`build_library` does.
    """
    with _workshop(folder) as place:
        objects = _package_objects(place, target, compiler)
        runner = _linked(place, objects.values(), target, compiler)
        _delivered(runner, program, objects, target, compiler)
        return _delivered(_archived(place, objects, compiler), archive, objects, target, compiler)


def link_runner(
    folder: Path, archive: Path, target: Target, output: Path, compiler: Compiler
) -> None:
    """Link an archive that is there already with the runner into the program ``output``.

    folder: with the headers of the package.

    Raises CompileError: the runner does not compile, or the archive cannot be linked with it.
    """
    with _workshop(folder) as place:
        shutil.copyfile(archive, place / _ARCHIVE)
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_linked(place, [_ARCHIVE], target, compiler), output)


def build_shared(archive: Path, output: Path, target: Target, compiler: Compiler) -> None:
    """Link an archive of the host's into the shared library ``output``, which a process loads.

    Raises CompileError: it cannot be linked.
    """
    with temporary_folder("compile") as place:
        shutil.copyfile(archive, place / _ARCHIVE)
        whole = ("-Wl,--whole-archive", _ARCHIVE, "-Wl,--no-whole-archive")
        flags = _link_flags(compiler, target)
        _invoke(
            compiler, [*compiler.command, *flags, "-shared", *whole, "-o", _SHARED], place, _SHARED
        )
        shutil.copy(place / _SHARED, output)


def runtime_sources(target: Target) -> tuple[str, ...]:
    """The files in ``runtime/`` that make a program of a package for this target."""
    if target.is_hexagon:
        return "runner.c", "system_hexagon.c", "memory_hexagon.c"
    return "runner.c", "system_host.c"


@cache
def runtime_files() -> tuple[str, ...]:
    """Names of the runner's sources, relative to their folder."""
    with resources.as_file(resources.files("farm.codegen") / _RUNTIME) as source:
        found = [path.relative_to(source).as_posix() for path in source.rglob("*.[ch]")]
    return tuple(sorted(found))


def copy_runtime(folder: Path) -> None:
    """Copy the runner's sources into ``folder/runtime``."""
    with resources.as_file(resources.files("farm.codegen") / _RUNTIME) as source:
        shutil.copytree(source, folder / _RUNTIME, dirs_exist_ok=True)


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A copy of the sources to work in, which is kept, and named, when they do not compile."""
    if not any(folder.glob("*.c")):
        raise CompileError(f"There is nothing to compile in {folder}: it has no .c file.")
    sources = _sources(folder)
    owned = OwnedFolder("compile")
    place = owned.path
    try:
        for path in sources:
            copy = place / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        copy_runtime(place)
        yield place
    except CompileError as error:
        raise CompileError(f"{error} The folder is kept: {owned.keep()}") from None
    except BaseException:
        owned.remove()
        raise
    owned.remove()


def _sources(folder: Path) -> list[Path]:
    """The C in a folder and the folders in it: files only, as a link may lead to what has no end.

    Raises CompileError.
    """
    found = sorted(folder.rglob("*.[ch]"))
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise CompileError(f"{path} is no regular file, and is not compiled.")
    return found


@cache
def _system_object(name: str, target: Target, compiler: Compiler) -> bytes:
    """A part of the runner that knows nothing of the package, compiled once in a process."""
    with temporary_folder("compile") as place:
        copy_runtime(place)
        return (place / _compiled(place, f"{_RUNTIME}/{name}", target, compiler)).read_bytes()


def _package_objects(place: Path, target: Target, compiler: Compiler) -> dict[str, str]:
    """Object files by source file, sorted by name."""
    sources = sorted(path.name for path in place.glob("*.c"))
    objects = {name: _compiled(place, name, target, compiler) for name in sources}
    _check_needs(place, objects)
    return objects


def _check_needs(place: Path, objects: Mapping[str, str]) -> None:
    """A package is code and constants, and needs no C library but two functions of it."""
    foreign = undefined_symbols(*(place / o for o in objects.values())) - ALLOWED_SYMBOLS
    if foreign:
        raise CompileError(
            f"The generated code needs {', '.join(sorted(foreign))} from elsewhere, and may need "
            f"{' and '.join(sorted(ALLOWED_SYMBOLS))} only."
        )
    for name, built in objects.items():
        variables = object_sizes(place / built).variables
        if variables:
            raise CompileError(
                f"{name} has {variables} bytes of variables; all of a package's state belongs "
                "into the memory that its caller provides."
            )


def _compiled(place: Path, source: str, target: Target, compiler: Compiler) -> str:
    """Compile one file; the name of its object file, relative to ``place``."""
    built = source.removesuffix(".c").replace("/", "_") + ".o"
    extra = ["-ffreestanding", "-fno-builtin"] if source.endswith("memory_hexagon.c") else []
    includes = ["-I.", f"-I{_RUNTIME}"]
    if target.is_hexagon:
        includes.append(f"-I{_RUNTIME}/freestanding")
    command = [*compiler.command, *compiler.flags(target), *extra, *includes]
    _invoke(compiler, [*command, "-c", source, "-o", built], place, built)
    return built


def _archived(place: Path, objects: Mapping[str, str], compiler: Compiler) -> Path:
    _invoke(compiler, (*compiler.archiver, "rcsD", _ARCHIVE, *objects.values()), place, _ARCHIVE)
    return place / _ARCHIVE


def _linked(place: Path, package: Iterable[str], target: Target, compiler: Compiler) -> Path:
    """A program of the runner and a package: its object files, or its archive."""
    runner, *system = runtime_sources(target)
    runtime = [_compiled(place, f"{_RUNTIME}/{runner}", target, compiler)]
    for name in system:
        runtime.append(f"{name}.o")
        (place / runtime[-1]).write_bytes(_system_object(name, target, compiler))
    objects = [*runtime, *package]  # linkers look into an archive for what those before it need
    command = [*compiler.command, *_link_flags(compiler, target), *objects, "-o", "runner"]
    _invoke(compiler, command, place, "runner")
    return place / "runner"


def _link_flags(compiler: Compiler, target: Target) -> tuple[str, ...]:
    """For the host always the same, because Zig builds its start-up code once per flags."""
    if target.is_hexagon:
        return (*compiler.flags(target), "-nostdlib", "-static", *_LINK)
    return (*compiler.flags(Target.PORTABLE), *_LINK)


def _delivered(
    built: Path, output: Path, objects: Mapping[str, str], target: Target, compiler: Compiler
) -> Library:
    place = built.parent
    library = Library(
        path=output,
        target=target,
        compiler=compiler,
        sizes={name: object_sizes(place / each) for name, each in objects.items()},
        undefined=undefined_symbols(*(place / each for each in objects.values())),
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(built, output)
    return library


def _invoke(compiler: Compiler, command: Sequence[str], place: Path, built: str) -> None:
    """Run one command in ``place``, which makes the file ``built`` there.

    Raises CompileError with the first error that it printed.
    """
    environment = compiler_environment() | {"ZIG_LOCAL_CACHE_DIR": str(place / ".zig")}
    try:
        done = subprocess.run(
            command,
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _failure(compiler, f"did not end within {_SECONDS:.0f} s", command) from None
    except OSError as error:
        raise _failure(compiler, f"cannot be started: {error}", command) from None
    if done.returncode < 0:
        raise _failure(compiler, f"was killed by {_signal_name(-done.returncode)}", command)
    if done.returncode != 0:
        raise _failure(compiler, f"failed: {_first_error(done.stderr)}", command)
    if not (place / built).is_file():
        raise _failure(compiler, f"reported no error, and did not write {built}", command)


def _failure(compiler: Compiler, what: str, command: Sequence[str]) -> CompileError:
    return CompileError(
        f"The compiler {compiler.label} {what}. The command was `{shlex.join(command)}`."
    )


def _signal_name(number: int) -> str:
    known = number in set(signal.Signals)
    return f"signal {number}" + (f" ({signal.Signals(number).name})" if known else "")


def _first_error(output: str) -> str:
    """The first line that names an error, else the first line at all."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it printed nothing"])[0].rstrip(".")
