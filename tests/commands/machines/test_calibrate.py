"""``farm devices calibrate``."""

from __future__ import annotations

import json
import signal

import pytest

from db.questions.sql import query
from farm.devices.profile import Availability
from tests.tools.command import Command, start

PROFILE = """
name = "quick"
kind = "cpu"
description = "This machine's processor, with one engine"
engines = ["onnxruntime-cpu"]
"""


@pytest.fixture
def quick(farm: Command) -> Command:
    """The command with a device that is calibrated soon."""
    (farm.folder / "profiles").mkdir()
    (farm.folder / "profiles" / "quick.toml").write_text(PROFILE)
    return farm


@pytest.mark.slow
def test_a_short_calibration_is_shown_and_stored(quick: Command) -> None:
    given = ("devices", "calibrate", "quick", "--budget", "1s", "--profiles", "profiles")
    ended = quick(*given, "--json")
    assert ended.code == 0, ended.err
    assert "quick, 0 of 1 s: borders" in ended.err
    found = json.loads(ended.out)
    assert set(found) == {
        *("calibration", "device", "threads", "created_at", "seconds", "places", "borders"),
        "notes",
    }
    assert [(place["engine"], place["precision"]) for place in found["places"]] == [
        ("onnxruntime-cpu", "float32"),
        ("onnxruntime-cpu", "int8"),
    ]
    real = found["places"][0]
    assert {"convolution", "pointwise", "depthwise", "product", "elementwise"} <= set(
        real["families"]
    )
    assert 1e8 < 1 / real["families"]["product"]["seconds_per_flop"] < 1e13
    assert ["Conv", "Relu"] in real["patterns"]
    assert len(real["points"]) > 80
    assert 1e-7 < found["borders"][0]["launch_seconds"] < 1e-2
    assert any("There was no time for all kernels" in note for note in found["notes"])
    _, rows = query(str(quick.store), "SELECT id, device FROM calibration")
    assert rows == ((found["calibration"], "quick"),)


@pytest.mark.slow
def test_an_interrupted_calibration_leaves_nothing(quick: Command) -> None:
    process = start(quick.folder, "devices", "calibrate", "quick", "--profiles", "profiles")
    assert process.stderr is not None
    assert process.stderr.readline() == "quick, 0 of 180 s: borders\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err.endswith("Interrupted; nothing of the calibration is stored.\n")
    assert "Traceback" not in err
    assert query(str(quick.store), "SELECT id FROM calibration")[1] == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch"], "Unknown device 'nosuch'."),
        (["cpu", "--budget", "soon"], "'soon' is not a time;"),
        (["cpu", "--budget", "10ms"], "--budget must be 1 s or more, got 10ms."),
        (["fake"], "Device fake cannot be calibrated: none of its engines tells what its kernels"),
        (["cpu", "--profiles", "nowhere"], "There is no folder nowhere with device profiles."),
    ],
)
def test_what_cannot_be_calibrated(arguments: list[str], said: str, farm: Command) -> None:
    sentence = farm.refused("devices", "calibrate", *arguments)
    assert said in sentence


def test_a_device_that_is_not_there(farm: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Availability(available=False, reason="it was sold", remedy="buy another one")
    monkeypatch.setattr("workers.discovery.device_availability", lambda _: gone)
    assert farm.refused("devices", "calibrate", "gpu") == (
        "Device gpu cannot be calibrated: it was sold (remedy: buy another one)."
    )
