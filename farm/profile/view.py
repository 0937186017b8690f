"""A graph as the mapping sees it: nodes, and the names of the tensors between them.

Nested graphs are laid out flat, because engines inline them: the node that has them reads their
results. Tensors of two nested graphs that share a name are told apart.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from onnx import GraphProto, ModelProto, NodeProto

from farm.model.randomness import RANDOM_OPERATORS
from farm.model.walk import subgraphs

# Engines know their results before they run, because shapes are fixed.
_OF_SHAPES = frozenset({"Shape", "Size"})


Path = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its name, the operator, and the names of what it reads and writes.

    path: the nodes in which it is, from the outermost one, and in which of their graphs.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    path: Path = ()


@dataclass(frozen=True)
class View:
    """Nodes of a graph and of all graphs in it.

    inputs: tensors that nobody in it computes. constant: tensors that are known before it runs.
    """

    nodes: tuple[Node, ...]
    inputs: frozenset[str]
    constant: frozenset[str] = frozenset()

    @cached_property
    def producers(self) -> Mapping[str, int]:
        """The position of the node that writes a tensor."""
        return {name: at for at, node in enumerate(self.nodes) for name in node.outputs}

    @cached_property
    def readers(self) -> Mapping[str, tuple[int, ...]]:
        """The positions of the nodes that read a tensor."""
        found: dict[str, list[int]] = defaultdict(list)
        for at, node in enumerate(self.nodes):
            for name in dict.fromkeys(node.inputs):
                found[name].append(at)
        return {name: tuple(places) for name, places in found.items()}

    @cached_property
    def tensors(self) -> frozenset[str]:
        """All that is read or written."""
        return self.inputs.union(*(node.inputs + node.outputs for node in self.nodes))


def view_of(model: ModelProto) -> View:
    """The view of a model."""
    builder = _Builder()
    builder.add(model.graph, {}, ())
    written = {name for node in builder.nodes for name in node.outputs}
    read = {name for node in builder.nodes for name in node.inputs}
    return View(
        tuple(builder.nodes),
        frozenset(read | set(builder.given)) - written - builder.constant,
        frozenset(builder.constant),
    )


class _Builder:
    """Collects the nodes of graphs. A scope says what a name in a graph is called in the view."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constant: set[str] = set()
        self.given: list[str] = []
        self._taken: set[str] = set()

    def add(self, graph: GraphProto, outer: Mapping[str, str], path: Path) -> tuple[str, ...]:
        """Add a graph's nodes; what its outputs are called in the view."""
        scope = dict(outer)
        stored = [t.name for t in graph.initializer]
        stored += [t.values.name for t in graph.sparse_initializer]
        given = [value.name for value in graph.input]
        self._define(scope, (*given, *stored))
        self.constant.update(scope[name] for name in stored)
        self.given += [scope[name] for name in given if name not in stored]
        for node in graph.node:
            self._define(scope, node.output)
            self._add_node(node, scope, path)
        return tuple(scope.get(value.name, value.name) for value in graph.output)

    def _add_node(self, node: NodeProto, scope: Mapping[str, str], path: Path) -> None:
        nested: list[str] = []
        for at, graph in enumerate(subgraphs(node)):
            nested += self.add(graph, scope, (*path, (node.name, at)))
        inputs = tuple(scope.get(name, name) for name in node.input if name)
        outputs = tuple(scope[name] for name in node.output if name)
        if self._is_constant(node, (*inputs, *nested)):
            self.constant.update(outputs)
        self.nodes.append(Node(node.name, node.op_type, (*inputs, *nested), outputs, path))

    def _is_constant(self, node: NodeProto, reads: Iterable[str]) -> bool:
        if node.op_type in RANDOM_OPERATORS:
            return False
        return node.op_type in _OF_SHAPES or self.constant.issuperset(reads)

    def _define(self, scope: dict[str, str], names: Iterable[str]) -> None:
        for name in filter(None, names):
            called, number = name, 1
            while called in self._taken:
                number += 1
                called = f"{name}@{number}"
            self._taken.add(called)
            scope[name] = called
