"""A copy of a model whose names survive in what engines make of them.

Names of a model may be anything, also a text in which an engine would read several. In the copy
every tensor is called by a tag that nothing else contains, and every node by the tag of its first
output. Inputs and outputs of the model keep their names, because the caller feeds by them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from onnx import GraphProto, ModelProto, NodeProto

from farm.model.walk import subgraphs

_TAG = re.compile(r"farm\d+tag")


def tagged(model: ModelProto) -> ModelProto:
    """A copy with tags; its nodes are in the order of the model's."""
    copy = ModelProto()
    copy.CopyFrom(model)
    ends = (*copy.graph.input, *copy.graph.output)
    _Tagger(frozenset(value.name for value in ends)).graph(copy.graph, {})
    return copy


def tags_in(text: str) -> tuple[str, ...]:
    """Every tag in what an engine says."""
    return tuple(_TAG.findall(text))


def with_tags_replaced(text: str, names: Mapping[str, str]) -> str:
    """What an engine says, with names in place of the tags that have one."""
    return _TAG.sub(lambda found: names.get(found[0]) or found[0], text)


class _Tagger:
    """Names the tensors of graphs. kept: those that are called as they were."""

    def __init__(self, kept: frozenset[str]) -> None:
        self._kept = kept
        self._count = 0

    def graph(self, graph: GraphProto, outer: Mapping[str, str]) -> None:
        """Name what is in a graph. outer: new names of what it reads from outside."""
        scope = dict(outer)
        del graph.value_info[:]  # engines infer them again
        for tensor in (*graph.initializer, *(each.values for each in graph.sparse_initializer)):
            tensor.name = self._called(scope, tensor.name)
        stored = {tensor.name for tensor in graph.initializer}
        for value in graph.input:
            renamed = scope.get(value.name, "")
            value.name = renamed if renamed in stored else self._called(scope, value.name)
        for node in graph.node:
            self._node(node, scope)
        for value in graph.output:
            value.name = scope.get(value.name, value.name)

    def _node(self, node: NodeProto, scope: dict[str, str]) -> None:
        for at, name in enumerate(node.input):
            node.input[at] = scope.get(name, name)
        for inner in subgraphs(node):
            self.graph(inner, scope)
        for at, name in enumerate(node.output):
            if name:
                node.output[at] = self._called(scope, name)
        # A node whose result keeps its name has a tag, too.
        node.name = next(iter(tags_in(" ".join(node.output))), "") or self._new()

    def _called(self, scope: dict[str, str], name: str) -> str:
        scope[name] = name if name in self._kept else self._new()
        return scope[name]

    def _new(self) -> str:
        self._count += 1
        return f"farm{self._count}tag"
