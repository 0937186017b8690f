"""Widens a model of 16-bit floats to float32, for processors without such arithmetic.

There an engine converts the inputs of each operator to float32 and its results back, which costs
more than it saves, and quantisation starts from float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto
from onnx.helper import make_node
from onnx.inliner import inline_local_functions
from onnx.numpy_helper import from_array, to_array

from farm.compile.names import Names, under_other_names
from farm.compile.passes import PassResult, reported_as
from farm.errors import CompileError
from farm.model.formats import element_types
from farm.model.walk import all_graphs, all_nodes, all_tensors

_HALF = frozenset({TensorProto.FLOAT16, TensorProto.BFLOAT16})
_WIDENED = _HALF | {TensorProto.FLOAT}
# Attributes whose integer is an element type, of whatever operator.
_TYPE_ATTRIBUTES = frozenset(
    {"to", "dtype", "output_dtype", "output_datatype", "precision", "softmax_precision",
     "stash_type"}
)  # fmt: skip
_BITWISE = "BitCast"


@dataclass(frozen=True, slots=True)
class Float32Inside:
    """Weights and operators in float32; the graph's inputs and outputs keep their types."""

    name: ClassVar[str] = "float32-inside"
    requires: ClassVar[str] = "a valid model whose weights are not graph inputs"
    ensures: ClassVar[str] = "16-bit floats are the graph's inputs and outputs only"

    def __call__(self, model: ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError: an operator looks at the bits of its input."""
        if not any(_halves(model)):
            return PassResult(model, changed=False)
        for node in all_nodes(model):
            if node.op_type == _BITWISE:
                raise CompileError(
                    f"Operator {node.name!r} ({node.op_type}) takes the bits of 16-bit floats for "
                    "another type, so that the model cannot compute in float32."
                )
        return PassResult(under_other_names(model, self._widened), changed=True)

    def _widened(self, model: ModelProto, _: Names) -> ModelProto:
        with reported_as(self.name):
            widened = inline_local_functions(model) if model.functions else model
            casts = _needless_casts(widened)
            _widen(widened)
            renamed = _keep_ends(widened.graph)
            _drop_casts(widened.graph, {renamed.get(name, name) for name in casts})
        return widened


def _halves(model: ModelProto) -> Iterator[bool]:
    """Whether a type is one of 16-bit floats, for each type that the model names."""
    yield from (tensor.data_type in _HALF for tensor in all_tensors(model))
    yield from (kind in _HALF for kind in element_types(model).values())
    for node in all_nodes(model):
        for attribute in node.attribute:
            yield attribute.name in _TYPE_ATTRIBUTES and attribute.i in _HALF


def _needless_casts(model: ModelProto) -> set[str]:
    """Results of the Casts between types that all become float32."""
    types = element_types(model)
    return {
        node.output[0]
        for graph in all_graphs(model.graph)
        for node in graph.node
        if node.op_type == "Cast"
        and types.get(node.input[0]) in _WIDENED
        and all(attribute.i in _WIDENED for attribute in node.attribute if attribute.name == "to")
    }


def _widen(model: ModelProto) -> None:
    """Make every 16-bit float a float32, but for inputs and outputs of the outermost graph."""
    for tensor in all_tensors(model):
        if tensor.data_type in _HALF:
            tensor.CopyFrom(from_array(to_array(tensor).astype(np.float32), tensor.name))
    outermost = model.graph
    for graph in all_graphs(outermost):
        ends = () if graph is outermost else (*graph.input, *graph.output)
        for value in (*graph.value_info, *ends):
            _widen_type(value.type)
    for node in all_nodes(model):
        for attribute in node.attribute:
            _widen_attribute(attribute)


def _widen_attribute(attribute: AttributeProto) -> None:
    if attribute.name in _TYPE_ATTRIBUTES and attribute.i in _HALF:
        attribute.i = TensorProto.FLOAT
    for kind in (attribute.tp, *attribute.type_protos):
        _widen_type(kind)


def _widen_type(kind: TypeProto) -> None:
    match kind.WhichOneof("value"):
        case "tensor_type" | "sparse_tensor_type" as name:
            tensor = getattr(kind, name)
            if tensor.elem_type in _HALF:
                tensor.elem_type = TensorProto.FLOAT
        case "sequence_type" | "optional_type" as name:
            _widen_type(getattr(kind, name).elem_type)


def _keep_ends(graph: GraphProto) -> Mapping[str, str]:
    """Put Casts behind inputs and before outputs of 16-bit floats; the new names by the old."""
    fed = {value.name for value in graph.input}
    inputs = {value.name: f"{value.name}/float32" for value in graph.input if _is_half(value)}
    made = [value for value in graph.output if _is_half(value) and value.name not in fed]
    outputs = {value.name: f"{value.name}/float32" for value in made}
    behind = [_cast(name, inner, TensorProto.FLOAT, inner) for name, inner in inputs.items()]
    before = [
        _cast(outputs[value.name], value.name, value.type.tensor_type.elem_type) for value in made
    ]
    _rename(graph, {**inputs, **outputs})
    nodes = [*behind, *graph.node, *before]
    del graph.node[:]
    graph.node.extend(nodes)
    return outputs


def _is_half(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type in _HALF


def _cast(source: str, target: str, kind: int, name: str = "") -> NodeProto:
    return make_node("Cast", [source], [target], name or f"{target}/narrow", to=kind)


def _drop_casts(graph: GraphProto, casts: set[str]) -> None:
    """Take these Casts' inputs for their results; what leaves a graph becomes an Identity."""
    sources: dict[str, str] = {}
    for inner in all_graphs(graph):
        leaving = {value.name for value in inner.output}
        kept = []
        for node in inner.node:
            if node.op_type != "Cast" or node.output[0] not in casts:
                kept.append(node)
            elif node.output[0] in leaving:
                node.op_type = "Identity"
                del node.attribute[:]
                kept.append(node)
            else:
                sources[node.output[0]] = sources.get(node.input[0], node.input[0])
        if len(kept) < len(inner.node):
            copies = [_copied(node) for node in kept]
            del inner.node[:]
            inner.node.extend(copies)
    _rename(graph, sources)


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    """Rename tensors in the graph and all that is nested in it, but not the outermost ends."""
    for inner in all_graphs(graph):
        for node in inner.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
        values = () if inner is graph else inner.output
        for named in (*inner.initializer, *values):
            named.name = names.get(named.name, named.name)
        known = [value for value in inner.value_info if value.name not in names]
        del inner.value_info[:]
        inner.value_info.extend(known)
        for sparse in inner.sparse_initializer:
            sparse.values.name = names.get(sparse.values.name, sparse.values.name)


def _copied(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy
