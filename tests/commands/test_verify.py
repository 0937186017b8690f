"""``farm verify``: delivered folders whose claims hold, do not hold, and cannot be judged."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from farm.candidate import Candidate, OnnxRuntimeCpu, to_json
from farm.delivery.winner import write_delivery
from farm.measurement import Estimate
from farm.model.model import load_model
from farm.session.of_candidate import session_spec
from tests.models import mlp, save
from tests.tools.command import Command
from tuner import bench
from tuner.goals import Objective
from tuner.request import TuneRequest
from tuner.runs.subject import load_subject
from workers.fingerprint import fingerprint

WINNER = Candidate(OnnxRuntimeCpu(threads=1))
KEYS = [
    *("folder", "verdict", "reason", "run", "model_sha256", "device", "candidate", "confirmed"),
    *("objective", "claimed", "measured", "blocks", "accuracy", "package", "disagreements"),
    "notes",
]
CERTAIN = Estimate(1e-3, 1e-3, 2e-3)  # a claim that any machine keeps, however busy
ABSURD = Estimate(1e3, 9e2, 1.1e3)


def deliver(farm: Command, **changes: Any) -> Path:
    """A winner as `farm tune` writes it, with a claim that is made up."""
    request = TuneRequest(str(farm.folder / "model.onnx"), ("cpu",))
    subject, folder = load_subject(request), farm.folder / "out" / "cpu"
    machine = fingerprint()
    record = {
        "confirmed": True,
        "run": "model-1",
        "request": json.loads(request.to_json()),
        "model_sha256": subject.model.sha256,
        "device": "cpu",
        "candidate": json.loads(to_json(WINNER)),
        "baseline": json.loads(to_json(Candidate())),
        "ratio": asdict(CERTAIN),
        "gain": asdict(CERTAIN),
        "accuracy": {"metric": "agreement", "value": 1.0, "samples": 19},
        "data_sha256": subject.dataset.sha256,
        "machine": {"cpu": machine.cpu, "cores": machine.cores},
        **changes,
    }
    model = load_model(Path(request.model), {})
    content = model.proto.SerializeToString(deterministic=True)
    write_delivery(folder, content, session_spec(WINNER), model.inputs, json.dumps(record))
    return folder


def unjudged(farm: Command, *arguments: object) -> str:
    """Verify what cannot be judged; why."""
    ended = farm("verify", "out/cpu", "--json", *arguments)
    assert ended.code == 1, ended
    found = json.loads(ended.out)
    assert found["verdict"] == "cannot be judged here"
    assert found["measured"] is None
    return str(found["reason"])


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_a_claim_that_holds(farm: Command) -> None:
    """The model moved meanwhile, and its path has another content."""
    deliver(farm)
    (farm.folder / "model.onnx").rename(farm.folder / "moved.onnx")
    save(mlp(), farm.folder)
    ended = farm("verify", "out/cpu", "--model", "moved.onnx", "--json")
    assert ended.code == 0, ended
    found = json.loads(ended.out)
    assert list(found) == KEYS
    assert (found["verdict"], found["reason"], found["disagreements"]) == ("holds", "", [])
    assert found["claimed"]["estimate"] == CERTAIN.value
    low, high = found["measured"]["ci"]
    assert 0 < low <= found["measured"]["estimate"] <= high
    assert found["blocks"] == bench.BLOCKS
    assert found["accuracy"]["measured"] == found["accuracy"]["claimed"]
    assert not farm.store.exists(), "a verification is no run"


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_a_claim_that_does_not_hold(farm: Command) -> None:
    deliver(farm, ratio=asdict(ABSURD), gain=asdict(ABSURD), confirmed=False)
    ended = farm("verify", "out/cpu")
    assert ended.code == 1, ended
    verdict, origin, claimed, measured, accuracy, note = ended.out.splitlines()
    assert verdict in ("out/cpu: weaker.", "out/cpu: does not hold.")
    assert origin.startswith("It is the best so far, not confirmed, of model.onnx (run model-1): ")
    assert claimed == (
        "Claimed: 1000.00 times (95 % interval 900.00 to 1100.00) as fast as the baseline."
    )
    assert measured.startswith("Measured here: ")
    assert accuracy == "Accuracy (agreement): 1.0000 on 19 samples, delivered with 1.0000."
    assert note == "It is the best of a search that was interrupted, and was never confirmed."


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_a_device_in_software_says_so(farm: Command) -> None:
    deliver(farm)
    (farm.folder / "profiles").mkdir()
    (farm.folder / "profiles" / "cpu.toml").write_text(
        'name = "cpu"\nkind = "gpu"\ndescription = "a"\nengines = ["onnxruntime-cpu"]\n'
        "is_software = true\n"
    )
    ended = farm("verify", "out/cpu", "--profiles", "profiles", "--json")
    (note,) = json.loads(ended.out)["notes"]
    assert note.startswith("cpu is no GPU, but a program on this machine's")


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_a_claim_of_energy_that_was_found_otherwise(farm: Command) -> None:
    """Where a counter told it, the power figures of a profile say nothing of the claim."""
    model = str(farm.folder / "model.onnx")
    request = TuneRequest(model, ("cpu",), objective=Objective.ENERGY)
    deliver(farm, request=json.loads(request.to_json()), gain_method="planned")
    found = json.loads(farm("verify", "out/cpu", "--json").out)
    assert found["verdict"] == "cannot be judged here"
    assert found["reason"].startswith("the claim is of planned energy, and here it is m")


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks")
def test_a_claim_of_another_processor(farm: Command) -> None:
    """It is raced all the same; what it says of accuracy, everyone can check."""
    accuracy = {"metric": "agreement", "value": 2.0, "samples": 19}
    deliver(farm, machine={"cpu": "Cray-1", "cores": 1}, accuracy=accuracy)
    ended = farm("verify", "out/cpu", "--json")
    found = json.loads(ended.out)
    assert (ended.code, found["verdict"]) == (1, "does not hold"), "for its accuracy"
    assert found["reason"].startswith("it was measured on Cray-1 with 1 core, and this is ")
    assert found["measured"]["estimate"] > 0
    assert found["disagreements"] == ["accuracy (agreement) is 1.0000, and was 2.0000"]


@pytest.mark.parametrize("name", ["model.onnx", "session.json", "run.py", "provenance.json"])
def test_files_that_are_not_what_was_delivered(farm: Command, name: str) -> None:
    changed = deliver(farm) / name
    changed.write_bytes(changed.read_bytes() + b"\n")
    ended = farm("verify", "out/cpu")
    assert ended.code == 1
    assert ended.out.splitlines()[:2] == [
        "out/cpu: does not hold: it is not what was delivered, so it was not raced.",
        f"- {name} is not the file that was delivered.",
    ]


def test_the_original_model_is_needed(farm: Command) -> None:
    deliver(farm)
    save(mlp(), farm.folder)
    assert unjudged(farm) == (
        f"{farm.folder}/model.onnx is not the model that was tuned any more; give the original by "
        "--model FILE"
    )
    assert "model.onnx is not the model that was tuned, by its SHA-256." in farm.refused(
        "verify", "out/cpu", "--model", "model.onnx"
    )
    (farm.folder / "model.onnx").unlink()
    assert unjudged(farm).endswith("give the original by --model FILE")


def test_data_that_is_given_must_be_that_of_the_run(farm: Command) -> None:
    deliver(farm)
    sentence = farm.refused("verify", "out/cpu", "--data", "data.npz")
    assert sentence == "data.npz is not the data that the winner of model.onnx (run model-1) saw."


def test_what_this_machine_does_not_have(farm: Command) -> None:
    deliver(farm, device="board")
    assert unjudged(farm) == "there is no device profile board here"
    deliver(farm, device="gpu")
    assert unjudged(farm).startswith("Device gpu ")
    deliver(farm, baseline=None)
    assert "does not name the baseline" in unjudged(farm)


def test_a_session_of_another_version(farm: Command) -> None:
    deliver(farm, candidate=json.loads(to_json(Candidate(OnnxRuntimeCpu(threads=2)))))
    assert "creates other sessions than session.json says" in unjudged(farm)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ratio": {"value": 2.0, "low": float("nan"), "high": 3.0}}, "the ratio 2.0 [nan, 3.0]"),
        ({"gain": {"value": -2.0, "low": -3.0, "high": -1.0}}, "the ratio -2.0 [-3.0, -1.0] is"),
        ({"machine": {"cpu": 1}}, "at machine.cpu: Input should be a valid string"),
        ({"device": None}, "at device: "),
        ({"run": None}, "is not a record that the farm wrote"),
        ({"candidate": {"engine": {"kind": "abacus"}}}, "'candidate' in "),
        ({"request": {"model": 1}}, "by this version of the farm"),
    ],
)
def test_records_that_are_none(farm: Command, change: dict[str, Any], sentence: str) -> None:
    deliver(farm, **change)
    assert sentence in farm.refused("verify", "out/cpu")


def test_folders_that_cannot_be_used(farm: Command) -> None:
    assert farm.refused("verify", "gone") == "There is no folder gone."
    assert farm.refused("verify", "model.onnx") == "There is no folder model.onnx."
    assert farm.refused("verify", ".").startswith(". is no folder of a winner: it has no proven")
    folder = deliver(farm)
    assert farm.refused("verify", "out") == (
        "out holds winners of cpu: give the folder of one of them, such as out/cpu."
    )
    (folder / "model.onnx").unlink()
    assert farm.refused("verify", folder) == f"{folder} is not whole: model.onnx is missing."
    os.mkfifo(folder / "model.onnx")
    assert "model.onnx is no regular file" in farm.refused("verify", folder)
    sums = folder / "SHA256SUMS"
    sums.write_text(sums.read_text().replace("model.onnx", "../../data.npz"))
    assert farm.refused("verify", folder) == f"{sums} is damaged: it names ../../data.npz."
    sums.write_text("x\n")
    said = f"{sums} is damaged: its line 1 is not a digest and a name."
    assert farm.refused("verify", folder) == said


def test_a_delivery_of_an_earlier_version(farm: Command) -> None:
    (deliver(farm, baseline=None) / "SHA256SUMS").unlink()
    ended = farm("verify", "out/cpu")
    assert ended.code == 1
    assert "which recorded no digests" in ended.out.splitlines()[-1]
