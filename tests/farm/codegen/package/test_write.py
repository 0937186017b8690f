import os
import shutil
import subprocess
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from onnx.helper import make_node

from farm.candidate import CalibrationMethod
from farm.codegen.build.compilers import (
    Compiler,
    CompilerKind,
    Target,
    compiler_environment,
    default_compiler,
    find_compilers,
    host_targets,
)
from farm.codegen.emit import emit
from farm.codegen.generate import generate, tensors_to_calibrate
from farm.codegen.package.manifest import Manifest, Port, read_manifest
from farm.codegen.package.readme import makefile, readme
from farm.codegen.package.write import (
    REPLIES,
    VECTORS,
    Vector,
    build,
    finish_package,
    package_folder,
    write_sources,
)
from farm.compile.prepare import prepare
from farm.compile.quantization.calibrate import calibrate
from farm.errors import InputError, OptionError
from tests.farm.compile.graphs import residual_net
from tests.models import build as build_model
from tests.models import value, weights


@pytest.fixture(scope="module")
def generation():
    model = prepare(residual_net()).model
    random = np.random.default_rng(0)
    feeds = [{"image": random.random((1, 3, 8, 8), np.float32)} for _ in range(4)]
    names = tensors_to_calibrate(model)
    ranges = calibrate(model, names, feeds, CalibrationMethod.MIN_MAX).ranges
    return generate(model, "test", ranges)


def write(folder, generation, target):
    """A package of the model, with two test vectors."""
    compiler = default_compiler(target)
    write_sources(folder, generation)
    library = build(folder, target, compiler)
    random = np.random.default_rng(1)
    inputs = [random.random((1, 3, 8, 8), np.float32) for _ in range(2)]
    vectors = [
        Vector((image,), tuple(generation.program.run({"image": image}).values()))
        for image in inputs
    ]
    storage, generated = generation.storage, generation.generated
    manifest = Manifest(
        name=generated.name,
        model_sha256="0" * 64,
        profile="test",
        target=target,
        precision="int8",
        packets=None,
        macs=generation.program.macs,
        operators=len(storage.steps),
        arena_bytes=storage.arena_bytes,
        arena_lower_bound=storage.plan.lower_bound,
        scratch_bytes=storage.scratch_bytes,
        memory_bytes=generated.memory_bytes,
        weight_bytes=generated.weight_bytes,
        code_bytes=library.code_bytes,
        accuracy=None,
        compiler=compiler.label,
        flags=compiler.flags(target),
        inputs=(Port("image", "float32", (1, 3, 8, 8)),),
        outputs=(Port("y", "float32", (1, 4)),),
        vectors=len(vectors),
        notes=(),
        farm="0",
    )
    finish_package(folder, manifest, vectors)
    return manifest


@pytest.fixture(scope="module")
def portable(tmp_path_factory, generation):
    folder = tmp_path_factory.mktemp("portable")
    return folder, write(folder, generation, Target.PORTABLE)


@pytest.fixture(scope="module")
def hexagon(tmp_path_factory, generation):
    folder = tmp_path_factory.mktemp("hexagon")
    write(folder, generation, Target.HEXAGON_HVX)
    return folder


def make(folder, *arguments):
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env={name: each for name, each in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
        check=False,
    )


class TestMake:
    def test_builds_and_tests_without_the_farm(self, tmp_path, portable):
        if not any(c.kind is CompilerKind.GCC for c in find_compilers(Target.PORTABLE)):
            pytest.skip("no gcc is installed, which is what the Makefile calls cc")
        shutil.copytree(portable[0], tmp_path, dirs_exist_ok=True)

        done = make(tmp_path, "clean", "test")
        assert done.returncode == 0, done.stderr
        assert "2 test vectors agree" in done.stdout
        assert "warning" not in done.stderr

        replies = tmp_path / VECTORS / REPLIES
        changed = bytearray(replies.read_bytes())
        changed[5] ^= 1
        replies.write_bytes(changed)
        assert make(tmp_path, "test").returncode != 0

    @pytest.mark.parametrize(
        ("compiler", "version", "kind"),
        [
            ("cc", "cc (Debian 12.2.0) 12.2.0", CompilerKind.GCC),
            ("cc", "Apple clang version 15.0.0", CompilerKind.CLANG),
            ("zig", "clang version 20.1.2", CompilerKind.ZIG),
        ],
    )
    def test_every_compiler_gets_its_own_flags(self, tmp_path, portable, compiler, version, kind):
        manifest = replace(portable[1], target=Target.AVX512_VNNI)
        (tmp_path / "Makefile").write_text(makefile(manifest))
        for name in ("model.h", "weights.h", "model.c"):
            (tmp_path / name).touch()
        script = tmp_path / compiler
        script.write_text(f"#!/bin/sh\necho '{version}'\n")
        script.chmod(0o755)

        done = make(tmp_path, "--dry-run", "model.o", f"CC={script} cc")

        assert done.returncode == 0, done.stderr
        wanted = Compiler(kind, (), (), "").flags(Target.AVX512_VNNI)
        assert set(done.stdout.split()[2:-5]) - {"-I.", "-Iruntime"} == set(wanted)

    def test_portable_code_is_for_every_architecture(self, portable):
        text = (portable[0] / "Makefile").read_text()
        assert "-march" not in text
        assert "-mcpu" not in text.replace("-mcpu=baseline", "")

    @pytest.mark.usefixtures("emulator")
    def test_builds_and_tests_for_the_hexagon(self, tmp_path, hexagon):
        shutil.copytree(hexagon, tmp_path, dirs_exist_ok=True)

        done = make(tmp_path, "test", "CC=" + " ".join(default_compiler(Target.HEXAGON).command))

        assert done.returncode == 0, done.stderr
        assert "2 test vectors agree" in done.stdout
        same = (tmp_path / "model.elf").read_bytes() == (hexagon / "model.elf").read_bytes()
        assert same, "what make makes is what is shipped"


def test_every_byte_is_the_same_when_repeated(tmp_path, generation, hexagon):
    write(tmp_path, generation, Target.HEXAGON_HVX)

    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (hexagon, tmp_path)
    )
    assert first == second
    assert {"model.c", "libmodel.a", "model.elf", "manifest.json"} <= {str(p) for p in first}


def test_a_tensors_name_stays_in_its_line(portable):
    port = Port("a\nb`c", "float32", (1,))
    text = readme(replace(portable[1], inputs=(port,)))
    assert "- `input_a_b_c`: float32 [1], row-major; the model's `a b'c`\n" in text
    odd = Port("a\x1b[31m\u202e", "float32", (1,))
    text = readme(replace(portable[1], inputs=(odd,)))
    assert "the model's `a\\x1b[31m\\u202e`\n" in text
    text = readme(replace(portable[1], notes=("'a\r\n\x1b[31m' is 1.",)))
    assert "- 'a\\r\\n\\x1b[31m' is 1.\n" in text


ODD = ("float_matmul_0", "new", "FLOAT_LANES", "input_x")  # inputs; the outputs:
ODDER = ("input_float_matmul_0", "operator", "uint8_t", "x.1")
CALLER = """
#include <stdio.h>
#include <stdlib.h>

#include "kws/model.h"
#include "odd/model.h"

static float image[192], x[4][8], y[4], z[4][4];

int main(void) {
    if (fread(image, sizeof image, 1, stdin) != 1 || fread(x, sizeof x, 1, stdin) != 1) {
        return 1;
    }
    void *memory[2] = {aligned_alloc(128, KWS_MEMORY_BYTES), aligned_alloc(128, ODD_MEMORY_BYTES)};
    kws_run(memory[0], image, y);
    odd_run(memory[1], x[0], x[1], x[2], x[3], z[0], z[1], z[2], z[3]);
    free(memory[0]);
    free(memory[1]);
    fwrite(y, sizeof y, 1, stdout);
    fwrite(z, sizeof z, 1, stdout);
    return 0;
}
"""


def odd_net():
    """Matrix products whose tensors have names that mean something to a compiler."""
    nodes = [make_node("MatMul", [x, "w"], [y], name=y) for x, y in zip(ODD, ODDER, strict=True)]
    inputs, outputs = [value(x, [2, 4]) for x in ODD], [value(y, [2, 2]) for y in ODDER]
    return generate(build_model(nodes, inputs, outputs, weights(w=(4, 2))), "test", name="odd")


@pytest.fixture(scope="module")
def two_packages(tmp_path_factory, generation):
    """A folder with two packages and a file that calls both, and their programs."""
    folder = tmp_path_factory.mktemp("packages")
    named = emit(generation.program, generation.storage, "test", "kws")
    models = {"kws": replace(generation, generated=named), "odd": odd_net()}
    for name, model in models.items():
        (folder / name).mkdir()
        write_sources(folder / name, model)
    (folder / "caller.c").write_text(CALLER)
    return folder, [model.program for model in models.values()]


def check_answers(folder, programs):
    """Run the program ``both`` in a folder: it must answer what the packages' programs do."""
    kws, odd = programs
    random = np.random.default_rng(2)
    image = random.random((1, 3, 8, 8), np.float32)
    xs = random.standard_normal((4, 2, 4)).astype(np.float32)

    both = subprocess.run(
        [folder / "both"],
        input=image.tobytes() + xs.tobytes(),
        capture_output=True,
        check=False,
    )

    assert (both.returncode, both.stderr) == (0, b"")
    found = np.frombuffer(both.stdout, np.float32)
    assert found[:4].tobytes() == kws.run({"image": image})["y"].tobytes()
    wanted = odd.run(dict(zip(ODD, xs, strict=True)))
    np.testing.assert_allclose(found[4:], np.ravel([wanted[y] for y in ODDER]), rtol=1e-5)


def run_compiler(compiler, target, folder, *arguments):
    """Run a compiler with its flags for a target, and others behind them."""
    command = [*compiler.command, *compiler.flags(target), *arguments]
    subprocess.run(command, cwd=folder, check=True, env=compiler_environment())


def test_one_file_calls_two_models(two_packages):
    folder, programs = two_packages
    compiler, target = default_compiler(Target.PORTABLE), Target.PORTABLE
    objects = []
    for source in ("caller.c", *(path.relative_to(folder) for path in folder.glob("*/*.c"))):
        objects.append(f"{source}.o".replace("/", "_"))
        run_compiler(compiler, target, folder, "-O0", "-c", source, "-o", objects[-1])
    run_compiler(compiler, target, folder, *objects, "-o", "both")
    check_answers(folder, programs)

    cpp = ("-std=c++17", "-x", "c++", "-Werror", "-c", "caller.c", "-o", objects[0])
    run_compiler(compiler, target, folder, *cpp)
    run_compiler(compiler, target, folder, *objects, "-o", "both")
    check_answers(folder, programs)


def test_nothing_beyond_the_promised_memory_is_read(two_packages):
    folder, programs = two_packages
    gcc = sanitizing_gcc()
    sanitize = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    sources = ["caller.c", *folder.glob("*/*.c")]
    run_compiler(gcc, host_targets()[0], folder, *sanitize, *sources, "-o", "both")
    check_answers(folder, programs)


@pytest.mark.parametrize("target", [t for t in Target if not t.is_hexagon])
def test_strict_compilers_warn_of_nothing(tmp_path, target):
    found = [c for c in find_compilers(target) if c.kind is CompilerKind.GCC]
    if not found:
        pytest.skip("there is no gcc")
    kernels = resources.files("farm.codegen") / "kernels"
    names = [each.name for each in kernels.iterdir() if not each.name.startswith("vector_")]
    (tmp_path / "all.c").write_text("".join(f'#include "{name}"\n' for name in names))

    strict = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror", "-fsyntax-only")
    run_compiler(found[0], target, tmp_path, *strict, f"-I{kernels}", "all.c")


def sanitizing_gcc():
    """Gcc with its sanitizers' libraries; without them the test is skipped."""
    for compiler in find_compilers(Target.PORTABLE):
        if compiler.kind is CompilerKind.GCC:
            command = [*compiler.command, "-print-file-name=libasan.so"]
            found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            if "/" in found:  # gcc repeats the bare name of what it does not have
                return compiler
    return pytest.skip("there is no gcc with its sanitizers")


class TestManifest:
    def test_comes_back(self, portable):
        folder, written = portable

        assert read_manifest(folder) == written

    def test_a_folder_that_is_no_package(self, tmp_path):
        with pytest.raises(InputError, match=r"is no package: manifest.json cannot be read"):
            read_manifest(tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"{", "at its text|at the top|Invalid JSON"),
            (b"{}", "Field required"),
            (b"\xff", "UTF-8|JSON"),
        ],
    )
    def test_a_file_that_is_no_manifest(self, tmp_path, content, message):
        (tmp_path / "manifest.json").write_bytes(content)

        with pytest.raises(InputError, match=message):
            read_manifest(tmp_path)


class TestFolder:
    def test_is_whole_or_not_there(self, tmp_path):
        target = tmp_path / "out"
        with pytest.raises(ZeroDivisionError), package_folder(target, replace=False) as draft:
            (draft / "model.c").write_text(str(1 // 0))

        assert list(tmp_path.iterdir()) == []

    def test_what_exists_stays(self, tmp_path):
        with (
            pytest.raises(OptionError, match=r"exists already; give --force to replace it\."),
            package_folder(tmp_path, replace=False),
        ):
            pass

    def test_a_package_is_replaced_with_what_make_made(self, tmp_path, portable):
        target = tmp_path / "out"
        shutil.copytree(portable[0], target)
        for name in ("model.o", "model.elf", "runtime/runner.o", "provenance.json"):
            (target / name).touch()
        with package_folder(target, replace=True) as draft:
            (draft / "new").touch()
        assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")] == [
            "out",
            "out/new",
        ]

    @pytest.mark.parametrize("name", ["main.c", "kernels/mine.h", "notes/letter.txt"])
    def test_what_no_package_has_is_kept(self, tmp_path, portable, name):
        target = tmp_path / "out"
        shutil.copytree(portable[0], target)
        (target / name).parent.mkdir(exist_ok=True)
        (target / name).write_text("dear")
        with pytest.raises(OptionError) as caught, package_folder(target, replace=True):
            pass
        assert f"out holds {name.removesuffix('/letter.txt')}, which is no part" in str(
            caught.value
        )
        assert (target / name).read_text() == "dear"

    def test_a_package_comes_back_when_its_heir_cannot_move_in(
        self, tmp_path, portable, monkeypatch
    ):
        target = tmp_path / "out"
        shutil.copytree(portable[0], target)
        rename = Path.rename

        def failing(self, to):
            if ".out-" in self.name and "old" not in self.name:
                raise OSError(5, "Input/output error", str(self))
            return rename(self, to)

        monkeypatch.setattr(Path, "rename", failing)
        with (
            pytest.raises(OptionError, match=r"cannot be written to .*: Input/output error"),
            package_folder(target, replace=True),
        ):
            pass
        assert (target / "libmodel.a").is_file()
        assert list(tmp_path.iterdir()) == [target]

    @pytest.mark.parametrize("there", ["folder", "nowhere"])
    def test_a_link_is_not_replaced(self, tmp_path, there):
        (tmp_path / "folder").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / there)
        with (
            pytest.raises(OptionError, match="link is a symbolic link, which a package does not"),
            package_folder(tmp_path / "link", replace=True),
        ):
            pass

    def test_only_a_package_is_replaced(self, tmp_path):
        (tmp_path / "letters.txt").write_text("dear")
        with (
            pytest.raises(OptionError, match="is no package, so it is not replaced"),
            package_folder(tmp_path, replace=True),
        ):
            pass
