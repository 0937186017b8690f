"""Environments of packages that are named: resolved once, pinned, and run by name alone."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

import pytest

from farm.devices.environment import Environment
from farm.errors import DeviceError
from tests.tools.wheels import Wheel, build_wheel, environment_toml
from tests.workers import samples
from workers.discovery import engines_of
from workers.environments.install import install, remove
from workers.environments.installed import environments_of, installed_environments, states
from workers.environments.interpreters import Interpreters
from workers.environments.pip import released_versions
from workers.environments.resolve import (
    digest_of,
    ensure,
    environment_of_versions,
    packages_of,
    resolve,
)
from workers.environments.resolve import engines_of as engines_of_packages

Said = list[str]
CPU = ("onnxruntime-cpu",)


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip finds: a NumPy as old as today's, and others, in the place of real ones."""
    for name, value in {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "PIP_CONFIG_FILE": "/dev/null",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    stand_in(tmp_path, "numpy", importlib.metadata.version("numpy"))
    stand_in(tmp_path, "numpy", "99.0")
    stand_in(tmp_path, "onnxruntime", "98.1")
    stand_in(tmp_path, "onnxruntime", "98.2")
    return tmp_path


def stand_in(folder: Path, name: str, version: str) -> Wheel:
    """A package of this name whose module is the real one."""
    return build_wheel(folder, name, version, empty=True)


def lines(environment: Environment) -> list[str]:
    return sorted(line.split(" --hash")[0] for line in environment.requirements.splitlines())


def silent(line: str) -> None:
    del line


class TestResolve:
    def test_what_is_named_and_the_rest_of_today(self, index):
        said: Said = []
        found = resolve("suite-shop-floor-next", CPU, ["onnxruntime==98.1"], said.append)
        numpy = importlib.metadata.version("numpy")
        assert lines(found) == [f"numpy=={numpy}", "onnxruntime==98.1"]
        wheel = Wheel(index / "onnxruntime-98.1-py3-none-any.whl", "onnxruntime", "98.1")
        assert wheel.requirement in found.requirements.splitlines()
        assert re.fullmatch("suite-shop-floor-next-[0-9a-f]{12}", found.name)
        assert found.description == "onnxruntime==98.1"
        assert (found.engines, found.modules) == (CPU, ("onnxruntime",))
        assert found.by_name_only
        assert found.unsuited == ""
        assert said[0] == "Resolving onnxruntime==98.1"

    def test_hashes_as_pip_wrote_them_and_writes_them(self, index):
        file = index / "onnxruntime-98.1-py3-none-any.whl"
        _, sha256 = Wheel(file, "onnxruntime", "98.1").requirement.rsplit(":", 1)
        address = {"url": "https://index.example/some.whl"}
        for info in ({"hashes": {"sha256": "ab"}}, {"hash": "sha256=ab"}):
            assert digest_of({**address, "archive_info": info}) == "ab"
        assert digest_of({**address, "archive_info": {"hash": "md5=ab"}}) == ""
        assert digest_of({"url": file.as_uri(), "archive_info": {}}) == sha256

    def test_the_engines_are_those_whose_packages_are_named(self):
        assert resolve("s", (), ["onnxruntime==98.1"], silent).engines == CPU
        both = ["onnxruntime==1", "onnxruntime-ep-openvino==1"]
        assert engines_of_packages(both) == ("onnxruntime-cpu", "openvino")
        assert engines_of_packages(both[1:]) == ("openvino",)
        assert engines_of_packages(["onnxruntime-qnn"]) == ("onnxruntime-qnn",)
        assert engines_of_packages(["OpenVINO"]) == ("openvino-runtime", "openvino-gpu")
        assert engines_of_packages(["onnxruntime-gpu==1"]) == (
            *CPU,
            "onnxruntime-cuda",
            "onnxruntime-tensorrt",
        )
        with pytest.raises(DeviceError) as caught:
            engines_of_packages(["numpy==2"])
        assert str(caught.value) == (
            "No engine runs by numpy; name one of onnxruntime, onnxruntime-ep-openvino, openvino, "
            "onnxruntime-gpu, onnxruntime-webgpu, onnxruntime-qnn."
        )

    def test_a_named_numpy_is_the_one_and_the_engine_comes_along(self):
        found = resolve("s", CPU, ["numpy==99.0"], silent)
        assert lines(found)[0] == "numpy==99.0"
        assert lines(found)[1].startswith("onnxruntime==98.2"), "today's is nowhere"

    def test_a_package_that_stands_for_another(self, index):
        stand_in(index, "onnxruntime_gpu", "5.0")
        assert not any(
            line.startswith("onnxruntime==")
            for line in lines(resolve("s", CPU, ["onnxruntime-gpu==5.0"], silent))
        )

    def test_what_engines_on_nvidias_gpus_need_comes_along(self, index):
        stand_in(index, "onnxruntime_gpu", "5.0")
        stand_in(index, "nvidia_ml_py", "13.0")
        found = resolve("s", ("onnxruntime-cuda",), ["onnxruntime-gpu==5.0"], silent)
        assert {"onnxruntime_gpu==5.0", "nvidia_ml_py==13.0"} <= set(lines(found))
        assert found.modules == ("onnxruntime", "pynvml")

    def test_a_file(self, index):
        wheel = stand_in(index, "elsewhere", "3.0")
        url = wheel.path.as_uri()
        found = resolve("s", ("fake",), [f"elsewhere @ {url}"], silent)
        assert f"elsewhere @ {url} --hash=sha256:{wheel.sha256}" in found.requirements

    def test_installed_once_it_is_not_asked_for_again(self, index):
        found = resolve("s", CPU, ["onnxruntime==98.1"], silent)
        installed = ensure(found, silent)
        for path in index.glob("*.whl"):
            path.unlink()
        said: Said = []
        assert resolve("s", CPU, ["onnxruntime==98.1"], said.append) == found
        assert ensure(found, said.append) == installed
        assert said == []
        with pytest.raises(DeviceError, match=r"satisfies the requirement onnxruntime==98\.2"):
            resolve("s", CPU, ["onnxruntime==98.2"], silent)

    def test_one_whose_python_is_gone_is_made_again(self):
        found = resolve("s", CPU, ["onnxruntime==98.1"], silent)
        (ensure(found, silent).place / "bin" / "python").unlink()
        assert not ensure(found, silent).broken


@pytest.mark.parametrize(
    ("packages", "sentence"),
    [
        (
            ["nowhere==1.0"],
            "No environment of nowhere==1.0, onnxruntime, numpy can be made. pip says: Could not",
        ),
        (
            ["--pre"],
            "'--pre' is no package as pip names it; write for example onnxruntime==1.32.0.",
        ),
        (["./x.whl"], "'./x.whl' is no package as pip names it; write for example"),
        (["numpy==99.0", "numpy==98.0"], "No environment of numpy==99.0, numpy==98.0"),
    ],
)
def test_what_cannot_be_had_is_one_sentence(packages, sentence):
    with pytest.raises(DeviceError) as caught:
        resolve("s", CPU, packages, silent)
    assert str(caught.value).startswith(sentence)
    assert installed_environments() == {}


def test_packages_that_exclude_each_other(index):
    build_wheel(index, "picky", "1.0", requires="numpy<2")
    with pytest.raises(DeviceError) as caught:
        resolve("s", CPU, ["picky==1.0", "numpy==99.0"], silent)
    assert "conflicting dependencies" in str(caught.value)


class TestByName:
    @pytest.fixture
    def found(self) -> Environment:
        return ensure(resolve("s", CPU, ["onnxruntime==98.1"], silent), silent).environment

    def test_its_engines_are_given_to_nobody(self, found):
        profile = samples.cpu_profile()
        assert environments_of(CPU) == {}
        interpreters = Interpreters(profile)
        assert (interpreters.of("onnxruntime-cpu"), interpreters.versions()) == ("", {})
        assert interpreters.named(found.name).environment == found
        with pytest.raises(DeviceError, match="is in use"):
            remove(found.name)
        interpreters.close()
        assert engines_of(profile)["onnxruntime-cpu"].available
        (state,) = states({})
        assert (state.status, state.environment) == ("installed", found)
        remove(found.name)

    def test_it_excludes_no_other(self, found, index):
        from farm.devices.environment import parse_environment

        wheel = build_wheel(index)
        usual = parse_environment(environment_toml(wheel), "here")
        install(usual, silent)
        assert environments_of(CPU)["onnxruntime-cpu"].environment == usual
        ensure(resolve("s", CPU, ["onnxruntime==98.2"], silent), silent)
        assert len(installed_environments()) == 3


class TestVersions:
    def test_of_the_farms_own_python(self):
        software = {"python": "3.12", "farm": "1", "numpy": "2.0", "onnxruntime": "1.31.0"}
        assert packages_of("onnxruntime-cpu", software) == ("onnxruntime==1.31.0", "numpy==2.0")
        assert packages_of("openvino-runtime", software) == ("numpy==2.0",)

    def test_of_an_environment_it_is_all(self):
        software = {
            "numpy": "2.0",
            "onnxruntime-cpu: environment": "old 123",
            "onnxruntime-cpu: python": "3.12",
            "onnxruntime-cpu: flatbuffers": "25.1",
            "onnxruntime-cpu: numpy": "1.9",
            "onnxruntime-cpu: onnxruntime": "1.24.0",
        }
        assert packages_of("onnxruntime-cpu", software) == (
            "onnxruntime==1.24.0",
            "numpy==1.9",
            "flatbuffers==25.1",
        )

    def test_nvidias_libraries_belong_to_them(self):
        known = {
            "onnxruntime-gpu": "5.0",
            "nvidia-cudnn-cu13": "9.1",
            "nvidia driver": "570",
            "onnx": "1",
        }
        assert packages_of("onnxruntime-cuda", known) == (
            "onnxruntime-gpu==5.0",
            "nvidia-cudnn-cu13==9.1",
        )

    def test_their_environment(self):
        found = environment_of_versions("onnxruntime-cpu", {"onnxruntime": "98.1"}, silent)
        assert found.name.startswith("onnxruntime-98.1-")
        assert "onnxruntime==98.1" in lines(found)

    def test_of_nothing(self):
        with pytest.raises(DeviceError, match="What onnxruntime-cpu ran with is not known"):
            environment_of_versions("onnxruntime-cpu", {"python": "3"}, silent)

    def test_that_are_released(self):
        assert released_versions("onnxruntime") == ("98.1", "98.2")
        with pytest.raises(DeviceError) as caught:
            released_versions("nowhere")
        assert str(caught.value) == (
            "The versions of nowhere are not known. pip says: No matching distribution found for "
            "nowhere."
        )
