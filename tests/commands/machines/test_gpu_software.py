"""A GPU in software as a device like every other: tuned, calibrated, planned with, refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from farm.candidate import Candidate, OnnxRuntimeWebGpu, to_json
from farm.devices.profile import load_profiles
from tests.tools.command import Command
from tests.webgpu import SOFTWARE, require_webgpu
from workers.environments.interpreters import Interpreters

GPU = SOFTWARE.name
PLACE = f"{GPU}/onnxruntime-webgpu"


@pytest.fixture
def webgpu(farm: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command where the environment is installed."""
    (farm.folder / "data").symlink_to(require_webgpu(monkeypatch))
    return farm


def run_delivered(folder: Path) -> subprocess.CompletedProcess[str]:
    interpreters = Interpreters(SOFTWARE)
    try:
        command = [interpreters.of("onnxruntime-webgpu"), "-I", str(folder / "run.py")]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    finally:
        interpreters.close()


@pytest.mark.usefixtures("few_blocks")
def test_a_model_is_tuned_and_delivered(webgpu: Command) -> None:
    ended = webgpu(
        *("tune", "model.onnx", "--data", "data.npz", "--devices", GPU, "--local"),
        *("--trials", 2, "--budget", "20s", "--output", "won", "--json"),
    )
    assert ended.code == 0, ended.err
    (device,) = json.loads(ended.out)["devices"]
    assert device["status"] == "tuned"
    assert device["baseline"]["label"] == "onnxruntime-webgpu float32"
    assert device["winner"]["label"].startswith("onnxruntime-webgpu")
    assert device["accuracy"]["winner"] == pytest.approx(1.0)
    assert any("is no GPU, but a program" in note for note in device["notes"])
    done = run_delivered(webgpu.folder / "won" / GPU)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("float32\n")


@pytest.mark.slow
def test_it_is_a_place_of_plans_once_it_is_calibrated(webgpu: Command) -> None:
    ended = webgpu("devices", "calibrate", GPU, "--budget", "1s", "--json")
    assert ended.code == 0, ended.err
    calibration = json.loads(ended.out)
    assert {each["precision"] for each in calibration["places"]} == {"float32"}
    (border,) = calibration["borders"]
    assert border["launch_seconds"] + border["take_seconds_per_byte"] > 0.0
    planned = webgpu(
        *("plan", "placement", "model.onnx", "--devices", GPU, "--no-measure", "-o", "plan.json")
    )
    assert planned.code == 0, planned.err
    applied = webgpu("plan", "apply", "plan.json", "--json")
    assert applied.code == 0, applied.err
    assert {part["place"] for part in json.loads(applied.out)["parts"]} == {PLACE}


def test_another_device_does_not_have_its_engine(webgpu: Command) -> None:
    divided = Candidate(OnnxRuntimeWebGpu(on_cpu=("conv",)))
    (webgpu.folder / "c.json").write_text(to_json(divided))
    said = webgpu.refused("bench", "model.onnx", "--device", "cpu", "--candidate", "c.json")
    known = ", ".join(load_profiles()["cpu"].engines)
    assert said == (
        "Device cpu has no engine 'onnxruntime-webgpu', which the candidate asks for; it has "
        f"{known}."
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"on_cpu": "conv"}, "engine.onnxruntime-webgpu.on_cpu: Input should be a valid array"),
        ({"layout": "nwhc"}, "engine.onnxruntime-webgpu.layout: Input should be 'nhwc' or 'nchw'"),
    ],
)
def test_candidates_that_are_none(farm: Command, fields: dict[str, str], said: str) -> None:
    wrong = {"engine": {"kind": "onnxruntime-webgpu", **fields}}
    (farm.folder / "c.json").write_text(json.dumps(wrong))
    refused = farm.refused("bench", "model.onnx", "--device", GPU, "--candidate", "c.json")
    assert refused.startswith(f"c.json is not a candidate: at {said}")
