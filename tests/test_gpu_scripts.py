"""The scripts that measure GPUs, where they are asked for what is none."""

from __future__ import annotations

import sys

import pytest

from benchmarks.races import gpu, gpu_software


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
