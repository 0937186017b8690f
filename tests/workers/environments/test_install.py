"""Environments on this machine: installed by pip, used, removed; and everything that fails."""

from __future__ import annotations

import errno
import shutil
import sys
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from farm.candidate import Candidate, FloatType
from farm.devices.environment import Environment, parse_environment
from farm.devices.profile import Availability, DeviceProfile
from farm.errors import DeviceError
from farm.host.locks import Lock
from farm.measurement import Outcome
from tests.tools.wheels import Wheel, build_wheel, environment_toml, pretend_installed
from tests.workers import samples
from workers.discovery import device_availability, engines_of, openvino_float_types
from workers.environments.install import install, remove
from workers.environments.installed import environments_folder, installed_environments, states
from workers.environments.interpreters import Interpreters
from workers.fingerprint import fingerprint, software_versions
from workers.trials.worker import Worker

Refused = Callable[[Environment], str]


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder of the test's own; pip finds the test's wheels and nothing else."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return tmp_path / "data"


@pytest.fixture
def wheel(tmp_path: Path) -> Wheel:
    return build_wheel(tmp_path)


@pytest.fixture
def tiny(wheel: Wheel) -> Environment:
    return parse_environment(environment_toml(wheel), "here")


@pytest.fixture
def refused() -> Refused:
    """What is said of an environment that cannot be installed; nothing of it is left."""

    def sentence(environment: Environment) -> str:
        before = installed_environments()
        with pytest.raises(DeviceError) as caught:
            install(environment, lambda _: None)
        assert installed_environments() == before
        folder = environments_folder()
        assert not folder.exists() or {p.name for p in folder.iterdir()} == before.keys()
        return str(caught.value)

    return sentence


class TestInstall:
    def test_from_nothing_to_nothing(self, tiny):
        said: list[str] = []
        found = install(tiny, said.append)
        assert found.versions.keys() == {"python", "tiny"}
        assert found.versions["tiny"] == "1.0"
        assert installed_environments() == {"tiny": found}
        assert [p.name for p in environments_folder().iterdir()] == ["tiny"]
        assert not (found.place / "tmp").exists()
        assert any("tiny" in line for line in said)
        assert not any("(from " in line for line in said)

        again: list[str] = []
        assert install(tiny, again.append) == found
        assert again == [], "nothing is done twice"

        profile = samples.cpu_profile()
        interpreters = Interpreters(profile)
        assert interpreters.of("onnxruntime-cpu") == str(found.interpreter)
        assert interpreters.of("cpackage") == "", "the farm's own"
        with pytest.raises(DeviceError, match=r"^Environment tiny is in use: "):
            remove("tiny")
        interpreters.close()
        assert remove("tiny") == found
        assert installed_environments() == {}
        assert list(environments_folder().iterdir()) == []
        assert Interpreters(profile).of("onnxruntime-cpu") == ""

    def test_nothing_is_sent_when_it_is_tried_whether_modules_can_be_imported(self, tmp_path):
        sender = (
            "try:\n    import openvino_telemetry\nexcept ImportError:\n    pass\n"
            "else:\n    raise SystemExit('it would send')\n"
        )
        both = [
            build_wheel(tmp_path, "sender", source=sender),
            build_wheel(tmp_path, "openvino_telemetry"),
        ]
        environment = parse_environment(environment_toml(both[0]), "here")
        lines = "\n".join(wheel.requirement for wheel in both)
        found = install(replace(environment, requirements=lines), lambda _: None)
        assert found.versions.keys() == {"python", "sender", "openvino_telemetry"}

    def test_what_a_killed_install_left_is_removed_and_counts_for_nothing(self, tiny):
        place = pretend_installed(tiny)
        left = place.rename(place.with_name(".draft-killed"))
        assert installed_environments() == {}
        with pytest.raises(DeviceError, match="is not installed"):
            remove("tiny")
        assert not left.exists()

    def test_a_folder_without_a_record_is_not_installed(self, tiny):
        place = pretend_installed(tiny)
        (place / "farm-environment.json").write_text('{"environment": 3}')
        assert installed_environments() == {}


class TestRefused:
    def test_another_file_than_was_pinned(self, tiny, refused):
        other = replace(tiny, requirements="tiny==1.0 --hash=sha256:" + 64 * "0")
        assert refused(other).startswith(
            "Environment tiny was not installed. pip says: THESE PACKAGES DO NOT MATCH THE HASHES"
        )

    def test_a_package_that_is_nowhere(self, tiny, refused):
        other = replace(tiny, requirements="missing==1.0 --hash=sha256:" + 64 * "0")
        assert refused(other) == (
            "Environment tiny was not installed. pip says: Could not find a version that "
            "satisfies the requirement missing==1.0 (from versions: none)."
        )

    def test_a_module_that_cannot_be_imported(self, tiny, refused):
        assert refused(replace(tiny, modules=("tiny", "larger"))) == (
            "Environment tiny was not installed: its module larger cannot be imported: "
            "ModuleNotFoundError: No module named 'larger'."
        )

    def test_no_network(self, tiny, refused, monkeypatch, tmp_path):
        _stand_in(
            monkeypatch,
            tmp_path,
            "WARNING: Retrying (total=0) after connection broken by 'NewConnectionError'",
            "ERROR: No matching distribution found for tiny==1.0",
        )
        assert refused(tiny) == (
            "Environment tiny was not installed. pip says: No matching distribution found for "
            "tiny==1.0. Packages could not be fetched: the network or the index did not answer."
        )

    def test_a_full_disk(self, tiny, refused, monkeypatch, tmp_path):
        sentence = (
            f"Environment tiny was not changed: the disk of {environments_folder()} is full. "
            "Make room there."
        )
        _stand_in(monkeypatch, tmp_path, "ERROR: an OSError: [Errno 28] No space left on device")
        assert refused(tiny) == sentence

        def create(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(venv, "create", create)
        assert refused(tiny) == sentence

    def test_without_pip(self, tiny, refused, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert refused(tiny) == (
            f"Environments are made with pip, and {sys.executable} has none; "
            f"`{sys.executable} -m ensurepip` adds it."
        )

    def test_for_another_system(self, tiny, refused):
        assert refused(replace(tiny, systems=("plan9",))) == (
            "Environment tiny cannot be installed here: it is for the system plan9, and this is "
            f"{sys.platform}."
        )

    def test_two_for_one_engine(self, tiny, refused):
        pretend_installed(tiny)
        assert refused(replace(tiny, name="other")) == (
            "Environment tiny is installed and gives onnxruntime-cpu, too, and an engine runs in "
            "one environment; `farm devices remove tiny` first."
        )

    def test_a_description_that_changed(self, tiny, refused):
        pretend_installed(tiny)
        other = replace(tiny, requirements="tiny==2.0 --hash=sha256:" + 64 * "0")
        assert refused(other) == (
            "Environment tiny is installed, with other packages or engines than its file names "
            "now; `farm devices remove tiny` first, then install it again."
        )

    def test_while_another_process_installs(self, tiny, refused):
        environments_folder().mkdir(parents=True)
        with Lock.take(environments_folder()):
            assert refused(tiny).startswith("Another process installs or removes an environment")

    def test_where_nothing_can_be_written(self, tiny, refused, data):
        data.mkdir()
        (data / "farm").write_text("a file")
        assert (
            refused(tiny) == f"The folder {environments_folder()} cannot be made: Not a directory."
        )

    def test_removing_what_is_not_there(self, tiny):
        pretend_installed(tiny)
        with pytest.raises(DeviceError) as caught:
            remove("tinny")
        assert str(caught.value) == (
            "Environment 'tinny' is not installed. Did you mean tiny? Installed environments: "
            "tiny."
        )


class TestUse:
    def test_an_engine_that_the_farm_itself_lacks(self, tiny, monkeypatch):
        """It is offered as soon as an environment gives it."""
        from workers import discovery

        monkeypatch.setitem(discovery._PROBES, "warp", lambda: discovery._BY_PACKAGE)
        profile = replace(samples.cpu_profile(), engines=("warp",))
        warp = replace(tiny, engines=("warp",))
        assert not device_availability(profile).available
        monkeypatch.setattr(discovery, "load_environments", lambda: {"tiny": warp})
        assert engines_of(profile)["warp"].remedy == "farm devices install tiny"
        pretend_installed(warp)
        assert device_availability(profile).available
        assert engines_of(profile)["warp"].available

    def test_openvinos_arithmetic_is_asked_where_openvino_runs(self, tiny, monkeypatch, tmp_path):
        pytest.importorskip("openvino")
        profile = replace(samples.cpu_profile(), engines=("openvino-runtime",))
        pretend_installed(replace(tiny, engines=profile.engines))
        missing = Availability(available=False, reason="it is not installed")
        monkeypatch.setattr("workers.discovery._openvino_runtime", lambda: missing)
        monkeypatch.setattr("workers.discovery._openvino", lambda: missing)
        worker = Worker(profile, tmp_path / "cache")
        try:
            assert FloatType.FLOAT32 in worker.describe().openvino_float_types
        finally:
            worker.close()
        answers = tmp_path / "python"
        answers.write_text('#!/bin/sh\necho \'["BF16", "INT8"]\'\n')
        answers.chmod(0o755)
        assert openvino_float_types(str(answers)) == (FloatType.BFLOAT16,)
        assert openvino_float_types() == ()
        assert openvino_float_types("/nowhere/python") == (FloatType.FLOAT32,)

    def test_an_engine_that_this_farm_does_not_know(self, tiny):
        pretend_installed(replace(tiny, engines=("warp",)))
        profile = replace(samples.cpu_profile(), engines=("warp",))
        assert "has no engine 'warp'" in engines_of(profile)["warp"].reason

    def test_one_whose_python_is_gone(self, tiny, refused):
        place = pretend_installed(tiny)
        (place / "bin" / "python").unlink()
        found = engines_of(samples.cpu_profile())["onnxruntime-cpu"]
        assert found.reason == "the Python that environment tiny was made with is gone"
        assert found.remedy == "farm devices remove tiny, then farm devices install tiny"
        assert refused(tiny).startswith(f"Environment tiny is installed, but {found.reason}; ")
        (state,) = states({})
        assert state.status == "broken"

    def test_its_python_runs_the_engine(self, tiny, tmp_path):
        place = pretend_installed(tiny)
        worker = Worker(samples.cpu_profile(), tmp_path / "cache")
        worker.prepare(samples.workload(samples.named_conv_net()))
        report = worker.run_trial(samples.job(Candidate()))
        assert report.outcome is Outcome.OK, report.message
        started = [child.cmdline()[0] for child in psutil.Process().children()]
        assert str(place / "bin" / "python") in started
        worker.close()

    def test_the_profiles_own_interpreter_wins(self, tiny):
        pretend_installed(tiny)
        interpreters = Interpreters(replace(samples.cpu_profile(), interpreter=sys.executable))
        assert interpreters.of("onnxruntime-cpu") == sys.executable
        found, own = interpreters.versions(), software_versions()
        assert found["interpreter: python"] == own["python"]
        assert found["interpreter: numpy"] == own["numpy"]
        remove("tiny")

    def test_versions_of_an_interpreter_that_does_not_answer(self):
        assert Interpreters(_with_interpreter("/nowhere/python")).versions() == {}
        assert Interpreters(_with_interpreter(shutil.which("true") or "")).versions() == {}

    def test_a_worker_records_what_its_engines_run_in(self, tiny, tmp_path):
        pretend_installed(tiny)
        worker = Worker(samples.cpu_profile(), tmp_path / "cache")
        facts = worker.describe()
        assert facts.machine == fingerprint()
        assert facts.software == software_versions() | {
            "onnxruntime-cpu: environment": f"tiny {tiny.digest}",
            "onnxruntime-cpu: python": "3",
            "onnxruntime-cpu: tiny": "1.0",
        }
        with pytest.raises(DeviceError, match="in use"):
            remove("tiny")
        worker.close()
        remove("tiny")


def _with_interpreter(path: str) -> DeviceProfile:
    return replace(samples.cpu_profile(), interpreter=path)


def _stand_in(monkeypatch: pytest.MonkeyPatch, folder: Path, *lines: str) -> None:
    """Something in place of pip, which says these lines and fails."""
    program = folder / "stand-in"
    program.write_text("#!/bin/sh\n" + "".join(f'echo "{line}"\n' for line in lines) + "exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
