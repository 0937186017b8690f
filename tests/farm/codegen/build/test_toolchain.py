"""From a folder of C to archives and programs: their bytes, their needs, and what goes wrong."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from farm.codegen.build import compilers
from farm.codegen.build.compilers import (
    Compiler,
    CompilerKind,
    Target,
    default_compiler,
    find_compilers,
    host_targets,
)
from farm.codegen.build.elf import object_sizes, undefined_symbols
from farm.codegen.build.toolchain import Library, build_library, build_runner
from farm.errors import CompileError
from tests.farm.codegen.packages import write_package

X86_64 = platform.machine() == "x86_64"
TARGETS = [t for t in Target if X86_64 or t.is_hexagon or t is Target.PORTABLE]


def failure(folder: Path, output: Path, compiler: Compiler | None = None) -> str:
    """The message of a build that fails; its folder is there, and removed here."""
    with pytest.raises(CompileError) as caught:
        build_library(folder, Target.PORTABLE, output, compiler)
    kept = Path(str(caught.value).split(" The folder is kept: ")[1])
    assert (kept / "model.c").is_file()
    shutil.rmtree(kept)
    assert not output.exists()
    return str(caught.value)


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> dict[Target, Library]:
    """The small package's archive for every target."""
    folder = tmp_path_factory.mktemp("libraries")
    return {
        target: build_library(
            write_package(folder / target / "package"), target, folder / target / "libmodel.a"
        )
        for target in TARGETS
    }


class TestLibrary:
    @pytest.mark.parametrize("target", TARGETS)
    def test_needs_two_functions_at_most(self, libraries, target):
        built = libraries[target]
        assert built.undefined <= {"memcpy", "memset"}
        assert undefined_symbols(built.path) == built.undefined
        assert built.compiler == default_compiler(target)

    @pytest.mark.parametrize("target", TARGETS)
    def test_sizes_by_file(self, libraries, target):
        built = libraries[target]
        assert set(built.sizes) == {"model.c", "weights.c"}
        assert built.weight_bytes == 1024
        assert 100 < built.code_bytes < 2000
        assert all(size.variables == 0 for size in built.sizes.values())

    @pytest.mark.parametrize("target", TARGETS)
    def test_the_same_bytes_from_another_folder(self, libraries, target, tmp_path):
        one = libraries[target]
        two = build_library(write_package(tmp_path / "there"), target, tmp_path / "a")
        assert one.path.read_bytes() == two.path.read_bytes()
        for folder in (one.path.parent, tmp_path):
            assert str(folder).encode() not in one.path.read_bytes()

    def test_the_sources_are_left_as_they_are(self, tmp_path):
        folder = write_package(tmp_path / "package")
        before = sorted(path for path in folder.rglob("*"))
        build_library(folder, Target.PORTABLE, tmp_path / "libmodel.a")
        assert sorted(path for path in folder.rglob("*")) == before

    @pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
    def test_by_another_compiler(self, tmp_path):
        (gcc,) = (c for c in find_compilers(Target.PORTABLE) if c.kind is CompilerKind.GCC)
        folder = write_package(tmp_path / "package")
        built = build_library(folder, Target.PORTABLE, tmp_path / "libmodel.a", gcc)
        assert built.compiler.label.startswith("gcc ")
        assert undefined_symbols(built.path) <= {"memcpy", "memset"}


@pytest.mark.parametrize("target", TARGETS)
def test_a_loop_that_moves_bytes_needs_no_memmove(tmp_path, target):
    folder = write_package(
        tmp_path / "p", "for (int i = 0; i < 255; i++) { result[i] = result[i + 1]; }"
    )
    for compiler in find_compilers(target):
        built = build_library(folder, target, tmp_path / "libmodel.a", compiler)
        assert built.undefined <= {"memcpy", "memset"}, compiler.label


class TestFailures:
    def test_a_compiler_that_fails(self, tmp_path):
        folder = write_package(tmp_path / "package", extra="total = nonsense;")
        message = failure(folder, tmp_path / "out.a")
        assert message.startswith(f"The compiler zig {default_compiler(Target.PORTABLE).version}")
        assert "failed: model.c:" in message
        assert "error: use of undeclared identifier 'nonsense'. The command was `" in message
        assert "-ffp-contract=off" in message

    def test_a_function_of_the_c_library(self, tmp_path):
        folder = write_package(
            tmp_path / "package", "total = expf(total);", "float expf(float);\n"
        )
        message = failure(folder, tmp_path / "out.a")
        assert "needs expf from elsewhere, and may need memcpy and memset only." in message

    def test_state_outside_the_memory(self, tmp_path):
        folder = write_package(tmp_path / "package", "count++;", "int count;\n")
        message = failure(folder, tmp_path / "out.a")
        assert message.startswith("model.c has 4 bytes of variables; all of a package's state ")

    def test_a_compiler_that_is_gone(self, tmp_path):
        gone = replace(default_compiler(Target.PORTABLE), command=("/nowhere/cc",))
        message = failure(write_package(tmp_path / "package"), tmp_path / "out.a", gone)
        assert "cannot be started: " in message

    def test_a_compiler_that_writes_something_else(self, tmp_path):
        script = tmp_path / "cc"
        script.write_text(f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'w').write('?')\n")
        script.chmod(0o755)
        strange = Compiler(CompilerKind.GCC, (str(script),), ("ar",), "0")
        folder = write_package(tmp_path / "package")
        message = failure(folder, tmp_path / "out.a", strange)
        assert message.startswith("model.o is not a little-endian ELF object file; ")

    @pytest.mark.parametrize(
        ("does", "message"),
        [
            ("kill -KILL $$", "was killed by signal 9 (SIGKILL). The command was"),
            ("exit 0", "reported no error, and did not write model.o. The command was"),
            ("exit 3", "failed: it printed nothing. The command was"),
        ],
    )
    def test_a_compiler_that_says_nothing(self, tmp_path, does, message):
        script = tmp_path / "cc"
        script.write_text(f"#!/bin/sh\n{does}\n")
        script.chmod(0o755)
        strange = Compiler(CompilerKind.GCC, (str(script),), ("ar",), "0")
        folder = write_package(tmp_path / "package")
        assert f"The compiler gcc 0 {message}" in failure(folder, tmp_path / "out.a", strange)

    def test_a_source_that_is_no_file(self, tmp_path):
        folder = write_package(tmp_path / "package")
        (folder / "kernels" / "endless.h").symlink_to("/dev/zero")
        with pytest.raises(CompileError, match=r"endless\.h is no regular file, and is not comp"):
            build_library(folder, Target.PORTABLE, tmp_path / "out.a")

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(CompileError, match=r"nothing to compile in .*: it has no \.c file"):
            build_library(tmp_path, Target.PORTABLE, tmp_path / "out.a")

    def test_no_compiler_for_the_hexagon(self, tmp_path, monkeypatch):
        monkeypatch.setattr(compilers, "_zig", lambda: None)
        find_compilers.cache_clear()
        with pytest.raises(CompileError) as caught:
            default_compiler(Target.HEXAGON)
        find_compilers.cache_clear()
        assert str(caught.value) == (
            "No compiler for hexagon-v67 was found; install Zig's with `pip install ziglang`."
        )

    def test_gcc_knows_no_hexagon(self):
        gcc = Compiler(CompilerKind.GCC, ("gcc",), ("ar",), "12")
        with pytest.raises(CompileError, match="for hexagon-v67 with Zig only, not with gcc"):
            gcc.flags(Target.HEXAGON)


class TestCompilers:
    def test_every_machine_runs_portable_code(self):
        assert host_targets()[-1] is Target.PORTABLE
        assert not any(target.is_hexagon for target in host_targets())

    def test_floats_are_the_same_everywhere(self):
        for target in TARGETS:
            for compiler in find_compilers(target):
                flags = compiler.flags(target)
                assert "-ffp-contract=off" in flags
                assert not {"-ffast-math", "-Ofast", "-march=native"} & set(flags)

    def test_zig_is_the_default(self):
        for target in TARGETS:
            assert default_compiler(target).kind is CompilerKind.ZIG
            assert "/" not in default_compiler(target).label


@pytest.fixture(scope="module")
def runners(tmp_path_factory: pytest.TempPathFactory) -> dict[Target, Library]:
    """The small package's program for the host and for the Hexagon."""
    folder = tmp_path_factory.mktemp("runners")
    return {
        target: build_runner(
            write_package(folder / target / "package"), target, folder / f"{target}.elf"
        )
        for target in (host_targets()[0], Target.HEXAGON_HVX)
    }


class TestRunner:
    def test_for_the_hexagon_it_stands_alone(self, runners):
        built = runners[Target.HEXAGON_HVX]
        assert isinstance(built, Library)
        assert undefined_symbols(built.path) == frozenset()
        assert object_sizes(built.path).code > built.sizes["model.c"].code

    def test_the_same_again(self, runners, tmp_path):
        for target, one in runners.items():
            two = build_runner(write_package(tmp_path / target), target, tmp_path / "there.elf")
            assert one.path.read_bytes() == two.path.read_bytes(), target
