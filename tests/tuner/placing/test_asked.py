"""Engines say which operators they cannot run."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.candidate import Candidate
from farm.costs.calibration import CostPlace
from farm.model.graph import Graph, build_graph
from farm.model.model import Model, load_model
from tests.models import conv_net, save
from tests.tuner.calibrating.timed import TimedExecutor
from tuner.calibrating.places import MeasuredPlace
from tuner.placing.asked import engine_obstacles

PLACE = MeasuredPlace(CostPlace("cpu", "onnxruntime-cpu"), Candidate())


@pytest.fixture
def net(tmp_path: Path) -> tuple[Model, Graph]:
    save(conv_net(), tmp_path)
    model = load_model(tmp_path / "model.onnx")
    return model, build_graph(model)


def test_an_engine_that_runs_the_whole_model_is_asked_once(net) -> None:
    model, graph = net
    executor = TimedExecutor()
    assert engine_obstacles(executor, PLACE, model.proto, graph) == {}  # type: ignore[arg-type]
    assert executor.profiles == 1


def test_otherwise_each_kind_of_operator_is_tried_alone(net) -> None:
    model, graph = net
    executor = TimedExecutor(refused=frozenset({"Softmax"}))
    found = engine_obstacles(executor, PLACE, model.proto, graph)  # type: ignore[arg-type]
    (softmax,) = [op.name for op in graph.operators if op.op_type == "Softmax"]
    assert found == {
        (softmax, "cpu/onnxruntime-cpu"): (
            f"Softmax {softmax} cannot run on cpu with onnxruntime-cpu: it does not know Softmax."
        )
    }
    assert executor.profiles == 1 + 7, "two of the eight are of one kind"
