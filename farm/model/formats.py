"""Which number formats a model computes in as it was given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from onnx import ModelProto, TensorProto

from farm.candidate import FloatType, GivenFormat
from farm.model.graph import Graph
from farm.model.walk import all_graphs, all_nodes

_FORMATS: dict[int, GivenFormat] = {
    TensorProto.FLOAT: GivenFormat.FLOAT32,
    TensorProto.FLOAT16: GivenFormat.FLOAT16,
    TensorProto.BFLOAT16: GivenFormat.BFLOAT16,
    TensorProto.DOUBLE: GivenFormat.FLOAT64,
}
# They pass numbers on in another format, or as they are; that is no arithmetic.
_MOVING = frozenset({"Cast", "CastLike", "Constant", "ConstantOfShape", "Identity"})
_INTEGER = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
                      "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul"})  # fmt: skip


def given_format(model: ModelProto) -> GivenFormat:
    """What a model with inferred shapes computes in.

    One operator that computes in 16-bit floats makes it a model of these, because what is kept in
    float32 beside them is a means to that end. It is one of float64 if nothing computes in less.
    """
    found = Counter(_arithmetic(model))
    halves = [f for f, _ in found.most_common() if f.is_half]
    if halves:
        return halves[0]
    if any(node.op_type in _INTEGER for node in all_nodes(model)):
        return GivenFormat.QUANTISED
    return GivenFormat.FLOAT64 if set(found) == {GivenFormat.FLOAT64} else GivenFormat.FLOAT32


def came_quantised(graph: Graph) -> bool:
    """Whether a model has quantised tensors as it was given."""
    return any(op.op_type == "QuantizeLinear" for op in graph.operators)


def has_qdq(model: ModelProto) -> bool:
    """The same of a model that there is no view of."""
    return any(node.op_type == "QuantizeLinear" for node in model.graph.node)


def float_bytes(float_type: FloatType) -> int:
    """The size of one number."""
    return {FloatType.FLOAT64: 8, FloatType.FLOAT32: 4}.get(float_type, 2)


def _arithmetic(model: ModelProto) -> Iterator[GivenFormat]:
    """The formats of each operator's tensors."""
    types = element_types(model)
    for graph in all_graphs(model.graph):
        for node in graph.node:
            if node.op_type not in _MOVING:
                touched = {types.get(name, 0) for name in (*node.input, *node.output)}
                yield from (_FORMATS[each] for each in touched if each in _FORMATS)


def element_types(model: ModelProto) -> dict[str, int]:
    """Element types of the tensors whose types are known, those of nested graphs included."""
    types: dict[str, int] = {}
    for graph in all_graphs(model.graph):
        for value in (*graph.value_info, *graph.input, *graph.output):
            if value.type.HasField("tensor_type"):
                types[value.name] = value.type.tensor_type.elem_type
        types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
        types |= {
            sparse.values.name: sparse.values.data_type for sparse in graph.sparse_initializer
        }
    return types
