"""What makes packages on this machine: the engines a device has for them, their compilers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from farm.candidate import (
    CPackage,
    CPackageEmulated,
    HexagonTarget,
    HostCompiler,
    HostTarget,
    PackageEngine,
)
from farm.codegen.build.compilers import Compiler as CCompiler
from farm.codegen.build.compilers import CompilerKind, Target, find_compilers, host_targets
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError


def package_engines(profile: DeviceProfile) -> tuple[PackageEngine, ...]:
    """The engines of a device that run compiled packages here, the most promising first.

    On the host these are the best instruction set by every compiler that is there, then the
    others by the default one.
    """
    engines: list[PackageEngine] = []
    if "cpackage" in profile.engines:
        engines += _host_engines()
    target = profile.package.target if profile.package else "host"
    emulated = "cpackage-emulated" in profile.engines and target != "host"
    if emulated and find_compilers(Target(target)):
        engines.append(CPackageEmulated(target=cast("HexagonTarget", target)))
    return tuple(engines)


def _host_engines() -> Iterator[CPackage]:
    best, *others = host_targets()
    kinds = [cast("HostCompiler", str(compiler.kind)) for compiler in find_compilers(best)]
    for kind in kinds:
        yield CPackage(target=cast("HostTarget", str(best)), compiler=kind)
    for target in others if kinds else ():
        yield CPackage(target=cast("HostTarget", str(target)), compiler=kinds[0])


def c_compiler(engine: CPackage | CPackageEmulated) -> CCompiler:
    """The compiler of a package engine. Raises CompileError when this machine does not have it."""
    target = Target(engine.target)
    kind = CompilerKind(engine.compiler) if isinstance(engine, CPackage) else CompilerKind.ZIG
    found = find_compilers(target)
    for compiler in found:
        if compiler.kind is kind:
            return compiler
    others = ", ".join(compiler.label for compiler in found) or "none"
    raise CompileError(f"This machine has no compiler {kind} for {target}; it has {others}.")
