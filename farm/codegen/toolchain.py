"""From a folder of generated C to an archive, and to a program that runs it.

The folder has ``model.c``, ``model.h``, ``weights.c`` and what they include; every ``.c`` file
directly in it is compiled. Sources are compiled in a copy, by relative names and without dates,
so that the same folder gives the same bytes wherever it is.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

from farm.codegen.compilers import Compiler, Target, compiler_environment, default_compiler
from farm.codegen.elf import Sizes, object_sizes, undefined_symbols
from farm.errors import CompileError
from farm.units import Bytes

# All that a package may need of a C library.
ALLOWED_SYMBOLS = frozenset({"memcpy", "memset"})

_RUNTIME = "runtime"
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
        archive = place / "package.a"
        _invoke(chosen, (*chosen.archiver, "rcsD", archive.name, *objects.values()), place)
        return _delivered(archive, output, objects, target, chosen)


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
        runner, *system = runtime_sources(target)
        runtime = [_compiled(place, f"{_RUNTIME}/{runner}", target, chosen)]
        for name in system:
            runtime.append(f"{name}.o")
            (place / runtime[-1]).write_bytes(_system_object(name, target, chosen))
        program = place / "runner"
        command = [*chosen.command, *_link_flags(chosen, target)]
        command += [*objects.values(), *runtime, "-o", program.name]
        _invoke(chosen, command, place)
        return _delivered(program, output, objects, target, chosen)


def runtime_sources(target: Target) -> tuple[str, ...]:
    """The files in ``runtime/`` that make a program of a package for this target."""
    if target.is_hexagon:
        return "runner.c", "system_hexagon.c", "memory_hexagon.c"
    return "runner.c", "system_host.c"


def copy_runtime(folder: Path) -> None:
    """Copy the runner's sources into ``folder/runtime``."""
    with resources.as_file(resources.files("farm.codegen") / _RUNTIME) as source:
        shutil.copytree(source, folder / _RUNTIME, dirs_exist_ok=True)


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A copy of the sources to work in, which is kept, and named, when they do not compile."""
    if not any(folder.glob("*.c")):
        raise CompileError(f"There is nothing to compile in {folder}: it has no .c file.")
    place = Path(tempfile.mkdtemp(prefix="farm-compile-"))
    try:
        shutil.copytree(folder, place, dirs_exist_ok=True)
        copy_runtime(place)
        yield place
    except CompileError as error:
        raise CompileError(f"{error} The folder is kept: {place}") from None
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    shutil.rmtree(place, ignore_errors=True)


@cache
def _system_object(name: str, target: Target, compiler: Compiler) -> bytes:
    """A part of the runner that knows nothing of the package, compiled once in a process."""
    with tempfile.TemporaryDirectory(prefix="farm-compile-") as temporary:
        place = Path(temporary)
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
    _invoke(compiler, [*command, "-c", source, "-o", built], place)
    return built


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


def _invoke(compiler: Compiler, command: Sequence[str], place: Path) -> None:
    """Run one command in ``place``. Raises CompileError with the first error it printed."""
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
    if done.returncode != 0:
        raise _failure(compiler, f"failed: {_first_error(done.stderr)}", command)


def _failure(compiler: Compiler, what: str, command: Sequence[str]) -> CompileError:
    return CompileError(
        f"The compiler {compiler.label} {what}. The command was `{shlex.join(command)}`."
    )


def _first_error(output: str) -> str:
    """The first line that names an error, else the first line at all."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return (errors or lines or ["it printed nothing"])[0].rstrip(".")
