"""Programs of kernels are kept for the next time that tests run: compilers take minutes for them.

A program is found again by all that decides its bytes: its sources, the runner's, the compiler,
and how it is asked. That the same sources give the same bytes, ``build/test_toolchain.py`` tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
from importlib import resources
from pathlib import Path

from farm.codegen.build import compilers, toolchain
from farm.codegen.build.compilers import Compiler, Target, default_compiler
from farm.codegen.build.toolchain import build_runner
from farm.host.folders import cache_folder

_UNUSED_SECONDS = 30 * 24 * 3600


def runner_of(folder: Path, target: Target, output: Path, compiler: Compiler | None) -> Path:
    """What :func:`build_runner` makes of a folder, or what it made of the same one before."""
    kept = _folder() / _key(folder, target, compiler or default_compiler(target))
    if not kept.exists():
        build_runner(folder, target, output, compiler)
        _keep(output, kept)
    os.utime(kept)
    return kept


def _folder() -> Path:
    folder = cache_folder() / "tests" / "kernels"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _key(folder: Path, target: Target, compiler: Compiler) -> str:
    told = hashlib.sha256(repr((target, compiler, compiler.flags(target))).encode())
    for module in (toolchain, compilers):
        told.update(Path(str(module.__file__)).read_bytes())
    with resources.as_file(resources.files("farm.codegen") / "runtime") as runtime:
        for root in (folder, runtime):
            for path in sorted(root.rglob("*.[ch]")):
                content = path.read_bytes()
                told.update(f"{path.relative_to(root)} {len(content)}\n".encode() + content)
    return told.hexdigest()


def _keep(program: Path, place: Path) -> None:
    """Keep it, and remove what no test used for long. Others may do the same meanwhile."""
    handle, draft = tempfile.mkstemp(dir=place.parent)
    os.close(handle)
    shutil.copy(program, draft)
    Path(draft).replace(place)
    for old in place.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if time.time() - old.stat().st_mtime > _UNUSED_SECONDS:
                old.unlink()
