"""What is said of a GPU that WebGPU cannot use, and of one that it can."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from farm.devices.profile import load_profiles
from tests.vulkan.pretended import forget
from workers.discovery import device_availability
from workers.gpus import listing, vulkan, webgpu
from workers.gpus.devices import GpuFacts, gpu_facts
from workers.gpus.vulkan import Vulkan, VulkanDevice, vulkan_here, vulkan_versions
from workers.gpus.webgpu import webgpu_availability

GPU = replace(load_profiles()["gpu-vulkan"], variables={"VK_ICD_FILENAMES": ""})
CARD, PROGRAM = VulkanDevice("Card", "discrete"), VulkanDevice("llvmpipe", "software")
Say = Callable[[Vulkan], None]


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Say]:
    """What Vulkan says instead of looking."""

    def say(found: Vulkan) -> None:
        monkeypatch.setattr(vulkan, "_asked", lambda variables: found)
        forget()

    yield say
    monkeypatch.undo()
    forget()


def reason(found: Vulkan, finds: Say) -> str:
    finds(found)
    here = webgpu_availability(GPU, sys.executable)
    assert not here.available
    assert here.remedy
    return here.reason


def test_without_an_environment_the_command_that_makes_it(tmp_path, monkeypatch, finds):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    finds(Vulkan(has_loader=True, devices=(CARD,)))
    found = device_availability(load_profiles()["gpu-vulkan"])
    assert found.reason == "the Python package onnxruntime-webgpu is not installed"
    assert found.remedy == "farm devices install webgpu"


def test_without_a_device_no_environment_is_asked_for(tmp_path, monkeypatch, finds):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    finds(Vulkan(has_loader=True))
    found = device_availability(load_profiles()["gpu-vulkan"])
    assert found.reason == "no Vulkan driver of a GPU was found"


def test_what_is_missing(finds):
    assert reason(Vulkan(), finds).startswith("the library libvulkan.so.1, which finds Vulkan")
    assert reason(Vulkan(has_loader=True), finds) == "no Vulkan driver of a GPU was found"


def test_a_program_is_no_gpu(finds):
    found = reason(Vulkan(has_loader=True, devices=(PROGRAM,)), finds)
    assert found == "the only Vulkan device is a program (llvmpipe, software)"


def test_a_provider_that_does_not_run_says_why(finds):
    """This Python has ONNX Runtime without the provider."""
    found = reason(Vulkan(has_loader=True, devices=(CARD,)), finds)
    begin = "WebGpuExecutionProvider does not run on Card, discrete: "
    assert found.startswith(begin)
    assert len(found) > len(begin)


def test_what_can_be_used_is_named(finds, monkeypatch):
    finds(Vulkan(has_loader=True, devices=(CARD,)))
    monkeypatch.setattr(webgpu, "_asked", lambda *_: webgpu._Tried("", "no float16"))
    assert webgpu_availability(GPU, sys.executable).found == "Card, discrete"
    assert not webgpu.computes_float16(GPU, sys.executable)


def test_gpu_and_driver_are_a_part_of_the_software(finds):
    finds(Vulkan(True, (VulkanDevice("Card", "discrete", "22.3.6", 8 << 30),)))
    assert vulkan_versions(GPU) == {"vulkan gpu": "Card", "vulkan driver": "22.3.6"}
    assert gpu_facts(GPU) == GpuFacts(0, "Card", 8 << 30, "22.3.6")
    assert vulkan_versions(load_profiles()["cpu"]) == {}
    finds(Vulkan(True, (CARD,)))
    assert vulkan_versions(GPU) == {"vulkan gpu": "Card"}
    finds(Vulkan())
    assert vulkan_versions(GPU) == {}
    assert gpu_facts(GPU) is None


@pytest.mark.parametrize(
    ("number", "maker", "version"),
    [(0x05803003, 0x1002, "22.3.3"), (0x919F0340, 0x10DE, "582.124.13.0")],
)
def test_makers_pack_versions_of_drivers_in_their_ways(number, maker, version):
    assert listing._version(number, maker) == version


@pytest.mark.parametrize(
    ("told", "address"), [((0, 0x0B, 0, 1), "0000:0b:00.1"), ((0, 0, 0, 0), "")]
)
def test_an_address_is_written_as_linux_writes_it(told, address):
    assert listing._address(struct.pack("<IIII", *told)) == address


def test_a_driver_that_is_not_there(finds):
    profile = replace(GPU, variables={"VK_ICD_FILENAMES": "/nowhere.json"})
    found = webgpu_availability(profile, sys.executable)
    assert found.reason == "its Vulkan driver /nowhere.json is not installed"


def test_without_a_driver_there_is_no_device():
    assert vulkan_here({"VK_ICD_FILENAMES": "/nowhere.json"}).devices == ()
