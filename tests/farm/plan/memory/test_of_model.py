"""The memory problem of a model: activations only, views inside, element-wise in place."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.helper import make_node

from farm.errors import PlanError
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.memory.arena import plan_memory, violations
from farm.plan.memory.of_model import model_problem
from farm.plan.memory.problem import Alias
from farm.units import Bytes
from tests import models


@pytest.fixture
def view(tmp_path):
    return lambda proto, **shapes: build_graph(load_model(models.save(proto, tmp_path), shapes))


def build(nodes, outputs, weights=None):
    return models.build(nodes, [models.value("x", [1, 8])], outputs, weights or {})


def test_the_arena_of_a_convolutional_network(view):
    graph = view(models.conv_net())
    problem = model_problem(graph, alignment=Bytes(16))
    solution = plan_memory(problem)
    assert violations(problem, solution) == []
    assert solution.height <= max(graph.live_bytes()) + 16 * len(problem.buffers)
    assert {buffer.id for buffer in problem.buffers}.isdisjoint(
        name for name, tensor in graph.tensors.items() if tensor.kind == "weight"
    )


def test_views_and_outputs_that_overwrite(view):
    nodes = [
        make_node("Relu", ["x"], ["a"]),
        make_node("Reshape", ["a", "shape"], ["b"]),
        make_node("Relu", ["b"], ["c"]),
        make_node("Add", ["a", "a"], ["d"]),
        make_node("Flatten", ["d"], ["y"]),
    ]
    outputs = [models.value("c", [8, 1]), models.value("y", [1, 8])]
    problem = model_problem(view(build(nodes, outputs, {"shape": np.array([8, 1])})))
    assert problem.aliases == (Alias("a", "x"), Alias("b", "a"), Alias("y", "d"))
    assert plan_memory(problem).height == 32 * 3


def test_an_input_that_is_still_needed_is_not_overwritten(view):
    nodes = [make_node("Relu", ["x"], ["a"]), make_node("Mul", ["a", "x"], ["y"])]
    problem = model_problem(view(build(nodes, [models.value("y", [1, 8])])))
    assert problem.aliases == (Alias("y", "a"),)


def test_an_empty_cache_needs_no_place(view):
    problem = model_problem(view(models.cache_net(), past_len=0))
    sizes = {buffer.id: buffer.size for buffer in problem.buffers}
    assert (sizes["past"], sizes["present"]) == (0, 64)
    assert violations(problem, plan_memory(problem)) == []


def test_a_size_that_is_known_only_after_running_is_named(view):
    nodes = [make_node("NonZero", ["x"], ["n"]), make_node("Cast", ["n"], ["y"], to=1)]
    graph = view(build(nodes, [models.value("y", [2, "found"])]))
    with pytest.raises(PlanError, match=r"The size of tensor '[ny]' is not known before"):
        model_problem(graph)
