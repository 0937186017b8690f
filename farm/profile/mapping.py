"""From kernels to operators of the user's model: through the artifact that the engine ran."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from onnx import ModelProto

from farm.profile.anchors import anchors_by_name
from farm.profile.correspond import Names, correspondence, lent
from farm.profile.kernels import Kernel
from farm.profile.tags import tags_in, with_tags_replaced
from farm.profile.view import Node, View, view_of

# Of OpenVINO's runtime model: what is there before anything runs.
_CONSTANT = frozenset({"Const", "Constant"})


@dataclass(frozen=True, slots=True)
class Origin:
    """What an engine was given: a tagged copy of an artifact's graph of the user's model.

    names: what the artifact calls each node of the copy. operators: for each node of the copy,
    the operators of the model.
    """

    copy: View
    model: View
    names: tuple[str, ...]
    operators: tuple[Names, ...]

    @classmethod
    def of(cls, artifact: ModelProto, copy: ModelProto, model: ModelProto) -> Origin:
        """Passes keep the names of tensors, and of operators that stay."""
        made, given = view_of(artifact), view_of(model)
        found = correspondence(made, given, anchors_by_name(made, given))
        return cls(view_of(copy), given, tuple(node.name for node in made.nodes), found)

    def readable(self, name: str) -> str:
        """An engine's name with the names of the artifact in place of tags."""
        found = {node.name: own for node, own in zip(self.copy.nodes, self.names, strict=True)}
        return with_tags_replaced(name, found)


def of_optimised_graph(
    kernels: Sequence[Kernel], optimised: ModelProto, origin: Origin
) -> tuple[Names, ...]:
    """For each kernel of ONNX Runtime the operators of the user's model, in its order.

    optimised: the graph of which every node is a kernel. A kernel that is none of them has none.
    """
    graph = view_of(optimised)
    nodes = correspondence(graph, origin.copy, anchors_by_name(graph, origin.copy))
    found = operators_of(graph, nodes, origin)
    by_name = dict(zip((node.name for node in graph.nodes), found, strict=True))
    return tuple(by_name.get(kernel.name, ()) for kernel in kernels)


def of_told_names(kernels: Sequence[Kernel], origin: Origin) -> tuple[Names, ...]:
    """For each kernel of OpenVINO, constants included, the operators of the user's model."""
    told = [_in_order(origin.copy, _told(kernel, origin.copy)) for kernel in kernels]
    read = tuple(Node(k.name, k.kind, k.reads, (k.name,)) for k in kernels)
    graph = View(read, frozenset(), frozenset(k.name for k in kernels if k.kind in _CONSTANT))
    anchors = {k.name: k.name for k in kernels if k.name in origin.copy.tensors}
    for kernel, names in zip(kernels, told, strict=True):
        if last := _last(origin.copy, names):
            anchors[kernel.name] = last.outputs[0]
    nodes = correspondence(graph, origin.copy, anchors, told)
    return operators_of(graph, nodes, origin)


def operators_of(graph: View, nodes: Iterable[Names], origin: Origin) -> tuple[Names, ...]:
    """For each node of an engine's graph the operators of the user's model, in its order.

    nodes: those of the copy that each stands for.
    """
    names = (node.name for node in origin.copy.nodes)
    of_node = dict(zip(names, origin.operators, strict=True))
    own = [tuple(dict.fromkeys(op for name in each for op in of_node[name])) for each in nodes]
    return tuple(_in_order(origin.model, each) for each in lent(graph, own))


def _told(kernel: Kernel, copy: View) -> Iterator[str]:
    """Nodes that a kernel is told to be of. Weights are told to be of whoever reads them."""
    for text in () if kernel.kind in _CONSTANT else kernel.told:
        yield from tags_in(text)
        if text in copy.producers:  # what computes an output is called like that
            yield copy.nodes[copy.producers[text]].name


def _in_order(graph: View, names: Iterable[str]) -> Names:
    wanted = set(names)
    return tuple(node.name for node in graph.nodes if node.name in wanted)


def _last(graph: View, names: Names) -> Node | None:
    """The last of some nodes whose result no other of them reads; None of none."""
    nodes = [node for node in graph.nodes if node.name in names]
    read = {name for node in nodes for name in node.inputs}
    ends = [node for node in nodes if not read.intersection(node.outputs)]
    return ends[-1] if ends else None
