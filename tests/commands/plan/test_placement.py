"""``farm plan placement``, on a calibration whose kernels take what a formula says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node, make_tensor_value_info

from db.store import Store
from farm.candidate import Candidate, CPackageEmulated, OnnxRuntimeCpu, read_candidate
from farm.compile.annotate import labels_of
from farm.devices.profile import load_profiles
from tests import models
from tests.tools.command import Command
from tests.tuner.calibrating.timed import FEW, TimedExecutor
from tuner.calibrating.calibrate import calibrate
from workers.fingerprint import fingerprint
from workers.jobs import DeviceFacts

FAR = """
name = "far"
kind = "dsp"
description = "Nobody says what it takes to call it"
engines = ["cpackage-emulated"]
[package]
target = "hexagon-v67-hvx"
source = "made up"
clock_hz = 5e8
cycles_per_packet = 1.0
"""
CPU, DSP = "cpu/onnxruntime-cpu", "dsp/cpackage-emulated"
KEYS = [
    *("model", "places", "objective", "predicted", "bound", "gap", "seconds", "parts"),
    *("transfers", "best_single", "baselines", "refused", "notes"),
]


class Here(TimedExecutor):
    """A calibration of this machine that takes no time."""

    def describe(self, device: str) -> DeviceFacts:
        return replace(super().describe(device), machine=fingerprint())


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which cpu and dsp are calibrated."""
    path = tmp_path_factory.mktemp("store") / "farm.db"
    packages = (CPackageEmulated(target="hexagon-v67-hvx"),)
    with Store.open(str(path)) as store:
        for name, executor in (
            ("cpu", Here(("onnxruntime-cpu",))),
            ("dsp", Here(("cpackage-emulated",), packages)),
        ):
            calibrate(store, executor, load_profiles()[name], 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
    return path


@pytest.fixture
def planned(farm: Command, calibrated: Path) -> Command:
    """The command with that store, and ``best.onnx``, which generated code cannot do alone."""
    farm.store.write_bytes(calibrated.read_bytes())
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="conv"),
        make_node("GlobalAveragePool", ["a"], ["b"], name="pool"),
        make_node("Flatten", ["b"], ["c"], name="flat"),
        make_node("TopK", ["c", "k"], ["v", "i"], name="best"),
    ]
    stored = models.weights(w=(8, 3, 3, 3)) | {"k": np.array([3], np.int64)}
    outputs = [models.value("v", [1, 3]), make_tensor_value_info("i", TensorProto.INT64, [1, 3])]
    model = models.build(nodes, [models.value("x", [1, 3, 16, 16])], outputs, stored)
    onnx.save(model, farm.folder / "best.onnx")
    return farm


def plan(farm: Command, *arguments: object) -> dict[str, object]:
    ended = farm("plan", "placement", *arguments, "--no-measure", "--json")
    assert ended.code == 0, ended
    found: dict[str, object] = json.loads(ended.out)
    return found


def test_the_object_has_what_it_promises(planned: Command) -> None:
    found = plan(planned, "model.onnx", "--devices", "cpu,dsp")
    assert list(found) == KEYS
    assert found["places"] == [CPU, DSP]
    operators = [node.name for node in onnx.load(planned.folder / "model.onnx").graph.node]
    placed = [name for part in found["parts"] for name in part["operators"]]  # type: ignore[attr-defined]
    assert len(placed) == len(operators), "every operator once"
    assert set(found["predicted"]) == {"value", "low", "high", "unit", "basis", "rows"}  # type: ignore[call-overload]
    assert found["predicted"]["basis"] == "roofline"  # type: ignore[index]
    assert found["gap"] == 0.0


def test_all_that_is_written(planned: Command) -> None:
    files = ("-o", "plan.json", "--figure", "plan.svg", "--annotated", "placed.onnx")
    files = (*files, "--candidate", "candidate.json")
    ended = planned("plan", "placement", "model.onnx", "--no-measure", *files)
    assert ended.code == 0, ended
    assert ended.out.startswith(f"Everything runs at {CPU}")
    assert f"never profiled at {CPU}: costs there are roofline only" in ended.out
    assert (planned.folder / "plan.svg").read_text().startswith("<svg")
    placed = onnx.load(planned.folder / "placed.onnx")
    assert set(labels_of(placed).values()) == {"cpu_onnxruntime-cpu"}
    assert planned("plan", "apply", "plan.json").code == 0
    candidate = read_candidate(planned.folder / "candidate.json")
    assert candidate == Candidate(OnnxRuntimeCpu())


@pytest.mark.parametrize("objective", ["energy", "peak-memory", "throughput"])
def test_other_objectives(planned: Command, objective: str) -> None:
    found = plan(planned, "model.onnx", "--devices", "cpu,dsp", "--objective", objective)
    unit = {"energy": "J", "peak-memory": "B", "throughput": "s"}[objective]
    assert found["objective"] == objective
    assert found["predicted"]["unit"] == unit  # type: ignore[index]


def test_what_one_place_cannot_run_another_does(planned: Command) -> None:
    found = plan(planned, "best.onnx", "--devices", "cpu,dsp")
    at = {name: p["place"] for p in found["parts"] for name in p["operators"]}  # type: ignore[attr-defined]
    assert at["best"] == CPU, "the dsp has no code for it"
    assert found["best_single"]["place"] == CPU  # type: ignore[index]


def test_no_decision_moves_an_operator_where_it_does_not_fit(planned: Command) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="conv", pads=[1, 1, 1, 1]),
        make_node("GlobalAveragePool", ["a"], ["y"], name="pool"),
        make_node("Relu", ["y"], ["z"], name="last"),
    ]
    ends = [models.value("x", [1, 3, 512, 512])], [models.value("z", [1, 8, 1, 1])]
    onnx.save(
        models.build(nodes, *ends, models.weights(w=(8, 3, 3, 3))), planned.folder / "wide.onnx"
    )
    asked = ("plan", "placement", "wide.onnx", "--devices", "cpu,dsp", "--no-measure")
    assert planned(*asked, "-o", "plan.json").code == 0
    found = json.loads(planned("plan", "apply", "plan.json", "--avoid", "cpu", "--json").out)
    at = {name: part["place"] for part in found["parts"] for name in part["operators"]}
    assert at == {"conv": CPU, "pool": CPU, "last": DSP}, "the dsp has an arena of 1 MiB"


def test_an_operator_that_no_device_runs(planned: Command) -> None:
    said = planned.refused("plan", "placement", "best.onnx", "--devices", "dsp", "--no-measure")
    assert "No place can run operator best: TopK best cannot run on dsp" in said


def test_a_device_that_was_never_calibrated(farm: Command, calibrated: Path) -> None:
    farm.store.write_bytes(calibrated.read_bytes())
    said = farm.refused("plan", "placement", "model.onnx", "--devices", "dsp-small")
    assert "farm devices calibrate dsp-small" in said


def test_a_device_that_no_link_leads_to(planned: Command) -> None:
    (planned.folder / "far").mkdir()
    (planned.folder / "far" / "far.toml").write_text(FAR)
    far = load_profiles(planned.folder / "far")["far"]
    packages = (CPackageEmulated(target="hexagon-v67-hvx"),)
    with Store.open(str(planned.store)) as store:
        executor = Here(("cpackage-emulated",), packages)
        calibrate(store, executor, far, 0.0, lambda _: None, FEW)  # type: ignore[arg-type]
    asked = ("plan", "placement", "model.onnx", "--profiles", "far", "--no-measure")
    for devices in ("far", "cpu,far"):
        said = planned.refused(*asked, "--devices", devices)
        assert said.startswith("There is no link between the caller and device far: its profile")


def test_what_makes_no_sense(planned: Command) -> None:
    asked = ("plan", "placement", "model.onnx", "--no-measure")
    assert "one of" in planned.refused(*asked, "--objective", "speed")
    assert "--data is for measuring" in planned.refused(*asked, "--data", "data.npz")
    assert "--output model.onnx is the model as well" in planned.refused(
        *asked, "-o", "model.onnx"
    )
    assert "cannot be planned for here" in planned.refused(*asked, "--devices", "gpu")
    assert "Unknown device 'npu'" in planned.refused(*asked, "--devices", "npu")


def test_without_a_store(farm: Command) -> None:
    said = farm.refused("plan", "placement", "model.onnx")
    assert "There is no store yet" in said


@pytest.mark.parametrize("option", ["--output", "--candidate", "--figure", "--annotated"])
def test_a_store_is_never_replaced(planned: Command, option: str) -> None:
    before = planned.store.read_bytes()
    said = planned.refused("plan", "placement", "model.onnx", "--no-measure", option, "farm.db")
    assert said == f"{option} farm.db is a database, such as a store; give another."
    assert planned.store.read_bytes() == before


def test_what_is_read_is_never_replaced(planned: Command) -> None:
    asked = ("plan", "placement", "model.onnx")
    (planned.folder / "hard.onnx").hardlink_to(planned.folder / "model.onnx")
    before = (planned.folder / "model.onnx").read_bytes()
    assert "--annotated hard.onnx is the model as well" in planned.refused(
        *asked, "--no-measure", "--annotated", "hard.onnx"
    )
    assert "--figure data.npz is the samples as well" in planned.refused(
        *asked, "--data", "data.npz", "--figure", "data.npz"
    )
    assert (planned.folder / "model.onnx").read_bytes() == before


def test_weights_beside_the_model_are_never_replaced(planned: Command) -> None:
    model = onnx.load(planned.folder / "model.onnx")
    path = models.save_external(model, planned.folder, "weights.bin")
    said = planned.refused("plan", "placement", path, "--no-measure", "-o", "weights.bin")
    assert (
        said == "--output weights.bin is the data weights.bin of the model as well; give another."
    )


def test_a_model_that_was_never_profiled_is_told_of_before_it_is_measured(
    planned: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[object] = []
    monkeypatch.setattr(
        "commands.plan.placement.measure", lambda *arguments: measured.append(arguments)
    )
    ended = planned("plan", "placement", "model.onnx")
    assert ended.code == 0, ended
    assert ended.err == (
        f"cpu: the model was never profiled at {CPU}; it is measured there once, which takes a "
        "minute or two (--no-measure plans without).\n"
    )
    assert len(measured) == 1
    assert f"were never profiled at {CPU}: costs there are roofline only" in ended.out


def test_the_words_of_a_throughput(planned: Command) -> None:
    asked = ("plan", "placement", "model.onnx", "--no-measure", "--objective", "throughput")
    ended = planned(*asked, "--devices", "cpu,dsp")
    assert "greatest throughput, by the time of the slowest place" in ended.out
    assert "ran out" not in ended.out
