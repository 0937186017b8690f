"""What the farm asks of NVML, by a stand-in that answers as NVML's documentation says."""

from __future__ import annotations

import os
import sys
import time

import pytest

from tests.nvidia.pretended import PretendedGpus
from workers.nvidia.meter import VISIBLE, GpuMeter
from workers.nvidia.nvml import Nvml, NvmlError, PcieLink
from workers.nvidia.throttling import ThrottleReading


def test_gpus_are_described(gpus: PretendedGpus) -> None:
    gpus.tell(driver="580.1", cuda=13020, gpus=[{}, {"name": "Other", "link": None}])
    first, second = Nvml().gpus()
    assert (first.index, first.memory_bytes, first.cuda) == (0, 24 << 30, (13, 2))
    assert first.link == PcieLink(4, 16)
    assert first.describe() == "NVIDIA Stand-in, 24 GiB, driver 580.1, PCIe 4 x16"
    assert second.describe() == "Other, 24 GiB, driver 580.1"
    assert first.uuid != second.uuid


def test_units(gpus: PretendedGpus) -> None:
    nvml = Nvml()
    (gpu,) = nvml.gpus()
    assert nvml.clock(gpu) == 1.98e9
    assert nvml.watts(gpu) == 40.0
    assert nvml.utilisation(gpu) == 0.37
    assert nvml.process_memory(gpu, os.getpid()) == 300 << 20
    assert nvml.process_memory(gpu, 1) == 5 << 20
    joules = nvml.joules(gpu)
    assert joules is not None
    assert joules > 0.0


def test_what_a_gpu_does_not_tell_is_none(gpus: PretendedGpus) -> None:
    gpus.tell(gpus=[{"clock": None, "energy": False, "used": None, "violations": None}])
    nvml = Nvml()
    (gpu,) = nvml.gpus()
    assert nvml.clock(gpu) is None
    assert nvml.joules(gpu) is None
    assert nvml.process_memory(gpu, os.getpid()) is None
    assert nvml.slowed_seconds(gpu) == {}


def test_a_gpu_that_was_lost_is_left_out(gpus: PretendedGpus) -> None:
    gpus.tell(gpus=[{"lost": True}, {"name": "Second"}])
    (found,) = Nvml().gpus()
    assert (found.index, found.name) == (1, "Second")


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (4, "this user may not ask the NVIDIA driver"),
        (9, "the NVIDIA driver is not there, or this container does not show it"),
        (12, "the NVIDIA driver is not there, or this container does not show it"),
        (18, "the NVIDIA driver that runs and its library are of two versions"),
        (999, "the NVIDIA driver does not answer: error 999"),
    ],
)
def test_a_driver_that_does_not_answer(gpus: PretendedGpus, code: int, reason: str) -> None:
    gpus.tell(init=code)
    with pytest.raises(NvmlError) as caught:
        Nvml()
    assert caught.value.reason == reason
    assert caught.value.remedy


@pytest.mark.parametrize(
    "question",
    ["nvmlDeviceGetCount", "nvmlSystemGetCudaDriverVersion", "nvmlSystemGetDriverVersion"],
)
def test_a_driver_that_stops_answering(gpus: PretendedGpus, question: str) -> None:
    gpus.tell(fails={question: 999})
    nvml = Nvml()
    with pytest.raises(NvmlError, match="the NVIDIA driver does not answer: error 999"):
        nvml.gpus()


def test_the_package_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(NvmlError) as caught:
        Nvml()
    assert caught.value.remedy == "pip install nvidia-ml-py"


class TestMeter:
    def test_is_that_of_the_visible_gpu(self, gpus, monkeypatch):
        gpus.tell(gpus=[{}, {"name": "Second"}, {"name": "Third"}])
        third = Nvml().gpus()[2].uuid
        names = {"": "NVIDIA Stand-in", "1,2": "Second", third: "Third"}
        monkeypatch.delenv(VISIBLE, raising=False)
        assert GpuMeter.visible().gpu.name == names.pop("")
        for visible, name in names.items():
            monkeypatch.setenv(VISIBLE, visible)
            assert GpuMeter.visible().gpu.name == name

    def test_no_gpu_is_visible(self, gpus, monkeypatch):
        monkeypatch.setenv(VISIBLE, "7")
        with pytest.raises(NvmlError, match="no NVIDIA GPU is called '7', as CUDA_VISIBLE_DEV"):
            GpuMeter.visible()

    def test_a_clock_that_changes_is_not_at_pace(self, gpus):
        meter = GpuMeter.visible()
        assert not meter.is_at_pace(), "one look says nothing"
        gpus.tell(gpus=[{"clock": 900}])
        time.sleep(0.21)
        assert not meter.is_at_pace()
        time.sleep(0.21)
        assert meter.is_at_pace()

    def test_a_clock_that_is_not_told(self, gpus):
        gpus.tell(gpus=[{"clock": None}])
        assert GpuMeter.visible().is_at_pace()

    def test_energy_is_counted_in_joules(self, gpus):
        counter = GpuMeter.visible().energy_counter()
        assert counter is not None
        assert counter.least_seconds >= 50 * 0.1
        before, started = counter.read(), time.monotonic()
        time.sleep(0.3)
        after, seconds = counter.read(), time.monotonic() - started
        # 40 W, counted every 0.1 s, and what this process computes meanwhile
        assert counter.joules_between(before, after) == pytest.approx(40 * seconds, abs=6.0)

    def test_a_counter_that_stops_is_no_zero(self, gpus):
        counter = GpuMeter.visible().energy_counter()
        assert counter is not None
        gpus.tell(gpus=[{"lost": True}])
        with pytest.raises(NvmlError, match="no longer tells of the GPU's energy"):
            counter.read()

    def test_no_counter(self, gpus):
        gpus.tell(gpus=[{"energy": False}])
        assert GpuMeter.visible().energy_counter() is None


class TestThrottling:
    def reading(self) -> ThrottleReading:
        nvml = Nvml()
        return ThrottleReading.now(nvml, nvml.gpus()[0])

    def test_nothing_held_it_back(self, gpus):
        before = self.reading()
        time.sleep(0.01)
        assert self.reading().slowed_since(before) == ""

    @pytest.mark.parametrize(
        ("policy", "words"),
        [("0", "its power limit"), ("1", "heat"), ("3", "its power limit"), ("5", "a limit of")],
    )
    def test_what_the_driver_counted(self, gpus, policy, words):
        before = self.reading()
        gpus.tell(gpus=[{"violations": {policy: 10_000_000}}])
        time.sleep(0.02)
        said = self.reading().slowed_since(before)
        assert said.startswith(f"the GPU was slowed down by {words}")
        assert said.endswith("% of the time")

    def test_a_little_is_let_pass(self, gpus):
        before = self.reading()
        gpus.tell(gpus=[{"violations": {"0": 100_000}}])
        time.sleep(0.02)
        assert self.reading().slowed_since(before) == ""

    @pytest.mark.parametrize(
        ("bits", "words"), [(0x01, ""), (0x04, "its power limit"), (0x40, "heat"), (0x20, "heat")]
    )
    def test_where_nothing_is_counted_the_end_is_looked_at(self, gpus, bits, words):
        gpus.tell(gpus=[{"violations": None, "reasons": bits}])
        before = self.reading()
        expected = f"the GPU was slowed down by {words} at its end" if words else ""
        assert self.reading().slowed_since(before) == expected
