"""The memory problem of a model: activations only, views inside, element-wise in place.

That nothing is overwritten too early is tested by running models in the bytes that were planned.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import NodeProto, TensorProto
from onnx.helper import make_function, make_node, make_opsetid

from farm.errors import PlanError
from farm.model.graph import build_graph
from farm.model.model import load_model
from farm.plan.memory.arena import plan_memory, violations
from farm.plan.memory.of_model import model_problem
from farm.plan.memory.portions import plan_portions
from farm.plan.memory.problem import Alias
from farm.plan.schedule.order import from_graph, plan_schedule
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


def test_what_reads_an_output_last_does_not_overwrite_it(view):
    nodes = [make_node("Relu", ["x"], ["r"]), make_node("Neg", ["r"], ["y"])]
    outputs = [models.value("r", [1, 8]), models.value("y", [1, 8])]
    problem = model_problem(view(build(nodes, outputs)))
    assert problem.aliases == (Alias("r", "x"),)
    assert plan_memory(problem).height == plan_portions(problem).height == 2 * 32


def test_an_input_that_is_an_output_is_not_overwritten(view):
    outputs = [models.value("x", [1, 8]), models.value("y", [1, 8])]
    problem = model_problem(view(build([make_node("Relu", ["x"], ["y"])], outputs)))
    assert problem.aliases == ()
    assert plan_memory(problem).height == plan_portions(problem).height == 2 * 32


def test_an_operator_of_another_domain_is_not_what_its_name_says(view):
    nodes = [make_node("Exp", ["x"], ["e"]), make_node("Relu", ["e"], ["y"], domain="my")]
    proto = build(nodes, [models.value("y", [8, 1])])
    turned = [make_node("Transpose", ["a"], ["b"])]
    proto.functions.append(
        make_function("my", "Relu", ["a"], ["b"], turned, [make_opsetid("", 17)])
    )
    proto.opset_import.append(make_opsetid("my", 1))
    assert model_problem(view(proto)).aliases == ()


def test_an_input_of_another_type_is_not_overwritten(view):
    """One value of the scale belongs to two of the output, so it is needed until the second."""
    nodes = [make_node("BatchNormalization", ["x", "scale", "b", "b", "b"], ["y"])]
    inputs = [models.value("x", [2, 1], TensorProto.FLOAT16), models.value("scale", [1])]
    outputs = [models.value("x", [2, 1], TensorProto.FLOAT16)]
    outputs.append(models.value("y", [2, 1], TensorProto.FLOAT16))
    proto = models.build(nodes, inputs, outputs, {"b": np.ones(1, np.float32)})
    assert model_problem(view(proto)).aliases == ()


def test_text_has_no_size_that_could_be_planned(view):
    nodes = [
        make_node("Cast", ["x"], ["t"], to=TensorProto.STRING),
        make_node("Cast", ["t"], ["y"], to=TensorProto.FLOAT),
    ]
    with pytest.raises(PlanError, match=r"^Tensor 't' is text, whose size is not known before"):
        model_problem(view(build(nodes, [models.value("y", [1, 8])])))


_RUN = {
    "Relu": lambda x: np.maximum(x, 0),
    "Neg": lambda x: -x,
    "Transpose": lambda x: x.T,
    "Add": np.add,
    "Concat": lambda *parts: np.concatenate(parts, axis=1),
}


@st.composite
def small_models(draw: st.DrawFn) -> tuple[list[NodeProto], dict[str, tuple[int, int]], list[str]]:
    """Operators on the input x, the shapes of all tensors, and outputs: any tensors at all."""
    shapes = {"x": (2, 3)}
    nodes = []
    for step in range(draw(st.integers(1, 7))):
        source = draw(st.sampled_from(list(shapes)))
        rows, columns = shapes[source]
        alike = [name for name, shape in shapes.items() if shape[0] == rows]
        same = [name for name in alike if shapes[name] == shapes[source]]
        kind = draw(st.sampled_from(["Relu", "Neg", "Transpose", "Add", "Concat", "Reshape"]))
        others = {"Add": same, "Concat": alike}.get(kind, [])
        names = [source, draw(st.sampled_from(others))] if others else [source]
        result = (rows, columns + shapes[names[-1]][1]) if kind == "Concat" else (rows, columns)
        result = (columns, rows) if kind in {"Transpose", "Reshape"} else result
        options = {"axis": 1} if kind == "Concat" else {}
        stored = [f"shape{step}"] if kind == "Reshape" else []
        nodes.append(make_node(kind, [*names, *stored], [f"t{step}"], **options))
        shapes[f"t{step}"] = result
    outputs = draw(st.lists(st.sampled_from(list(shapes)), min_size=1, unique=True))
    return nodes, shapes, outputs


def _computed(node: NodeProto, inputs: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    if node.op_type == "Reshape":
        return inputs[0].reshape(shape)
    return _RUN[node.op_type](*inputs)


@given(small_models())
@settings(deadline=None, max_examples=150)
def test_all_outputs_are_right_at_the_end_of_a_run_in_the_planned_bytes(tmp_path_factory, model):
    nodes, shapes, outputs = model
    weights = {
        node.input[1]: np.array(shapes[node.output[0]])
        for node in nodes
        if node.op_type == "Reshape"
    }
    proto = models.build(
        nodes,
        [models.value("x", shapes["x"])],
        [models.value(name, shapes[name]) for name in outputs],
        weights,
    )
    graph = build_graph(load_model(models.save(proto, tmp_path_factory.mktemp("model"))))
    problem = model_problem(graph)
    x = np.arange(6, dtype=np.float32).reshape(2, 3) - 2
    values = {"x": x}
    for node in nodes:
        inputs = [values[name] for name in node.input if name in shapes]
        values[node.output[0]] = _computed(node, inputs, shapes[node.output[0]])
    for solution in (plan_memory(problem), plan_portions(problem)):
        arena = np.full(solution.height // 4, np.nan, np.float32)
        if "x" in solution.offsets:
            _part(arena, solution.offsets["x"], shapes["x"])[:] = x
        for node in nodes:
            names = [name for name in node.input if name in shapes]
            inputs = [_part(arena, solution.offsets[name], shapes[name]) for name in names]
            name = node.output[0]
            result = np.array(_computed(node, inputs, shapes[name]))
            _part(arena, solution.offsets[name], shapes[name])[:] = result
        for name in outputs:
            found = _part(arena, solution.offsets[name], shapes[name])
            assert np.array_equal(found, values[name]), name
    kept = sum(4 * math.prod(shapes[name]) for name in outputs)
    assert plan_schedule(from_graph(graph)).peak >= kept


def _part(arena: np.ndarray, offset: int, shape: tuple[int, int]) -> np.ndarray:
    return arena[offset // 4 :][: math.prod(shape)].reshape(shape)
