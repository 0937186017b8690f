"""What this machine is and has."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from farm.candidate import FloatType
from farm.devices.profile import Availability, load_profiles
from tests.openvino import require_openvino
from workers import discovery
from workers.discovery import (
    device_availability,
    emulator_availability,
    engine_availability,
    engine_on,
    engines_of,
    openvino_float_types,
    usable_engines,
)
from workers.facts import facts_of
from workers.fingerprint import fingerprint, software_versions

ROOT = Path(__file__).parents[2]
HERE = Availability(available=True)
NO_DEVICE = Availability(available=False, reason="it offers no device for this processor")


class TestDiscovery:
    def test_the_processor_is_always_there(self):
        profile = load_profiles()["cpu"]
        assert device_availability(profile).available
        assert usable_engines(profile)[0] == "onnxruntime-cpu"

    def test_an_engine_of_a_later_version(self):
        found = engine_availability("warp-drive")
        assert not found.available
        assert found.reason == "this version of the farm has no engine 'warp-drive'"
        assert found.remedy

    def test_engines_keep_the_order_of_the_profile(self):
        profile = replace(
            load_profiles()["cpu"], engines=("fake", "warp-drive", "onnxruntime-cpu")
        )
        assert usable_engines(profile) == ("fake", "onnxruntime-cpu")

    def test_a_device_whose_engines_are_missing_says_why(self):
        profile = replace(load_profiles()["dsp"], engines=("warp-drive",))
        found = device_availability(profile)
        assert not found.available
        assert "warp-drive" in found.reason
        assert found.remedy

    @pytest.mark.parametrize("name", ["dsp", "dsp-small"])
    def test_packages_for_a_dsp_need_a_compiler_only(self, monkeypatch, name):
        monkeypatch.setattr(discovery, "find_emulator", lambda: None)
        assert device_availability(load_profiles()[name]).available
        assert not emulator_availability().available

    @pytest.mark.parametrize("engine", ["cpackage", "cpackage-emulated"])
    def test_packages_without_a_compiler(self, monkeypatch, engine):
        assert engine_availability(engine).available
        monkeypatch.setattr(discovery, "find_compilers", lambda target: ())
        found = engine_availability(engine)
        assert found.reason.startswith("no ")
        assert found.remedy == "pip install ziglang"

    def test_a_gpu_that_is_not_there_says_why(self):
        found = device_availability(load_profiles()["gpu"])
        assert not found.available
        assert found.reason
        assert found.remedy

    def test_an_interpreter_that_is_not_there(self):
        profile = replace(load_profiles()["cpu"], interpreter="/nowhere/python")
        found = device_availability(profile)
        assert found.reason == "its interpreter /nowhere/python does not exist"

    def test_a_processor_that_is_not_there(self):
        profile = replace(load_profiles()["cpu"], processors=(0, 4096))
        found = device_availability(profile)
        assert found.reason == (
            "this process may not run on processor 4096, which the profile names"
        )
        assert found.remedy == "correct processors in the profile"

    @pytest.mark.parametrize(
        ("system", "processor", "reason", "remedy"),
        [
            (
                "linux",
                "x86_64",
                "the Python package onnxruntime-qnn is not installed",
                "pip install 'onnxruntime-qnn>=2.7'",
            ),
            (
                "linux",
                "aarch64",
                (
                    "Qualcomm's emulator is in the package for Linux on x86-64 only, this is "
                    "linux on aarch64"
                ),
                "none; the other engines are used",
            ),
        ],
    )
    def test_why_qualcomms_compiler_is_not_offered(
        self, monkeypatch, system, processor, reason, remedy
    ):
        monkeypatch.setattr(discovery.sys, "platform", system)
        monkeypatch.setattr(discovery.platform, "machine", lambda: processor)
        monkeypatch.setattr(discovery.importlib.util, "find_spec", lambda name: None)
        found = engine_availability("onnxruntime-qnn")
        assert (found.available, found.reason, found.remedy) == (False, reason, remedy)

    def test_by_an_engine_of_unknown_latency_nothing_is_tuned(self, monkeypatch):
        monkeypatch.setattr(discovery.importlib.util, "find_spec", lambda name: object())
        profile = replace(load_profiles()["dsp"], engines=("onnxruntime-qnn",))
        found = device_availability(profile)
        assert found.reason == "the latency of onnxruntime-qnn is unknown here"
        assert found.remedy == "farm bench --candidate tells its accuracy"
        assert facts_of(profile).engines == ()
        assert engine_on(profile, "onnxruntime-qnn").available

    def test_a_profile_without_engines(self):
        found = device_availability(replace(load_profiles()["cpu"], engines=()))
        assert found.reason == "it names no engine"

    @pytest.mark.parametrize(
        ("plugin", "reason"),
        [
            (HERE, "its own package: the engine openvino-runtime, which is faster"),
            (NO_DEVICE, NO_DEVICE.reason),
        ],
    )
    def test_why_openvinos_plugin_is_not_offered(self, monkeypatch, plugin, reason):
        monkeypatch.setitem(discovery._PROBES, "openvino", lambda: plugin)
        monkeypatch.setitem(discovery._PROBES, "openvino-runtime", lambda: HERE)
        profile = replace(load_profiles()["cpu"], engines=("openvino", "openvino-runtime"))
        found = engines_of(profile)
        assert found["openvino-runtime"].available
        assert not found["openvino"].available
        assert found["openvino"].reason.endswith(reason)
        assert found["openvino"].remedy.startswith("none; ")

    def test_the_plugin_is_offered_without_the_package(self, monkeypatch):
        monkeypatch.setitem(discovery._PROBES, "openvino", lambda: HERE)
        monkeypatch.setitem(discovery._PROBES, "openvino-runtime", lambda: NO_DEVICE)
        profile = replace(load_profiles()["cpu"], engines=("openvino", "openvino-runtime"))
        assert usable_engines(profile) == ("openvino",)

    def test_float_types_of_openvino(self):
        require_openvino()
        found = openvino_float_types()
        assert FloatType.FLOAT32 in found
        assert len(set(found)) == len(found)


class TestFingerprint:
    def test_it_is_the_same_in_another_process(self):
        source = (
            "import json; from workers.fingerprint import fingerprint, software_versions; "
            "print(json.dumps([fingerprint().id, software_versions()]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", source], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == [fingerprint().id, software_versions()]

    def test_it_describes_the_machine(self):
        machine = fingerprint()
        assert len(machine.id) == 12
        assert machine.cores >= 1
        assert machine.memory_bytes > 1 << 28
        assert f"{machine.cores} core" in machine.describe()

    def test_in_a_container_it_is_what_the_container_grants(self, monkeypatch):
        whole = fingerprint()
        monkeypatch.setattr("workers.fingerprint.processors", lambda: 1)
        monkeypatch.setattr("workers.fingerprint.memory_limit", lambda: 512 << 20)
        machine = fingerprint.__wrapped__()
        assert (machine.cores, machine.memory_bytes) == (1, 512 << 20)
        assert ", 1 core, 512 MiB, " in machine.describe()
        assert machine.id != whole.id

    def test_versions_of_what_takes_part(self):
        assert {"python", "farm", "onnxruntime", "onnx", "numpy"} <= set(software_versions())
