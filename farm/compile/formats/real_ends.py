"""Gives a sub-model of a quantised model real numbers at its ends.

What crosses a border between two parts in integers comes without its QuantizeLinear, or goes
without its DequantizeLinear. The code generator reads pairs, and gives and takes the integers of
a pair at the ends of its program.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import onnx
from onnx import GraphProto, NodeProto, TensorProto
from onnx.helper import make_node

from farm.compile.passes import PassResult
from farm.model.walk import clone

_INTEGERS = frozenset({TensorProto.UINT8, TensorProto.INT8})
_PAIR = frozenset({"QuantizeLinear", "DequantizeLinear"})


@dataclass(frozen=True, slots=True)
class RealEnds:
    """Put a QuantizeLinear behind integer inputs, a DequantizeLinear behind integer outputs.

    Ends keep their names. Those that are in no pair stay as they are.
    """

    name: ClassVar[str] = "real-ends"
    requires: ClassVar[str] = "a sub-model of a QDQ model, in topological order"
    ensures: ClassVar[str] = "inputs and outputs that a pair quantises are float32"

    def __call__(self, model: onnx.ModelProto) -> PassResult:
        """Apply the pass."""
        changed = clone(model)
        graph = changed.graph
        before = [node for value in graph.input for node in _widened(value, graph, "Quantize")]
        behind = [node for value in graph.output for node in _widened(value, graph, "Dequantize")]
        nodes = [*before, *graph.node, *behind]
        del graph.node[:]
        graph.node.extend(nodes)
        return PassResult(changed, changed=bool(before or behind))


def _widened(value: onnx.ValueInfoProto, graph: GraphProto, step: str) -> list[NodeProto]:
    """Make one end float32, in place, if it has 8 bits; the operator that converts it."""
    scale = _scale(value.name, graph.node)
    if value.type.tensor_type.elem_type not in _INTEGERS or not scale:
        return []
    inner = f"{value.name}/integers"
    described = graph.value_info.add()
    described.CopyFrom(value)
    described.name = inner
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [inner if name == value.name else name for name in names]
    value.type.tensor_type.elem_type = TensorProto.FLOAT
    ends = [value.name, inner] if step == "Quantize" else [inner, value.name]
    return [make_node(f"{step}Linear", [ends[0], *scale], ends[1:], f"{value.name}/{step}")]


def _scale(tensor: str, nodes: Sequence[NodeProto]) -> list[str]:
    """Names of the scale and the zero point of a quantised tensor; none where no pair has it."""
    for node in nodes:
        touched = node.output if node.op_type == "QuantizeLinear" else node.input[:1]
        if node.op_type in _PAIR and tensor in touched:
            return list(node.input[1:])
    return []
