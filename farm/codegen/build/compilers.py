"""Which compilers this machine has for which target, and how each is asked.

Every target gets the same floats: no fast mathematics, no contraction into fused operations.
Instruction sets are named, never "this machine's", because a package leaves the machine.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from farm.errors import CompileError, OptionError
from farm.host.folders import cache_folder

_CPUINFO = Path("/proc/cpuinfo")
_X86_64 = frozenset({"x86_64", "amd64"})


class Target(StrEnum):
    """What a package is compiled for: an instruction set of the host, or the Hexagon DSP."""

    PORTABLE = "portable"
    AVX2 = "avx2"
    AVX512_VNNI = "avx512-vnni"
    HEXAGON = "hexagon-v67"
    HEXAGON_HVX = "hexagon-v67-hvx"

    @property
    def is_hexagon(self) -> bool:
        """Whether its binaries need the emulator here."""
        return self in {Target.HEXAGON, Target.HEXAGON_HVX}


class CompilerKind(StrEnum):
    """Families of compilers; ``zig`` is Zig's build of clang."""

    ZIG = "zig"
    CLANG = "clang"
    GCC = "gcc"


@dataclass(frozen=True, slots=True)
class Compiler:
    """One compiler on this machine.

    command: starts it, before any flag. archiver: starts its ``ar``. version: in its own words,
    without a path, so that it can be part of a package.
    """

    kind: CompilerKind
    command: tuple[str, ...]
    archiver: tuple[str, ...]
    version: str

    @property
    def label(self) -> str:
        """Kind and version, for messages and manifests."""
        return f"{self.kind} {self.version}"

    def flags(self, target: Target) -> tuple[str, ...]:
        """Every flag that decides what the compiled code does.

        Raises CompileError when this kind of compiler has no such target.
        """
        family = _GCC_FLAGS if self.kind is CompilerKind.GCC else _CLANG_FLAGS
        return (*_FLAGS, *family, *_machine_flags(self.kind, target))


# -fno-strict-aliasing: the arena holds tensors of several types in the same bytes.
# The tables for unwinding the stack, and everything that guards or describes it, only cost room.
_FLAGS = (
    "-std=c11",
    "-O3",
    "-g0",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-strict-aliasing",
    "-fomit-frame-pointer",
    "-fno-stack-protector",
    "-fno-unwind-tables",
    "-fno-asynchronous-unwind-tables",
    "-fno-ident",
    "-fno-sanitize=undefined",
)
# Loops that copy shall stay loops: compilers would call memmove, and a package may need no more of
# the C library than memcpy and memset.
_CLANG_FLAGS = ("-mllvm", "-disable-loop-idiom-memcpy")
_GCC_FLAGS = ("-fPIC", "-fno-tree-loop-distribute-patterns")
_HEXAGON_VECTORS = "+hvxv67+hvx_length128b"
# LLVM 22 stops where it would move an addition into a conditional, unaligned store of a vector
# ("Failed Opcode is : ... V6_vS32Ub_pred_ai"). What it moves elsewhere saves no packets.
_HVX_FLAGS = ("-mllvm", "-disable-hexagon-amodeopt")
_MACHINE_FLAGS: Mapping[Target, Mapping[CompilerKind, tuple[str, ...]]] = {
    Target.AVX2: {
        CompilerKind.ZIG: ("-mcpu=x86_64_v3",),
        CompilerKind.CLANG: ("-march=x86-64-v3",),
        CompilerKind.GCC: ("-march=x86-64-v3",),
    },
    Target.AVX512_VNNI: {
        CompilerKind.ZIG: ("-mcpu=x86_64_v4+avx512vnni", "-mprefer-vector-width=512"),
        CompilerKind.CLANG: ("-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512"),
        CompilerKind.GCC: ("-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512"),
    },
    Target.HEXAGON: {
        CompilerKind.ZIG: ("-target", "hexagon-freestanding-none", "-mcpu=hexagonv67"),
    },
    Target.HEXAGON_HVX: {
        CompilerKind.ZIG: (
            "-target",
            "hexagon-freestanding-none",
            f"-mcpu=hexagonv67{_HEXAGON_VECTORS}",
            *_HVX_FLAGS,
        ),
    },
}
# What the processor must say it has, in the words of /proc/cpuinfo, best target first.
_NEEDED = {
    Target.AVX512_VNNI: frozenset(
        {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl", "avx512_vnni", "avx2", "fma"}
    ),
    Target.AVX2: frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"}),
}


@cache
def host_targets() -> tuple[Target, ...]:
    """Targets whose code this machine's processor can run itself, the best one first."""
    present = _processor_flags() if platform.machine().lower() in _X86_64 else frozenset()
    vector = tuple(target for target, needed in _NEEDED.items() if needed <= present)
    return (*vector, Target.PORTABLE)


@cache
def find_compilers(target: Target) -> tuple[Compiler, ...]:
    """Compilers for a target that this machine has, the default one first.

    The Hexagon is compiled for by Zig only: its wheel brings clang, the linker and the headers of
    the vector extension, and works alike on every machine.
    """
    if target in _NEEDED and platform.machine().lower() not in _X86_64:
        return ()
    candidates = [_zig()]
    if not target.is_hexagon:
        candidates += [_system(CompilerKind.CLANG), _system(CompilerKind.GCC)]
    return tuple(compiler for compiler in candidates if compiler is not None)


def default_compiler(target: Target) -> Compiler:
    """The compiler that is used when none is named.

    Raises CompileError when there is none, and says how to get one.
    """
    found = find_compilers(target)
    if not found:
        system = "" if target.is_hexagon else ", or clang or gcc from the system's packages"
        raise CompileError(
            f"No compiler for {target} was found; install Zig's with "
            f"`pip install ziglang`{system}."
        )
    return found[0]


def find_emulator() -> str | None:
    """The program that runs Hexagon binaries here; None where it is not installed."""
    return shutil.which("qemu-hexagon") or shutil.which("qemu-hexagon-static")


def emulator_version() -> str:
    """What the emulator says it is, like ``qemu-hexagon version 7.2.22``; empty without one."""
    program = find_emulator()
    return (_first_line((program, "--version")) or "") if program else ""


def compiler_environment() -> dict[str, str]:
    """The environment of a compiler: messages in English, Zig's cache among the farm's files.

    Zig builds its start-up code and parts of the C library once per target and keeps them.
    """
    cache_folder = os.environ.get("ZIG_GLOBAL_CACHE_DIR") or str(_zig_cache())
    return os.environ | {"LC_ALL": "C", "ZIG_GLOBAL_CACHE_DIR": cache_folder}


@cache
def _zig_cache() -> Path:
    try:
        folder = cache_folder() / "zig"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, OptionError):
        return Path(tempfile.gettempdir()) / f"farm-zig-{os.getuid()}"
    return folder


def _zig() -> Compiler | None:
    spec = importlib.util.find_spec("ziglang")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    bundled = [str(folder / "zig") for folder in folders if (folder / "zig").is_file()]
    program = bundled[0] if bundled else shutil.which("zig")
    version = _first_line((program, "version")) if program else None
    if program is None or version is None:
        return None
    return Compiler(CompilerKind.ZIG, (program, "cc"), (program, "ar"), version)


def _system(kind: CompilerKind) -> Compiler | None:
    program, archiver = shutil.which(kind), shutil.which("ar")
    line = _first_line((program, "--version")) if program else None
    if program is None or archiver is None or line is None:
        return None
    # With who built it: distributions patch their compilers, which then write other code.
    version = " ".join(word for word in line.split() if word not in {str(kind), "version"})
    return Compiler(kind, (program,), (archiver,), version)


def _first_line(command: tuple[str, ...]) -> str | None:
    """What a program prints first; None when it cannot do even that."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = done.stdout.split("\n")
    return lines[0].strip() or None


def _machine_flags(kind: CompilerKind, target: Target) -> tuple[str, ...]:
    if target is Target.PORTABLE:
        return _baseline(kind)
    flags = _MACHINE_FLAGS[target].get(kind)
    if flags is None:
        raise CompileError(f"The farm compiles for {target} with Zig only, not with {kind}.")
    return flags


def _baseline(kind: CompilerKind) -> tuple[str, ...]:
    """What every processor of this architecture has. Zig, unlike others, must be told."""
    if platform.machine().lower() in _X86_64:
        return ("-mcpu=x86_64",) if kind is CompilerKind.ZIG else ("-march=x86-64",)
    return ("-mcpu=generic",) if kind is CompilerKind.ZIG else ()


def _processor_flags() -> frozenset[str]:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("flags"):
                return frozenset(line.split(":", 1)[1].split())
    return frozenset()
