"""``farm predict``, on a calibration whose kernels take what a formula says."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import TensorProto
from onnx.helper import make_node, make_tensor_value_info

from db.store import Store
from farm.artifact.compiler import Compiler
from farm.candidate import (
    Candidate,
    CPackage,
    OnnxRuntimeCpu,
    Precision,
    StaticInt8,
    to_json,
)
from farm.devices.profile import Availability, load_profiles
from farm.model.model import load_model
from tests import models
from tests.command import Command
from tests.tuner.calibrating.timed import FEW, TimedExecutor
from tuner.calibrating.calibrate import calibrate
from workers.fingerprint import fingerprint
from workers.jobs import DeviceFacts

PREDICTION = ["value", "low", "high", "unit", "basis", "rows"]


class Here(TimedExecutor):
    """A calibration of this machine that takes no time."""

    def describe(self, device: str) -> DeviceFacts:
        return replace(super().describe(device), machine=fingerprint())


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which cpu is calibrated with one engine."""
    path = tmp_path_factory.mktemp("store") / "farm.db"
    with Store.open(str(path)) as store:
        executor = Here(("onnxruntime-cpu",))
        calibrate(store, executor, load_profiles()["cpu"], 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
    return path


@pytest.fixture
def known(
    farm: Command, calibrated: Path, facts: None, monkeypatch: pytest.MonkeyPatch
) -> Command:
    """The command with that store, and a machine that has that engine alone."""
    farm.store.write_bytes(calibrated.read_bytes())
    return farm


@pytest.fixture
def facts(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Here(("onnxruntime-cpu",)).describe("cpu")
    monkeypatch.setattr("workers.facts.facts_of", lambda _: here)


def predict(farm: Command, *arguments: object) -> list[dict[str, object]]:
    ended = farm("predict", *arguments, "--json")
    assert ended.code == 0, ended
    devices: list[dict[str, object]] = json.loads(ended.out)["devices"]
    return devices


def test_the_baseline_is_predicted_unless_a_candidate_is_given(known: Command) -> None:
    (found,) = predict(known, "model.onnx", "--devices", "cpu")
    assert found["device"] == "cpu"
    assert found["candidate"] == json.loads(to_json(Candidate()))
    for name, unit in (("latency", "s"), ("peak_memory", "B"), ("energy", "J")):
        value = found[name]
        assert isinstance(value, dict)
        assert list(value) == PREDICTION
        assert 0 < value["low"] < value["value"] < value["high"]
        assert (value["unit"], value["basis"]) == (unit, "roofline")
        assert value["rows"] > 0


def test_a_candidate_from_a_file(known: Command) -> None:
    chosen = Candidate(OnnxRuntimeCpu(threads=1), Precision(quantization=StaticInt8()))
    (known.folder / "c.json").write_text(to_json(chosen))
    (found,) = predict(known, "model.onnx", "--candidate", "c.json")
    assert found["candidate"] == json.loads(to_json(chosen))


def test_the_best_are_ranked_as_a_search_would_try_them(known: Command) -> None:
    (found,) = predict(known, "model.onnx", "--best", 4)
    best = found["best"]
    assert isinstance(best, list)
    latencies = [each["latency"] for each in best]
    bounds = [math.sqrt(it["value"] * it["low"]) for it in latencies]  # about; spreads are alike
    assert len(best) == 4
    assert bounds[0] <= bounds[-1]
    assert found["candidate"] == best[0]["candidate"]
    assert isinstance(found["considered"], int)
    assert found["considered"] > 4


def test_nothing_is_run_and_nothing_written(known: Command) -> None:
    before = known.store.read_bytes()
    assert predict(known, "model.onnx", "--best", 2)
    assert known.store.read_bytes() == before


def test_the_table_says_that_there_is_only_a_roofline(known: Command) -> None:
    ended = known("predict", "model.onnx", "--best", 2)
    assert ended.code == 0
    assert "cpu: roofline only: nothing was learnt of this device yet" in ended.out
    assert "Latencies are those of a quiet machine" in ended.out


@pytest.mark.usefixtures("facts")
def test_a_device_that_was_never_calibrated(farm: Command) -> None:
    Store.open(str(farm.store)).close()
    assert farm.refused("predict", "model.onnx").endswith("farm devices calibrate cpu")


def test_shapes_that_stay_dynamic(known: Command) -> None:
    nodes = [
        make_node("NonZero", ["x"], ["where"], name="where"),
        make_node("Cast", ["where"], ["y"], name="cast", to=TensorProto.FLOAT),
    ]
    outputs = [make_tensor_value_info("y", TensorProto.FLOAT, [2, None])]
    model = models.build(nodes, [models.value("x", [4, 4])], outputs, {})
    models.save(model, known.folder, "dynamic.onnx")
    sentence = known.refused("predict", "dynamic.onnx")
    assert sentence.startswith("What dynamic takes cannot be predicted: the shapes around its")
    assert "'where' (NonZero) stay dynamic" in sentence


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nosuch.onnx"], "nosuch.onnx"),
        (["model.onnx", "--devices", "nosuch"], "Unknown device 'nosuch'."),
        (["model.onnx", "--candidate", "c.json", "--best", "2"], "--candidate and --best"),
        (["model.onnx", "--candidate", "nowhere.json"], "Cannot read candidate file"),
        (["model.onnx", "--best", "-1"], "--best takes 0 or more, got '-1'."),
    ],
)
def test_what_cannot_be_predicted(arguments: list[str], said: str, known: Command) -> None:
    assert said in known.refused("predict", *arguments)


def test_an_engine_that_was_never_calibrated(known: Command) -> None:
    (known.folder / "c.json").write_text('{"engine":{"kind":"openvino-runtime"}}')
    sentence = known.refused("predict", "model.onnx", "--candidate", "c.json")
    assert "The calibration of device cpu knows nothing of openvino-runtime" in sentence


def test_a_device_that_is_not_there(known: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Availability(available=False, reason="it was sold", remedy="buy another one")
    monkeypatch.setattr("workers.discovery.device_availability", lambda _: gone)
    assert known.refused("predict", "model.onnx") == (
        "Nothing can be predicted for device cpu here: it was sold (remedy: buy another one)."
    )


def test_the_memory_of_a_package_is_planned(known: Command) -> None:
    (known.folder / "c.json").write_text('{"engine":{"kind":"cpackage","target":"portable"}}')
    store = Store.open(str(known.store))
    executor = Here(("onnxruntime-cpu", "cpackage"), (CPackage(target="portable"),))
    calibrate(store, executor, load_profiles()["cpu"], 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
    store.close()
    (found,) = predict(known, "model.onnx", "--candidate", "c.json")
    memory = found["peak_memory"]
    assert isinstance(memory, dict)
    model = load_model(known.folder / "model.onnx")
    made = Compiler(model.proto, []).generation(Candidate(CPackage(target="portable")))
    storage = made.storage
    needed = storage.arena_bytes + storage.scratch_bytes + made.generated.weight_bytes
    assert memory["low"] == memory["value"] == memory["high"] == needed
