"""The scripts that measure GPUs, where they are asked for what is none."""

from __future__ import annotations

import sys

import pytest

from benchmarks.races import gpu, gpu_software
from farm.candidate import Candidate, OnnxRuntimeCuda
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


@pytest.mark.usefixtures("few_blocks")
def test_a_row_has_a_value_in_each_column_on_a_gpu_that_stands_in(gpus, monkeypatch, capsys):
    gpus.install()
    monkeypatch.setattr(gpu, "_candidates", lambda facts: [Candidate(OnnxRuntimeCuda())])
    monkeypatch.setattr(gpu, "_RUNS", 70)
    monkeypatch.setattr(gpu, "_DETAIL_SECONDS", 0.1)
    monkeypatch.setattr(sys, "argv", ["script", "--quick"])
    assert gpu.main() == 0
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith("| onnxruntime-cuda float32")
    assert row.count(" | ") == 7
    assert "not told" not in row


def test_where_no_row_has_values_each_says_why(gpus, monkeypatch, capsys):
    gpus.install()
    monkeypatch.setattr(gpu, "_candidates", lambda facts: [Candidate(OnnxRuntimeCuda())])
    monkeypatch.setattr(gpu, "_LIMITS", Limits(load_seconds=0.01))
    monkeypatch.setattr(sys, "argv", ["script", "--quick"])
    assert gpu.main() == 1
    row = capsys.readouterr().out.splitlines()[-1]
    assert row.startswith(
        "| onnxruntime-cuda float32 | timeout: no answer to 'load' within 0.01 s; ended. |"
    )
