"""Whether a GPU can be used, and one sentence where it cannot."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

from farm.devices.environment import load_environments
from farm.devices.profile import Availability, DeviceProfile, load_profiles
from farm.errors import DeviceError
from tests.nvidia.pretended import GPU_ENVIRONMENT, PretendedGpus
from workers import device_files, discovery
from workers.cluster.environment import for_own_cluster
from workers.discovery import device_availability, engines_of, usable_engines
from workers.environments.install import install
from workers.gpus.devices import gpu_facts
from workers.nvidia import presence
from workers.nvidia.devices import child_variables, gpu_versions, with_nvidia_gpus
from workers.nvidia.meter import ORDER, VISIBLE
from workers.observing import observe

PROFILES = load_profiles()
GPU = PROFILES["gpu"]


def refused(profile: DeviceProfile = GPU) -> tuple[str, str]:
    found = device_availability(profile)
    assert not found.available
    return found.reason, found.remedy


def test_there_is_none(gpus: PretendedGpus, monkeypatch: pytest.MonkeyPatch) -> None:
    (gpus.devices / "nvidia0").unlink()
    monkeypatch.setattr(presence.shutil, "which", lambda name: None)
    remedy = "run on a machine with an NVIDIA GPU and its driver"
    assert refused() == (
        "no NVIDIA GPU was found (neither /dev/nvidia0 nor nvidia-smi)",
        f"{remedy}; gpu-vulkan and gpu-intel are GPUs of other makers",
    )


def test_the_environment_is_not_installed(gpus: PretendedGpus) -> None:
    assert refused() == (
        "the Python package onnxruntime-gpu is not installed",
        "farm devices install gpu",
    )


def test_this_user_may_not_open_it(gpus: PretendedGpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who may open everything."""
    node = gpus.devices / "nvidia0"
    monkeypatch.setattr(device_files, "may_open", lambda path: path != node)
    reason, remedy = refused()
    assert reason == f"this user may not open {node}"
    assert remedy.startswith("join the group ")


def test_that_of_another_gpu_does_not_matter(
    gpus: PretendedGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 11):
        (gpus.devices / f"nvidia{number}").touch()
    gpus.tell(gpus=[{}] * 11)
    monkeypatch.setattr(device_files, "may_open", lambda path: path.name != "nvidia10")
    assert presence.gpu_availability(0).available
    assert presence.gpu_availability(2).available
    assert presence.gpu_availability(10).reason.endswith("nvidia10")


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [
        (None, {0, 1, 2}),
        ("1", {1}),
        ("2,0", {0, 2}),
        (" 1, 2", {1, 2}),
        ("1,-1,0", {1}),
        ("", set()),
        ("GPU-00000002", {2}),
        ("MIG-GPU-00000002/1/0", {0, 1, 2}),
    ],
)
def test_what_the_users_variable_leaves_out(
    gpus: PretendedGpus, monkeypatch: pytest.MonkeyPatch, visible: str | None, numbers: set[int]
) -> None:
    gpus.tell(gpus=[{}, {}, {}])
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    found = {number: presence.gpu_availability(number) for number in range(3)}
    assert {number for number, each in found.items() if each.available} == numbers
    for number in found.keys() - numbers:
        assert found[number].reason == (
            f"CUDA_VISIBLE_DEVICES is '{visible}', which leaves out the GPU of number {number}, "
            "as the driver counts"
        )


@pytest.mark.parametrize(
    ("visible", "numbers"),
    [
        (None, {0, 1}),
        ("1", set()),
        ("0", set()),
        ("1,0", {0, 1}),
        ("GPU-00000001", {1}),
        ("", set()),
    ],
)
def test_of_unlike_gpus_numbers_are_the_drivers_only_where_cuda_is_told_so(
    gpus: PretendedGpus, monkeypatch: pytest.MonkeyPatch, visible: str | None, numbers: set[int]
) -> None:
    """By itself CUDA counts the fastest first: the GPU that was left out would be taken."""
    gpus.tell(gpus=[{"name": "Slow"}, {"name": "Fast"}])
    if visible is not None:
        monkeypatch.setenv(VISIBLE, visible)
    found = {number: presence.gpu_availability(number) for number in range(2)}
    assert {number for number, each in found.items() if each.available} == numbers
    if visible in {"0", "1"}:
        means = f"nobody tells which GPU CUDA_VISIBLE_DEVICES means by '{visible}'"
        fastest = f"{means}: CUDA counts the fastest one first"
        assert {each.reason for each in found.values()} == {fastest}
        assert found[0].remedy.startswith("set CUDA_DEVICE_ORDER=PCI_BUS_ID")
        monkeypatch.setenv(ORDER, "PCI_BUS_ID")
        assert presence.gpu_availability(int(visible)).available
        assert not presence.gpu_availability(1 - int(visible)).available


def test_rays_workers_keep_the_users_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {VISIBLE: "1"})
    for_own_cluster()
    NvidiaGPUAcceleratorManager.set_current_process_visible_accelerator_ids(["0"])
    assert os.environ[VISIBLE] == "1"


def test_the_driver_does_not_answer(gpus: PretendedGpus) -> None:
    gpus.tell(init=9)
    assert refused()[0] == "the NVIDIA driver is not there, or this container does not show it"


def test_the_driver_stops_answering(gpus: PretendedGpus) -> None:
    """After it was initialised. What has nothing to do with it goes on."""
    gpus.tell(fails={"nvmlSystemGetCudaDriverVersion": 13})
    assert refused() == (
        "the NVIDIA driver does not answer: error 13",
        "restart it, or the machine",
    )
    assert with_nvidia_gpus(PROFILES) == PROFILES
    assert gpu_versions(GPU) == {}
    assert device_availability(PROFILES["cpu"]).available


def test_it_has_another_number(gpus: PretendedGpus) -> None:
    assert refused(replace(GPU, gpu=2)) == (
        "the driver tells of 1 NVIDIA GPU, and number 2, from 0, is none of them",
        "correct gpu in the device profile",
    )


@pytest.mark.parametrize("number", [0, 1])
def test_it_was_lost(gpus: PretendedGpus, number: int) -> None:
    """What is left keeps its number, and the other one is a device that says why it is none."""
    gpus.tell(gpus=[{"lost": number == which} for which in range(2)])
    found = with_nvidia_gpus(PROFILES)
    lost, other = (found["gpu1" if which else "gpu"] for which in (number, 1 - number))
    assert refused(lost) == (
        f"the NVIDIA GPU of number {number}, from 0, does not answer its driver: error 15",
        "look for Xid in the kernel's log (dmesg), then restart the machine",
    )
    assert presence.gpu_availability(other.gpu).available
    assert refused(replace(GPU, gpu=2))[0].startswith("the driver tells of 2 NVIDIA GPUs, and ")


def test_this_user_may_not_ask_it(gpus: PretendedGpus) -> None:
    gpus.tell(fails={"nvmlDeviceGetHandleByIndex": 4})
    assert refused() == (
        "this user may not ask the NVIDIA driver",
        "run as a user who may open /dev/nvidiactl",
    )


def test_it_is_divided(gpus: PretendedGpus) -> None:
    gpus.tell(gpus=[{"mig": False}, {"mig": True}])
    assert presence.gpu_availability(0).available
    found = presence.gpu_availability(1)
    assert found.reason == (
        "NVIDIA Stand-in is divided into instances (MIG), and what the driver counts, as energy, "
        "is of all of them together"
    )
    assert found.remedy == "end that while nobody uses it: sudo nvidia-smi -i 1 -mig 0"
    second = with_nvidia_gpus(PROFILES)["gpu1"]
    assert second.description == "NVIDIA Stand-in, driver 580.65.06, PCIe 4 x16"
    facts = gpu_facts(second)
    assert facts is not None
    assert facts.memory_bytes is None, "which only an administrator is told"


def test_a_driver_that_is_too_old(gpus: PretendedGpus) -> None:
    gpus.tell(driver="470.82", cuda=11040)
    versions = {"onnxruntime-gpu": "1.31.1", "nvidia-cuda-runtime-cu12": "12.9.79"}
    found = presence.driver_availability("environment gpu", versions)
    assert found.reason == (
        "the NVIDIA driver 470.82 runs CUDA 11.4 at most, and environment gpu has CUDA 12.9.79"
    )
    assert found.remedy == "install the driver 525.60 or newer"
    newer = {"nvidia-cuda-runtime": "13.5.37"}
    assert presence.driver_availability("x", newer).remedy == "install the driver 580 or newer"
    future = {"nvidia-cuda-runtime": "19.0"}
    assert presence.driver_availability("x", future).remedy == "install a newer driver"
    gpus.tell(driver="525.60", cuda=12000)
    assert presence.driver_availability("x", versions).available, "minor versions are compatible"


def test_a_driver_that_is_too_old_is_told_before_anything_is_downloaded(
    gpus: PretendedGpus,
) -> None:
    gpus.tell(driver="550.1", cuda=12040)
    old = "the NVIDIA driver 550.1 runs CUDA 12.4 at most, and environment gpu has CUDA 13.5.37"
    assert refused() == (old, "install the driver 580 or newer")
    with pytest.raises(DeviceError) as caught:
        install(load_environments()["gpu"], lambda _: None)
    assert str(caught.value) == (
        f"Environment gpu cannot be used here: {old}; install the driver 580 or newer first."
    )


def test_a_driver_that_is_too_old_for_the_farms_own_python(
    gpus: PretendedGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = {"onnxruntime-gpu": "1.31.1", "nvidia-cuda-runtime": "13.5.37"}
    monkeypatch.setitem(
        discovery._PROBES, "onnxruntime-cuda", lambda: Availability(available=True)
    )
    monkeypatch.setattr(discovery, "_versions_here", lambda: here)
    gpus.tell(driver="570.86.15", cuda=12080)
    reason, remedy = refused()
    assert reason == (
        "the NVIDIA driver 570.86.15 runs CUDA 12.8 at most, and the farm's own Python has CUDA "
        "13.5.37"
    )
    assert remedy == "install the driver 580 or newer"


def test_it_is_there(gpus: PretendedGpus) -> None:
    gpus.install()
    assert device_availability(GPU).available
    assert usable_engines(GPU) == GPU_ENVIRONMENT.engines


def test_other_engines_of_a_device_do_not_need_it(
    gpus: PretendedGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus.tell(init=9)
    both = replace(GPU, engines=("onnxruntime-cuda", "fake"))
    assert usable_engines(both) == ("fake",)
    assert "driver" in engines_of(both)["onnxruntime-cuda"].reason


def test_an_interpreter_of_ones_own(gpus: PretendedGpus) -> None:
    assert usable_engines(replace(GPU, interpreter="/usr/bin/python3")) == GPU.engines


class TestSeveral:
    def test_each_is_a_device(self, gpus):
        gpus.tell(gpus=[{}, {"name": "Second"}])
        found = with_nvidia_gpus(PROFILES)
        assert found.keys() - PROFILES.keys() == {"gpu1"}
        assert found["gpu"].description.startswith("NVIDIA Stand-in, 24 GiB, driver 580.65.06")
        assert found["gpu1"].description.startswith("Second, 24 GiB")
        assert found["gpu1"].gpu == 1
        assert found["gpu1"].engines == GPU.engines

    def test_the_users_own_profile_stays(self, gpus):
        gpus.tell(gpus=[{}, {}])
        own = replace(PROFILES["cpu"], name="gpu1")
        assert with_nvidia_gpus({**PROFILES, "gpu1": own})["gpu1"] == own

    def test_without_a_gpu_profiles_stay_as_they_are(self, gpus):
        gpus.tell(init=9)
        assert with_nvidia_gpus(PROFILES) == PROFILES

    def test_children_see_their_own(self, gpus):
        gpus.tell(gpus=[{}, {}])
        first, second = (child_variables(replace(GPU, gpu=n)) for n in (0, 1))
        assert first["CUDA_VISIBLE_DEVICES"] != second["CUDA_VISIBLE_DEVICES"]
        assert child_variables(PROFILES["cpu"]) == {}

    def test_children_of_one_that_is_gone_see_none(self, gpus):
        gpus.tell(gpus=[{}])
        assert child_variables(replace(GPU, gpu=1)) == {"CUDA_VISIBLE_DEVICES": "-1"}

    def test_what_a_trial_is_recorded_with(self, gpus):
        assert gpu_versions(GPU) == {
            "nvidia gpu": "NVIDIA Stand-in",
            "nvidia driver": "580.65.06",
        }
        assert gpu_versions(PROFILES["cpu"]) == {}

    def test_how_busy_it_is(self, gpus):
        seen = observe([GPU], seconds=0.01)
        assert seen.utilisation == {"gpu": 0.37}
        assert seen.notes == ()


class TestTensorRt:
    def test_its_libraries_are_missing(self, gpus, monkeypatch):
        gpus.install()
        monkeypatch.setattr(presence, "_has_library", lambda name: False)
        found = engines_of(GPU)
        assert found["onnxruntime-cuda"].available
        assert found["onnxruntime-tensorrt"].reason == (
            "TensorRT 10 is not installed: there is no libnvinfer.so.10"
        )
        assert found["onnxruntime-tensorrt"].remedy.startswith("install TensorRT 10 for CUDA 13")

    def test_they_are_in_the_environment(self, gpus, monkeypatch):
        monkeypatch.setattr(presence, "_has_library", lambda name: False)
        versions = {"tensorrt-cu13-libs": "10.0"}
        assert presence.tensorrt_availability(versions).available

    def test_they_are_where_the_loader_is_told_to_look(self, tmp_path, monkeypatch):
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
        assert not presence._has_library("libnvinfer.so.10")
        (tmp_path / "libnvinfer.so.10").touch()
        assert presence._has_library("libnvinfer.so.10")
