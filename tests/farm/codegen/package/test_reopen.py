"""A delivered package runs again: its own library, with the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.artifact.folder import adopt_package
from farm.candidate import CPackage, CPackageEmulated
from farm.codegen.build.compilers import Target
from farm.codegen.package.manifest import read_manifest
from farm.codegen.package.record import EMULATED_FILE, RUNNER_FILE, read_compiled
from farm.devices.profile import load_profiles
from farm.errors import InputError
from tests import models
from tuner.package import PackagePrecision, PackageRequest, make_package
from tuner.verify.vectors import read_vectors
from workers.engines.runner import RunnerProcess

PROGRAM = {"cpu": RUNNER_FILE, "dsp": EMULATED_FILE}


def make(folder: Path, device: str) -> Path:
    model = models.save(models.mlp(), folder)
    request = PackageRequest(model, folder / "package", precision=PackagePrecision.FLOAT32)
    make_package(request, load_profiles()[device])
    return folder / "package"


@pytest.mark.parametrize("device", ["cpu", "dsp"])
def test_it_answers_as_it_was_delivered(tmp_path, device, request):
    if device == "dsp":
        request.getfixturevalue("emulator")
    package, folder = make(tmp_path, device), tmp_path / "artifact"
    folder.mkdir()
    manifest = read_manifest(package)
    engine = CPackageEmulated() if device == "dsp" else CPackage(target=str(manifest.target))
    if device == "dsp":
        (package / EMULATED_FILE).chmod(0o644)  # as a copy through an archive or a web page is
    adopt_package(package, folder, engine)
    compiled = read_compiled(folder)
    assert (compiled.memory_bytes, compiled.target) == (manifest.memory_bytes, manifest.target)
    target = manifest.target if device == "dsp" else Target.PORTABLE
    with RunnerProcess(folder / PROGRAM[device], target) as runner:
        for vector in read_vectors(package, manifest):
            (answer,) = runner.run(vector.inputs)
            assert answer.tobytes() == vector.outputs[0].tobytes()


def test_what_is_no_package(tmp_path):
    with pytest.raises(InputError, match="is no package"):
        adopt_package(tmp_path, tmp_path, CPackage())
