"""``farm predict``, on a calibration whose kernels take what a formula says."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from onnx import TensorProto
from onnx.helper import make_node, make_tensor_value_info

from db.records import Phase
from db.store import Store
from farm.artifact.compiler import Compiler
from farm.candidate import (
    Candidate,
    CPackage,
    DynamicInt8,
    OnnxRuntimeCpu,
    OnnxRuntimeWebGpu,
    Pipeline,
    PipelinePart,
    Precision,
    StaticInt8,
    WeightOnlyInt4,
    to_json,
)
from farm.compile.operators import quantizable
from farm.devices.profile import Availability, load_profiles
from farm.model.model import load_model
from tests import models
from tests.tools.command import Command
from tests.tuner.calibrating.timed import FEW, TimedExecutor
from tests.tuner.imagined import ImaginedExecutor
from tuner.calibrating.calibrate import calibrate
from tuner.request import TuneRequest
from tuner.runs.record.details import proposed_in
from tuner.runs.start import check_request, start_run
from tuner.tune import tune_run
from workers.fingerprint import fingerprint
from workers.jobs import DeviceFacts, TrialJob

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


class Searched(ImaginedExecutor):
    """What a search on this machine asks of its engine, which runs nothing."""

    def __init__(self, model: Path) -> None:
        super().__init__()
        self.engines = ("onnxruntime-cpu",)
        self._model = load_model(model).proto

    def describe(self, device: str) -> DeviceFacts:
        return replace(super().describe(device), machine=fingerprint())

    def quantizable(self, device: str, job: TrialJob) -> dict[str, tuple[str, ...]]:
        return {
            kind.kind: tuple(op.name for op in quantizable(self._model, kind))
            for kind in (StaticInt8(), DynamicInt8(), WeightOnlyInt4())
        }


def test_the_best_are_those_that_a_search_tries_first(known: Command) -> None:
    (found,) = predict(known, "model.onnx", "--best", 5)
    best = found["best"]
    assert isinstance(best, list)
    assert found["candidate"] == best[0]["candidate"]
    assert isinstance(found["considered"], int)
    assert found["considered"] > 5
    model = str(known.folder / "model.onnx")
    request = TuneRequest(model, ("cpu",), output=str(known.folder / "out"), max_trials=6)
    with Store.open(str(known.store)) as store:
        run = start_run(store, check_request(request, load_profiles()))
        executor = Searched(Path(model))
        tune_run(store, run, lambda _: executor, lambda _: None)  # type: ignore[arg-type,return-value]
        trials = store.trials(run=run.name, phase=Phase.SEARCH)
        tried = [json.loads(store.candidate(each.candidate_id).json) for each in trials]
    assert tried[0] == json.loads(to_json(Candidate()))
    assert [each["candidate"] for each in best] == tried[1:6]
    assert [each["why"] for each in best] == [proposed_in(each.details).why for each in trials[1:]]


def test_more_than_there_are_is_all_there_are(known: Command) -> None:
    (found,) = predict(known, "model.onnx", "--best", 100_000)
    best = found["best"]
    assert isinstance(best, list)
    assert len(best) == found["considered"]
    ids = {json.dumps(each["candidate"], sort_keys=True) for each in best}
    assert len(ids) == len(best)


def test_nothing_is_run_and_nothing_written(known: Command) -> None:
    before = known.store.read_bytes()
    assert predict(known, "model.onnx", "--best", 2)
    assert known.store.read_bytes() == before


def test_the_table_says_that_there_is_only_a_roofline(known: Command) -> None:
    ended = known("predict", "model.onnx", "--best", 2)
    assert ended.code == 0
    assert "cpu: roofline only: no whole model taught anything yet; farm tune" in ended.out
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


@pytest.mark.parametrize("kind", ["fake", "cpackage-emulated"])
def test_an_engine_that_the_device_does_not_have(kind: str, known: Command) -> None:
    (known.folder / "c.json").write_text(json.dumps({"engine": {"kind": kind}}))
    sentence = known.refused("predict", "model.onnx", "--candidate", "c.json")
    assert sentence.startswith(f"Device cpu has no engine '{kind}', which the candidate asks for")


def test_trials_that_nothing_was_learnt_from_are_told(known: Command) -> None:
    """As after an upgrade to a farm that does not read the cost models of the one before."""
    said = "this version of the farm has not learnt from its trials yet"
    model = str(known.folder / "model.onnx")
    request = TuneRequest(model, ("cpu",), output=str(known.folder / "out"), max_trials=2)
    with Store.open(str(known.store)) as store:
        run = start_run(store, check_request(request, load_profiles()))
        executor = Searched(Path(model))
        tune_run(store, run, lambda _: executor, lambda _: None)  # type: ignore[arg-type,return-value]
    assert said not in known("predict", "model.onnx").out
    with closing(sqlite3.connect(known.store)) as connection:
        connection.execute("UPDATE cost_model SET format = 'of another farm'")
        connection.commit()
    assert f"cpu: roofline only: {said}" in known("predict", "model.onnx").out
    assert said in known("devices", "show", "cpu", "--model").out


def test_a_device_in_software_says_so(known: Command) -> None:
    (known.folder / "profiles").mkdir()
    (known.folder / "profiles" / "cpu.toml").write_text(
        'name = "cpu"\nkind = "gpu"\ndescription = "a"\nengines = ["onnxruntime-cpu"]\n'
        "is_software = true\n"
    )
    (found,) = predict(known, "model.onnx", "--devices", "cpu", "--profiles", "profiles")
    assert isinstance(found["notes"], list)
    assert found["notes"][0].startswith("cpu is no GPU, but a program on this machine's")


def test_a_part_at_a_device_in_software_says_so(known: Command) -> None:
    model = load_model(known.folder / "model.onnx")
    first, *rest = (node.name for node in model.proto.graph.node)
    parts = (
        PipelinePart("cpu", OnnxRuntimeCpu(), (first,)),
        PipelinePart("gpu-software", OnnxRuntimeWebGpu(), tuple(rest)),
    )
    (known.folder / "split.json").write_text(to_json(Candidate(Pipeline(parts))))
    with Store.open(str(known.store)) as store:
        executor, software = Here(("onnxruntime-webgpu",)), load_profiles()["gpu-software"]
        calibrate(store, executor, software, 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
    (found,) = predict(known, "model.onnx", "--candidate", "split.json")
    assert isinstance(found["notes"], list)
    assert found["notes"][0].startswith("gpu-software is no GPU, but a program on this machine's")
