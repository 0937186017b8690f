"""Walking through everything an ONNX model contains: nested graphs, nodes, stored tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs inside one node: branches of an If, the body of a Loop or Scan."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def all_graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and every graph nested in it, outer before inner."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def all_nodes(model: ModelProto) -> Iterator[NodeProto]:
    """Every node of the model, those in nested graphs and in the model's functions included."""
    for graph in all_graphs(model.graph):
        yield from graph.node
    for function in model.functions:
        yield from with_nested(function.node)


def with_nested(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes, each before those of the graphs inside of it."""
    for node in nodes:
        yield node
        for outer in subgraphs(node):
            for graph in all_graphs(outer):
                yield from graph.node


def clone(model: ModelProto) -> ModelProto:
    """A deep copy, to be changed."""
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def name_nodes(proto: ModelProto) -> None:
    """Give nodes that have no name, or another node's, a name of their own, in place.

    The name is the operator and its position in the model, so it is the same in every run.
    """
    nodes = list(all_nodes(proto))
    taken = {node.name for node in nodes}
    seen = {""}
    for index, node in enumerate(nodes):
        if node.name in seen:
            name = f"{node.name or node.op_type}_{index}"
            while name in taken:
                name += "_"
            node.name = name
            taken.add(name)
        seen.add(node.name)


def all_tensors(model: ModelProto) -> Iterator[TensorProto]:
    """Every stored tensor: initializers, sparse initializers and tensors in attributes."""
    for graph in all_graphs(model.graph):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield sparse.values
            yield sparse.indices
    for node in all_nodes(model):
        for attribute in node.attribute:
            yield from _attribute_tensors(attribute)


def _attribute_tensors(attribute: AttributeProto) -> Iterator[TensorProto]:
    if attribute.type == AttributeProto.TENSOR:
        yield attribute.t
    if attribute.type == AttributeProto.SPARSE_TENSOR:
        yield attribute.sparse_tensor.values
    yield from attribute.tensors
