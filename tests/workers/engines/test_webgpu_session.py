"""Sessions of WebGPU with the data on the device: on SwiftShader, with the real ONNX Runtime."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto
from onnx.helper import make_node

from tests import models
from tests.webgpu import SOFTWARE, require_webgpu
from workers.environments.interpreters import Interpreters

IMAGES = ["rows", 3, 3]


def several() -> ModelProto:
    """Outputs of the GPU, of which the second is the smallest, and two of the CPU provider."""
    nodes = [
        make_node("Relu", ["x"], ["large"]),
        make_node("ReduceMax", ["large"], ["small"], axes=[1, 2], keepdims=0),
        make_node("Shape", ["x"], ["shape"]),
        make_node("Det", ["x"], ["determinants"]),
    ]
    outputs = [
        models.value("large", IMAGES),
        models.value("small", ["rows"]),
        models.value("shape", [3], onnx.TensorProto.INT64),
        models.value("determinants", ["rows"]),
    ]
    return models.build(nodes, [models.value("x", IMAGES)], outputs, {})


def processor() -> ModelProto:
    """What the GPU computes is read by the CPU provider alone."""
    nodes = [make_node("Neg", ["x"], ["n"]), make_node("Det", ["n"], ["determinants"])]
    outputs = [models.value("determinants", ["rows"])]
    return models.build(nodes, [models.value("x", IMAGES)], outputs, {})


def identity() -> ModelProto:
    return recordable(make_node("Identity", ["x"], ["y"]))


def computed() -> ModelProto:
    return recordable(make_node("Relu", ["x"], ["y"]))


def copied() -> ModelProto:
    """What is given out is copied there."""
    flat = make_node("Flatten", ["r"], ["y"])
    return recordable(make_node("Relu", ["x"], ["r"]), flat, shape=[2, 9])


def scattered() -> ModelProto:
    """The input is copied to where something else is written into it."""
    scatter = make_node("ScatterND", ["x", "rows", "values"], ["s"])
    stored = {"rows": np.array([[1]]), "values": np.ones((1, 3, 3), np.float32)}
    return recordable(scatter, make_node("Neg", ["s"], ["y"]), stored=stored)


def recordable(
    *nodes: NodeProto, shape: Sequence[int] = (2, 3, 3), stored: Mapping[str, Any] | None = None
) -> ModelProto:
    ends = [models.value("x", [2, 3, 3])], [models.value("y", list(shape))]
    return models.build(nodes, *ends, dict(stored or {}))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What ``webgpu_session.py`` saw."""
    folder = tmp_path_factory.mktemp("models")
    for make in (several, processor, identity, computed, copied, scattered):
        onnx.save(make(), folder / f"{make.__name__}.onnx")
    with pytest.MonkeyPatch.context() as patch:
        require_webgpu(patch)
        interpreters = Interpreters(SOFTWARE)
        try:
            command = [interpreters.of("onnxruntime-webgpu"), "-I"]
            command += [str(Path(__file__).with_name("webgpu_session.py")), str(folder)]
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
                env=os.environ | SOFTWARE.variables,
            )
        finally:
            interpreters.close()
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_outputs_are_those_of_the_inputs_that_were_given_last(told):
    """In both layouts, and of every size."""
    assert told["layouts"] == [{"ran": True, "timed": True}] * 2


def test_runs_end_when_the_smallest_output_of_the_gpu_has_come_back(told):
    """Once for all of them; those of the CPU provider are smaller, and say less."""
    assert told["on_device"]
    assert told["several"] == {"read": [[2]], "took": True}


def test_what_the_processor_computes_last_has_waited_for_the_gpu(told):
    assert told["processor"] == {"read": [], "took": True, "ran": True, "timed": True}


def test_a_second_session_is_made_to_verify_the_first_and_not_to_create_it(told):
    """In the layout nhwc, of which ONNX Runtime does not tell everything."""
    assert told["verifying"] == {
        "created": 1,
        "verified": 2,
        "assignment": {"WebGpuExecutionProvider": 3, "CPUExecutionProvider": 1},
    }


def test_a_part_of_a_pipeline_reads_its_arrays_in_every_run(told):
    assert told["part"]


def test_callers_share_the_session_one_at_a_time(told):
    assert told["callers"] == [True] * 3


def test_why_inputs_are_bound_anew(told):
    """A version that makes values in the GPU's memory could hold inputs at one address."""
    assert told["refusal"].startswith("Can't allocate memory on the device using this package")


def test_why_nothing_is_recorded(told):
    """A version that records copies, too, could be offered as a choice."""
    assert told["recorded"] == {"computed": True, "copied": False, "scattered": False}
