"""The scripts that measure GPUs, where they are asked for what is none."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from benchmarks.races import gpu, gpu_software
from farm.candidate import OnnxRuntimeCuda
from workers.jobs import Limits


@pytest.mark.parametrize(
    ("main", "device", "said"),
    [
        (gpu.main, "cpu", "Device cpu has no engine 'onnxruntime-cuda', which this script asks"),
        (gpu.main, "nope", "Unknown device 'nope'. "),
        (gpu_software.main, "cpu", "Device cpu has no engine 'onnxruntime-webgpu', which this"),
        (gpu_software.main, "nope", "Unknown device 'nope'. "),
    ],
)
def test_a_device_that_is_no_gpu(main, device, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["script", "--device", device])
    assert main() == 2
    assert capsys.readouterr().out.startswith(said)


def test_the_environment_that_is_missing_is_named(gpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(sys, "argv", ["script"])
    assert gpu.main() == 2
    assert capsys.readouterr().out == (
        "gpu cannot be measured: the Python package onnxruntime-gpu is not installed; farm "
        "devices install gpu.\n"
    )


def test_a_row_for_each_candidate_on_a_gpu_that_stands_in(gpus, monkeypatch, capsys):
    gpus.install()
    cuda = OnnxRuntimeCuda()
    monkeypatch.setattr(gpu, "_BATCHES", (1,))
    monkeypatch.setattr(gpu, "_ENGINES", (cuda,))
    monkeypatch.setattr(gpu, "_ROUNDED", replace(cuda, cpu_operators=True))
    monkeypatch.setattr(gpu, "_RUNS", 70)
    monkeypatch.setattr(gpu, "_DETAIL_SECONDS", 0.1)
    monkeypatch.setattr(sys, "argv", ["script", "--quick"])
    assert gpu.main() == 0
    rows = capsys.readouterr().out.splitlines()[-3:]
    assert [row.split()[1] for row in rows] == ["onnxruntime-cuda"] * 3
    assert all(row.count(" | ") == 7 and "not told" not in row for row in rows)


def test_where_no_row_has_values_each_says_why(gpus, monkeypatch, capsys):
    gpus.install()
    monkeypatch.setattr(gpu, "_BATCHES", (1,))
    monkeypatch.setattr(gpu, "_ENGINES", (OnnxRuntimeCuda(),))
    monkeypatch.setattr(gpu, "_ROUNDED", OnnxRuntimeCuda(tf32=True))
    monkeypatch.setattr(gpu, "_LIMITS", Limits(load_seconds=0.01))
    monkeypatch.setattr(sys, "argv", ["script", "--quick"])
    assert gpu.main() == 1
    rows = capsys.readouterr().out.splitlines()[-3:]
    assert len(rows) == 3
    assert all("| timeout: no answer to 'load' within 0.01 s; ended. |" in row for row in rows)
