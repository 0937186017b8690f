"""A package that was delivered, made into what the farm runs again."""

from __future__ import annotations

import shutil
from pathlib import Path

from farm.codegen.build.compilers import Compiler, Target, default_compiler
from farm.codegen.build.toolchain import build_runner, link_runner
from farm.codegen.package.manifest import Manifest, read_manifest
from farm.codegen.package.record import (
    EMULATED_FILE,
    RUNNER_FILE,
    CompiledPackage,
    Packets,
    sources_sha256,
    write_compiled,
)
from farm.codegen.package.write import LIBRARY_FILE, PROGRAM_FILE, source_files


def reopen_package(package: Path, folder: Path, compiler: Compiler) -> CompiledPackage:
    """Write a compiled package into an existing, empty folder from one that was delivered.

    Its programs hold the shipped library; for a Hexagon the shipped program is what is emulated.

    Raises InputError: it is no package. Raises CompileError: it cannot be linked or compiled.
    Raises OSError: a file of it is missing.
    """
    manifest = read_manifest(package)
    for name in sorted(source_files(package)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / name, folder / name)
    if manifest.target.is_hexagon:
        shutil.copyfile(package / PROGRAM_FILE, folder / EMULATED_FILE)
        (folder / EMULATED_FILE).chmod(0o755)  # packages lose that on their way
        host = default_compiler(Target.PORTABLE)
        build_runner(folder, Target.PORTABLE, folder / RUNNER_FILE, host)
    else:
        shipped, program = package / LIBRARY_FILE, folder / RUNNER_FILE
        link_runner(folder, shipped, manifest.target, program, compiler)
    compiled = _compiled(manifest, sources_sha256(folder))
    write_compiled(compiled, folder)
    return compiled


def _compiled(manifest: Manifest, sha256: str) -> CompiledPackage:
    """What is known of it. Where most is needed a manifest does not say."""
    return CompiledPackage(
        name=manifest.name,
        target=manifest.target,
        compiler=manifest.compiler,
        flags=manifest.flags,
        macs=manifest.macs,
        operators=manifest.operators,
        arena_bytes=manifest.arena_bytes,
        arena_lower_bound=manifest.arena_lower_bound,
        scratch_bytes=manifest.scratch_bytes,
        memory_bytes=manifest.memory_bytes,
        weight_bytes=manifest.weight_bytes,
        code_bytes=manifest.code_bytes,
        binding_operator="",
        heaviest_operator="",
        modelled=Packets(manifest.packets or 0),
        inputs=manifest.inputs,
        outputs=manifest.outputs,
        notes=manifest.notes,
        sha256=sha256,
    )
