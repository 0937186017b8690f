"""What leaves the repository: the wheel, the lock file and the committed example."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
PACKAGES = ("farm", "workers", "tuner", "db", "reports", "commands")
EXAMPLE = ROOT / "examples" / "digits.onnx"
EXAMPLE_DATA = ROOT / "examples" / "digits.npz"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked; built from a copy, because setuptools writes into its source."""
    source = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    for package in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("cli.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = tmp_path_factory.mktemp("built")
    command = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(built), str(source)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = built.glob("farm-*.whl")
    unpacked = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(archive) as opened:
        opened.extractall(unpacked)
    return unpacked


def test_the_wheel_has_exactly_the_import_roots(wheel):
    names = {path.name for path in wheel.iterdir() if path.suffix != ".dist-info"}
    assert names == {*PACKAGES, "cli.py"}


def test_the_wheel_has_every_file_of_the_packages(wheel):
    for package in PACKAGES:
        assert _files(wheel / package) == _files(ROOT / package), package


def test_the_wheel_tells_type_checkers_that_it_is_typed(wheel):
    for package in PACKAGES:
        assert (wheel / package / "py.typed").is_file(), package


def test_the_types_of_the_api_are_seen_from_outside(wheel, tmp_path):
    user = tmp_path / "user.py"
    user.write_text(
        "from commands import api\n"
        "result: api.TuneResult = api.tune('m.onnx', budget=1.0)\n"
        "reveal_type(result.devices[0].device)\n"
        "api.tune('m.onnx', budget='1m')\n"
    )
    options = ["--strict", "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache")]
    told = subprocess.run(
        [sys.executable, "-m", "mypy", *options, str(user)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(wheel)},
        check=False,
        timeout=300,
    ).stdout
    assert 'Revealed type is "str"' in told, told
    assert 'Argument "budget" to "tune" has incompatible type "str"; expected "float"' in told
    assert "Found 1 error" in told


def test_the_wheel_carries_the_command_and_the_licence(wheel):
    (info,) = wheel.glob("*.dist-info")
    assert "farm = farm.entry:main" in (info / "entry_points.txt").read_text(encoding="utf-8")
    assert (info / "licenses" / "LICENSE").is_file()


def test_the_command_starts_from_the_wheel(wheel, tmp_path):
    program = (
        f"import sys; sys.path.insert(0, {str(wheel)!r}); import cli; "
        f"assert cli.__file__.startswith({str(wheel)!r}), cli.__file__; cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "tune" in done.stdout


def test_the_lock_pins_every_dependency_and_no_address():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in text
    pins = [Requirement(line) for line in text.splitlines() if line and line[0] not in " #"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    for requirement in map(Requirement, wanted):
        found = [pin for pin in pins if pin.name == requirement.name]
        assert found, f"{requirement.name} is not in requirements.lock: run `make lock`"
        for pin in found:
            (version,) = pin.specifier
            assert version.operator == "=="
            assert version.version in requirement.specifier, f"{pin}: run `make lock`"


def test_nobody_is_told_to_install_what_another_project_called_farm():
    """The index has a package of that name, and it is not this one: name what is missing."""
    texts = [*ROOT.glob("*.md"), *ROOT.glob("*.yml"), *(ROOT / "docs").rglob("*.md")]
    texts += [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    told = re.compile(r"pip install (?:-\S+ )*['\"`]?farm\b")
    assert [path.name for path in texts if told.search(path.read_text("utf-8"))] == []


def test_the_example_is_small():
    assert EXAMPLE.stat().st_size < 500_000
    assert EXAMPLE_DATA.stat().st_size < 100_000


def test_the_example_is_a_valid_model_with_a_dynamic_batch():
    model = onnx.load(EXAMPLE)
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    sizes = [axis.dim_param or axis.dim_value for axis in image.type.tensor_type.shape.dim]
    assert (image.name, sizes) == ("image", ["batch", 1, 8, 8])
    assert [output.name for output in model.graph.output] == ["probabilities"]


def test_the_example_recognises_digits():
    session = ort.InferenceSession(EXAMPLE, providers=["CPUExecutionProvider"])
    with np.load(EXAMPLE_DATA) as data:
        image, label = data["image"], data["label"]
    assert image.dtype == np.float32
    assert image.shape == (len(label), 1, 8, 8)
    assert len(label) >= 500
    (probabilities,) = session.run(None, {"image": image})
    assert np.mean(np.argmax(probabilities, axis=1) == label) >= 0.97


def test_the_example_data_was_not_trained_on():
    split = _training_script().split_digits()
    with np.load(EXAMPLE_DATA) as data:
        held = {image.tobytes() for image in data["image"]}
    trained = {image.tobytes() for image in split.train_images.transpose(0, 3, 1, 2)}
    assert len(trained) + len(held) == 1797
    assert not held & trained


def _files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def _training_script() -> ModuleType:
    spec = spec_from_file_location("train_digits", ROOT / "examples" / "train_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
