import shutil
import subprocess

import numpy as np
import pytest

from farm.candidate import CalibrationMethod
from farm.codegen.compilers import CompilerKind, Target, default_compiler, find_compilers
from farm.codegen.generate import generate, tensors_to_calibrate
from farm.codegen.manifest import Manifest, Port, read_manifest
from farm.codegen.package import (
    REPLIES,
    VECTORS,
    Vector,
    build,
    finish_package,
    package_folder,
    write_sources,
)
from farm.compile.calibrate import calibrate
from farm.compile.prepare import prepare
from farm.errors import InputError, OptionError
from tests.farm.compile.graphs import residual_net


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
        ["make", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


class TestMake:
    def test_builds_and_tests_without_the_farm(self, tmp_path, portable):
        if not any(c.kind is CompilerKind.GCC for c in find_compilers(Target.PORTABLE)):
            pytest.skip("no gcc is installed, which is what the Makefile calls cc")
        shutil.copytree(portable[0], tmp_path, dirs_exist_ok=True)

        done = make(tmp_path, "clean", "test")
        assert done.returncode == 0, done.stderr
        assert "2 test vectors agree" in done.stdout

        replies = tmp_path / VECTORS / REPLIES
        changed = bytearray(replies.read_bytes())
        changed[5] ^= 1
        replies.write_bytes(changed)
        assert make(tmp_path, "test").returncode != 0

    @pytest.mark.usefixtures("emulator")
    def test_builds_and_tests_for_the_hexagon(self, tmp_path, hexagon):
        shutil.copytree(hexagon, tmp_path, dirs_exist_ok=True)

        done = make(tmp_path, "test", "CC=" + " ".join(default_compiler(Target.HEXAGON).command))

        assert done.returncode == 0, done.stderr
        assert "2 test vectors agree" in done.stdout


def test_every_byte_is_the_same_when_repeated(tmp_path, generation, hexagon):
    write(tmp_path, generation, Target.HEXAGON_HVX)

    first, second = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (hexagon, tmp_path)
    )
    assert first == second
    assert {"model.c", "libmodel.a", "model.elf", "manifest.json"} <= {str(p) for p in first}


def test_two_models_live_in_one_program(tmp_path, generation):
    compiler = default_compiler(Target.PORTABLE)
    write_sources(tmp_path, generation)
    (tmp_path / "main.c").write_text(
        "void a_model_run(void *, const float *, float *);\n"
        "void b_model_run(void *, const float *, float *);\n"
        "int main(void) { return a_model_run == b_model_run; }\n"
    )
    objects = []
    for prefix in ("a_", "b_"):
        for source in ("model.c", "weights.c"):
            objects.append(f"{prefix}{source}.o")
            command = [*compiler.command, f"-DMODEL_PREFIX={prefix}", "-c", source]
            subprocess.run([*command, "-o", objects[-1]], cwd=tmp_path, check=True)
    link = [*compiler.command, "main.c", *objects, "-o", "both"]
    subprocess.run(link, cwd=tmp_path, check=True)

    assert subprocess.run([tmp_path / "both"], check=False).returncode == 0


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

    def test_only_a_package_is_replaced(self, tmp_path):
        (tmp_path / "letters.txt").write_text("dear")
        with (
            pytest.raises(OptionError, match="is no package, so it is not replaced"),
            package_folder(tmp_path, replace=True),
        ):
            pass
