"""``farm tune`` for a device that cannot run the whole model: real engines beside each other."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from onnx.helper import make_node, make_tensor_value_info

from farm.compile.annotate import labels_of
from tests import models
from tests.tools.command import Command


@pytest.fixture
def best(farm: Command) -> Command:
    """The command with ``best.onnx``: the generator makes no code of its last operator."""
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


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks", "emulator")
def test_outputs_whose_shape_the_data_decide(farm: Command) -> None:
    nodes = [
        make_node("Conv", ["x", "w"], ["a"], name="conv"),
        make_node("Relu", ["a"], ["b"], name="relu"),
        make_node("NonZero", ["b"], ["y"], name="where"),
    ]
    outputs = [make_tensor_value_info("y", TensorProto.INT64, [4, "found"])]
    inputs, stored = [models.value("x", [1, 3, 8, 8])], models.weights(w=(4, 3, 3, 3))
    onnx.save(models.build(nodes, inputs, outputs, stored), farm.folder / "where.onnx")
    ended = farm("tune", "where.onnx", "--devices", "dsp", "--local", "--budget", "2s", "--json")
    assert ended.code == 0, ended.err
    (dsp,) = json.loads(ended.out)["devices"]
    assert (dsp["status"], dsp["places"]) == ("tuned", ["dsp", "cpu"])
    assert dsp["accuracy"]["winner"] > 0.99
    assert not any("was proposed" in note for note in dsp["notes"])


@pytest.mark.slow
@pytest.mark.usefixtures("few_blocks", "emulator")
def test_what_a_device_cannot_run_runs_beside_it(best: Command) -> None:
    ended = best("tune", "best.onnx", "--devices", "dsp", "--local", "--budget", "2s", "--json")
    assert ended.code == 0, ended.err
    (dsp,) = json.loads(ended.out)["devices"]
    assert (dsp["device"], dsp["status"], dsp["places"]) == ("dsp", "tuned", ["dsp", "cpu"])
    assert dsp["verdict"].startswith("runs as a split only")
    assert dsp["baseline"]["label"].startswith("onnxruntime-cpu")
    assert dsp["baseline"]["latency"]["method"] == "measured"
    assert dsp["winner"]["latency"]["method"] == "modelled"
    assert "energy" not in dsp["baseline"], "the figures of the dsp say nothing of a processor"
    assert any("cannot run the whole model" in note for note in dsp["notes"])
    _runs_without_the_farm(best, dsp["output"])


def _runs_without_the_farm(best: Command, folder: str) -> None:
    done = subprocess.run(
        [sys.executable, "run.py"],
        cwd=best.folder / folder,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "v (1, 3) float32" in done.stdout
    parts = sorted((best.folder / folder).glob("part-*/model.onnx"))
    assert [set(labels_of(onnx.load(part)).values()) for part in parts] == [
        {"cpu_onnxruntime-cpu"}
    ]
