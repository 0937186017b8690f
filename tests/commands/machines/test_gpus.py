"""NVIDIA's GPUs on the command line. They and their engine are stand-ins; see ``tests.nvidia``."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.nvidia.pretended import GPU_ENVIRONMENT, PretendedGpus
from tests.tools.command import Command
from workers.nvidia.meter import GpuEnergyCounter


@pytest.fixture
def farm_on_gpus(farm: Command, gpus: PretendedGpus) -> Command:
    """An environment of stand-ins is installed in the command's own folder."""
    gpus.install()
    return farm


def devices(farm: Command) -> dict[str, dict[str, object]]:
    return {each["device"]: each for each in json.loads(farm("devices", "--json").out)}


def test_several_gpus_are_listed(farm_on_gpus, gpus):
    gpus.tell(gpus=[{}, {"name": "Second", "link": None}])
    found = devices(farm_on_gpus)
    assert found["gpu"]["available"] is True
    assert found["gpu"]["description"] == ("NVIDIA Stand-in, 24 GiB, driver 580.65.06, PCIe 4 x16")
    assert found["gpu1"]["description"] == "Second, 24 GiB, driver 580.65.06"
    assert found["gpu1"]["engines"] == list(GPU_ENVIRONMENT.engines)
    assert found["gpu"]["gpu"] == {
        "number": 0,
        "name": "NVIDIA Stand-in",
        "memory_bytes": 24 << 30,
        "driver": "580.65.06",
        "cuda": "13.0",
        "link": "PCIe 4 x16",
        "uuid": "GPU-00000000-0000-0000-0000-000000000000",
    }
    second = found["gpu1"]["gpu"]
    assert isinstance(second, dict)
    assert (second["number"], second["name"], second["link"]) == (1, "Second", None)
    assert found["cpu"]["gpu"] is None


def test_the_doctor_looks_at_them(farm_on_gpus, gpus):
    said = " ".join(farm_on_gpus("doctor").out.split())
    assert "GPU of gpu" in said
    assert "1980 MHz" in said
    gpus.tell(gpus=[{"reasons": 0x40, "energy": False}])
    said = " ".join(farm_on_gpus("doctor").out.split())
    assert "slowed by heat" in said
    assert "energy counter of gpu" in said


def test_a_gpu_whose_environment_is_not_installed(farm, gpus):
    assert devices(farm)["gpu"]["remedy"] == "farm devices install gpu"
    assert "farm devices install gpu" in farm.refused("bench", "model.onnx", "--device", "gpu")


def test_a_night_on_it_says_what_installs_the_environment(farm, gpus):
    suite = 'name = "shop"\n[[case]]\nname = "c"\nmodel = "model.onnx"\ndevice = "gpu"\n'
    (farm.folder / "suite.toml").write_text(suite)
    missing = (
        "Device gpu cannot be measured here: the Python package onnxruntime-gpu is not installed. "
        "Remedy: farm devices install gpu."
    )
    night = farm("nightly", "run", "suite.toml")
    assert night.code == 3
    assert missing in " ".join(night.out.split())
    assert missing in farm.refused("nightly", "bisect", "c", "--suite", "suite.toml")


def test_energy_is_asked_for_only_where_the_gpu_counts_it(farm_on_gpus, gpus):
    gpus.tell(gpus=[{"energy": False}])
    told = farm_on_gpus.refused(
        *("tune", "model.onnx", "--devices", "gpu", "--local", "--objective", "energy")
    )
    assert told.startswith("The energy of gpu is unknown: it has no counter that can be read")


@pytest.mark.slow
def test_energy_that_is_minimised_is_measured(farm_on_gpus, few_blocks, monkeypatch):
    monkeypatch.setattr(GpuEnergyCounter, "least_seconds", 0.5)
    ended = farm_on_gpus(
        *("tune", "model.onnx", "--data", "data.npz", "--devices", "gpu", "--local", "--json"),
        *("--trials", "2", "--budget", "20s", "--objective", "energy"),
    )
    assert ended.code == 0, ended.err
    (device,) = json.loads(ended.out)["devices"]
    for side in ("baseline", "winner"):
        energy = device[side]["energy"]
        assert energy["method"] == "measured"
        assert energy["ci"] is not None, "it is that of blocks"
        assert device[side]["energy_window"]["value"] >= 0.1
    told = farm_on_gpus(
        *("query", "SELECT count(*) AS n, count(joules) AS counted FROM block_sample", "--json")
    )
    (row,) = json.loads(told.out)
    assert row["n"] == row["counted"] > 0


@pytest.mark.slow
def test_tuned_and_delivered(farm_on_gpus, gpus, few_blocks):
    farm = farm_on_gpus
    gpus.tell(gpus=[{"energy": False}])  # a counter would be read for seconds
    ended = farm(
        *("tune", "model.onnx", "--data", "data.npz", "--devices", "gpu", "--local"),
        *("--trials", "2", "--budget", "60s", "--output", "out"),
    )
    assert ended.code == 0, ended.err
    assert "onnxruntime-cuda float32" in ended.out
    assert "from and to the host's memory" in ended.out
    assert "300 MiB of the GPU's memory" in ended.out
    session = json.loads((farm.folder / "out" / "gpu" / "session.json").read_text())
    assert session["memory"] == "cuda"
    script = farm.folder / "out" / "gpu" / "run.py"
    assert "'CUDA_DEVICE_ORDER': 'PCI_BUS_ID', 'CUDA_VISIBLE_DEVICES': '0'" in script.read_text()
    done = subprocess.run(
        [sys.executable, str(farm.folder / "out" / "gpu" / "run.py")],
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "float32" in done.stdout
