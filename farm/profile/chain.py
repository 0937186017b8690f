"""The model that a profiler is calibrated with: many small operators, none of which is fused."""

from __future__ import annotations

from onnx import ModelProto, TensorProto
from onnx.helper import make_graph, make_model, make_node, make_opsetid, make_tensor_value_info

from farm.profile.kernels import CHAIN_INPUT, CHAIN_VALUES

_OPERATORS = 64
_OPSET, _IR_VERSION = 13, 8


def chain() -> ModelProto:
    """Operators one after another, on as many values as keep a kernel busy for a moment."""
    names = [CHAIN_INPUT, *(f"x{number}" for number in range(1, _OPERATORS + 1))]
    nodes = [
        make_node(("Neg", "Abs")[at % 2], [names[at]], [names[at + 1]], name=names[at + 1])
        for at in range(_OPERATORS)
    ]
    first, last = (
        make_tensor_value_info(name, TensorProto.FLOAT, [CHAIN_VALUES])
        for name in (names[0], names[-1])
    )
    graph = make_graph(nodes, "chain", [first], [last])
    return make_model(graph, opset_imports=[make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
