"""The arena of ``farm plan memory``, simulated: the bytes of all tensors at their places."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from benchmarks.packages.graphs.maker import float_session
from benchmarks.packages.graphs.operators.proposal import Array
from farm.model.graph import build_graph
from farm.model.model import Model
from farm.plan.memory.arena import plan_memory
from farm.plan.memory.of_model import model_problem

_SECONDS = 1.0


def overwritten(model: Model, feed: Mapping[str, Array]) -> str:
    """What is not what it was when it is read, in the arena of a model; "" where all is.

    Models with bfloat16 are planned only, because nobody can look into that type from outside.

    Raises PlanError: the model cannot be planned.
    """
    graph = build_graph(model)
    plan = plan_memory(model_problem(graph), seconds=_SECONDS)
    described = (*model.proto.graph.value_info, *model.proto.graph.output)
    if any(v.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 for v in described):
        return ""
    values = _values(model.proto, feed)
    if any(graph.tensors[name].bytes != values[name].nbytes for name in plan.offsets):
        return ""  # these samples give more or fewer rows than the model declares
    return replay(model.proto, plan.offsets, plan.height, feed)


def replay(
    model: onnx.ModelProto, offsets: Mapping[str, int], height: int, feed: Mapping[str, Array]
) -> str:
    """Run a model with its tensors at offsets of an arena; what goes wrong, "" if nothing."""
    values = _values(model, feed)
    arena = bytearray(height)
    for name, array in feed.items():
        _write(arena, offsets, name, array)
    for node in model.graph.node:
        for name in node.input:
            if not _holds(arena, offsets, name, values):
                return f"tensor {name!r} is overwritten before operator {node.name!r} reads it"
        for name in filter(None, node.output):
            _write(arena, offsets, name, values[name])
    for value in model.graph.output:
        if not _holds(arena, offsets, value.name, values):
            return f"output {value.name!r} is overwritten"
    return ""


def _values(model: onnx.ModelProto, feed: Mapping[str, Array]) -> dict[str, Array]:
    """All tensors, as ONNX Runtime computes them."""
    made = [name for node in model.graph.node for name in node.output if name]
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in made)
    results = float_session(watched).run(made, dict(feed))
    return dict(feed) | dict(zip(made, results, strict=True))


def _write(arena: bytearray, offsets: Mapping[str, int], name: str, array: Array) -> None:
    if name in offsets:
        content = array.tobytes()
        arena[offsets[name] : offsets[name] + len(content)] = content


def _holds(
    arena: bytearray, offsets: Mapping[str, int], name: str, values: Mapping[str, Array]
) -> bool:
    """Whether a tensor's place has its bytes; tensors without a place are weights."""
    if name not in offsets:
        return True
    content = values[name].tobytes()
    return arena[offsets[name] : offsets[name] + len(content)] == content
