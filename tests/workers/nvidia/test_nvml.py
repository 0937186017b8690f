"""What the farm asks of NVML, by a stand-in that answers as NVML's documentation says."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator

import pytest

from tests.nvidia.pretended import PretendedGpus
from workers.nvidia.meter import ORDER, VISIBLE, GpuMeter
from workers.nvidia.nvml import Nvml, NvmlError, PcieLink
from workers.nvidia.throttling import ThrottleReading, ThrottleWatch, watched


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
        monkeypatch.setenv(ORDER, "PCI_BUS_ID")
        monkeypatch.delenv(VISIBLE, raising=False)
        assert GpuMeter.visible().gpu.name == names.pop("")
        for visible, name in names.items():
            monkeypatch.setenv(VISIBLE, visible)
            assert GpuMeter.visible().gpu.name == name

    def test_no_gpu_is_visible(self, gpus, monkeypatch):
        monkeypatch.setenv(VISIBLE, "7")
        with pytest.raises(NvmlError, match="no NVIDIA GPU is called '7', as CUDA_VISIBLE_DEV"):
            GpuMeter.visible()

    @pytest.mark.parametrize("visible", [None, "1"])
    def test_of_unlike_gpus_cuda_counts_the_fastest_first(self, gpus, monkeypatch, visible):
        gpus.tell(gpus=[{}, {"name": "Second"}])
        if visible is not None:
            monkeypatch.setenv(VISIBLE, visible)
        with pytest.raises(NvmlError, match="CUDA counts the fastest one first"):
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


@pytest.fixture
def watch(gpus: PretendedGpus) -> Iterator[ThrottleWatch]:
    nvml = Nvml()
    with watched([(nvml, nvml.gpus()[0])]) as watches:
        yield watches[0]


@pytest.fixture
def looking(gpus: PretendedGpus) -> Iterator[ThrottleWatch]:
    """At a GPU whose driver counts nothing."""
    gpus.tell(gpus=[{"violations": None}])
    nvml = Nvml()
    with ThrottleWatch(nvml, nvml.gpus()[0]) as found:
        yield found


def slowed(watch: ThrottleWatch, before: ThrottleReading) -> list[str]:
    return [str(each) for each in ThrottleReading.now(watch).slowed_since(before)]


def until_looked_at(watch: ThrottleWatch, reason: str, seconds: float) -> None:
    """By its own thread: nobody asks meanwhile."""
    while watch._seen[reason] < seconds:
        time.sleep(0.001)


class TestThrottling:
    def test_nothing_held_it_back(self, watch):
        before = ThrottleReading.now(watch)
        time.sleep(0.01)
        assert slowed(watch, before) == []

    @pytest.mark.parametrize(
        ("policy", "words"),
        [("0", "its power limit"), ("1", "heat"), ("3", "its power limit"), ("5", "a limit of")],
    )
    def test_what_the_driver_counted(self, gpus, watch, policy, words):
        before = ThrottleReading.now(watch)
        gpus.tell(gpus=[{"violations": {policy: 10_000_000}}])
        time.sleep(0.02)
        (said,) = slowed(watch, before)
        assert said.startswith(f"the GPU was slowed down by {words}")
        assert said.endswith("% of the time")

    def test_a_little_is_let_pass(self, gpus, watch):
        before = ThrottleReading.now(watch)
        gpus.tell(gpus=[{"violations": {"0": 100_000}}])
        time.sleep(0.02)
        assert slowed(watch, before) == []

    def test_where_the_driver_counts_nobody_looks(self, watch):
        assert not watch._thread.is_alive()

    @pytest.mark.parametrize(
        ("bits", "reason", "words"),
        [(0x04, "power", "its power limit"), (0x40, "heat", "heat"), (0x20, "heat", "heat")],
    )
    def test_where_nothing_is_counted_it_is_looked_at_meanwhile(
        self, gpus, looking, bits, reason, words
    ):
        """A GPU that has nothing to do any more is held back by nothing."""
        before = ThrottleReading.now(looking)
        gpus.tell(gpus=[{"violations": None, "reasons": bits}])
        until_looked_at(looking, reason, 0.1)
        gpus.tell(gpus=[{"violations": None, "reasons": 0x01}])
        (said,) = slowed(looking, before)
        assert said.startswith(f"the GPU was slowed down by {words} ")

    def test_what_ended_before_is_not_of_this_time(self, gpus, looking):
        gpus.tell(gpus=[{"violations": None, "reasons": 0x40}])
        until_looked_at(looking, "heat", 0.02)
        gpus.tell(gpus=[{"violations": None, "reasons": 0x01}])
        before = ThrottleReading.now(looking)
        time.sleep(0.03)
        assert slowed(looking, before) == []
