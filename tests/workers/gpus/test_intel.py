"""GPUs of Intel as OpenVINO lists them. What it lists is a stand-in: see ``tests.intel``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from farm.candidate import FloatType
from farm.devices.profile import Availability, load_profiles
from reports.machine_readable import devices_json
from tests.intel.pretended import ARC, UHD, PretendedOpenVino
from workers import device_files
from workers.discovery import device_availability
from workers.facts import facts_of
from workers.gpus import devices, intel
from workers.gpus.devices import with_gpus
from workers.gpus.intel import intel_availability, intel_float_types

PROFILES = load_profiles()
GPU = PROFILES["gpu-intel"]


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PretendedOpenVino]:
    found = PretendedOpenVino(tmp_path, monkeypatch)
    monkeypatch.setattr(devices, "openvino_interpreter", lambda: found.python)
    yield found
    intel._asked.cache_clear()


def refused(pretended: PretendedOpenVino, number: int = 0) -> tuple[str, str]:
    found = intel_availability(replace(GPU, gpu=number), pretended.python)
    assert not found.available
    return found.reason, found.remedy


def test_the_real_package_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the tests' own, and answers for this machine."""
    pytest.importorskip("openvino")
    told = intel.listed(sys.executable)
    assert "CPU" in told.names
    if told.gpus:
        pytest.skip(f"there is one: {told.gpus[0]}")
    monkeypatch.setattr(intel, "_render_nodes", lambda: ())
    found = device_availability(GPU)
    assert (found.reason, found.remedy) == (
        "OpenVINO lists no GPU, only CPU, and the system knows of no GPU of Intel",
        "run on a machine with a GPU of Intel and its driver",
    )


def test_without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules["workers.discovery"].__dict__["_PROBES"],
        intel.ENGINE,
        lambda: Availability(available=False, reason="not installed", remedy="pip install it"),
    )
    assert device_availability(GPU).reason == "not installed"


def test_what_it_is(pretended: PretendedOpenVino) -> None:
    found = intel_availability(GPU, pretended.python)
    assert found.available
    assert found.found == "Intel(R) Arc(TM) A770 Graphics (dGPU), 15 GiB"


def test_the_library_that_reaches_gpus_is_missing(pretended: PretendedOpenVino) -> None:
    why = 'Cannot load library "x.so": libOpenCL.so.1: cannot open shared object file'
    pretended.tell(GPU={"missing": why})
    reason, remedy = refused(pretended)
    assert reason == "OpenVINO lists no GPU, only CPU: libOpenCL.so.1 is not installed"
    assert remedy.startswith("apt-get install ocl-icd-libopencl1 intel-opencl-icd")


def test_the_driver_is_missing(pretended: PretendedOpenVino) -> None:
    pretended.tell(GPU={"missing": "no supported devices found"})
    assert refused(pretended)[0] == "OpenVINO lists no GPU, only CPU"


def test_this_user_may_not_open_it(
    pretended: PretendedOpenVino, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretended.tell(GPU={"missing": "no supported devices found"})
    monkeypatch.setattr(device_files, "may_open", lambda path: path != pretended.node)
    reason, remedy = refused(pretended)
    assert reason == f"this user may not open {pretended.node}"
    assert remedy.startswith("join the group ")


def test_it_has_another_number(pretended: PretendedOpenVino) -> None:
    assert refused(pretended, 2) == (
        "OpenVINO lists 1 GPU, and number 2, from 0, is none of them",
        "correct gpu in the device profile",
    )


def test_openvino_that_cannot_be_asked(tmp_path: Path) -> None:
    found = intel_availability(GPU, str(tmp_path / "nowhere"))
    assert found.reason == (
        "OpenVINO does not answer: its Python cannot be started: No such file or directory"
    )
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'ImportError: libtbb.so' >&2\nexit 1\n")
    broken.chmod(0o755)
    found = intel_availability(GPU, str(broken))
    assert found.reason == "OpenVINO does not answer: ImportError: libtbb.so"


def test_several_are_several_devices(pretended: PretendedOpenVino) -> None:
    pretended.add_node("renderD129")
    pretended.tell(GPU_0=UHD, GPU_1=ARC)
    found = with_gpus(PROFILES)
    assert found.keys() - PROFILES.keys() == {"gpu-intel1"}
    second = found["gpu-intel1"]
    assert (second.gpu, second.engines) == (1, ("openvino-gpu",))
    assert intel_availability(second, pretended.python).found.startswith("Intel(R) Arc")
    own = replace(PROFILES["cpu"], name="gpu-intel1")
    assert with_gpus({**PROFILES, "gpu-intel1": own})["gpu-intel1"] == own


def test_where_the_system_knows_of_one_openvino_is_not_asked(
    pretended: PretendedOpenVino, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretended.add_node("renderD129", vendor="0x10de")
    monkeypatch.setattr(intel, "listed", None)
    assert with_gpus(PROFILES) == PROFILES


def test_arithmetic_is_what_it_says_it_is_good_at(pretended: PretendedOpenVino) -> None:
    pretended.tell(GPU_0=UHD, GPU_1=ARC)
    first, second = (
        intel_float_types(replace(GPU, gpu=number), pretended.python) for number in (0, 1)
    )
    assert first == (FloatType.FLOAT32,)
    assert second == (FloatType.FLOAT32, FloatType.FLOAT16)


def test_what_a_worker_says_of_it(pretended: PretendedOpenVino) -> None:
    facts = facts_of(replace(GPU, interpreter=pretended.python))
    assert facts.openvino_float_types == (FloatType.FLOAT32, FloatType.FLOAT16)
    assert facts.software["intel gpu"] == ARC["FULL_DEVICE_NAME"]


def test_programs_see_its_memory(pretended: PretendedOpenVino) -> None:
    (row,) = json.loads(devices_json([(GPU, Availability(available=True), GPU.engines)]))
    assert row["gpu"] == {
        "number": 0,
        "name": ARC["FULL_DEVICE_NAME"],
        "memory_bytes": ARC["GPU_DEVICE_TOTAL_MEM_SIZE"],
        "driver": None,
        "cuda": None,
        "link": None,
        "uuid": None,
    }
