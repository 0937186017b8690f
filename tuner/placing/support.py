"""Asks who would run an operator whether he can: the code generator, and the registry's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from onnx import ModelProto, NodeProto
from onnx.helper import make_graph, make_model

from farm.costs.calibration import CostPlace
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError
from farm.model.graph import Graph, folded_nodes
from farm.model.walk import subgraphs
from farm.plan.placement.registry import Registry, operator_facts

Obstacles = Mapping[tuple[str, str], str]
"""Why an operator cannot run at a place, by the names of both; one sentence."""

NO_OBSTACLES: Obstacles = MappingProxyType({})

_GENERATED = frozenset({"cpackage", "cpackage-emulated"})


@dataclass(frozen=True, slots=True)
class DevicePlace:
    """A place with the profile of its device."""

    place: CostPlace
    profile: DeviceProfile


def obstacles(
    model: ModelProto, graph: Graph, places: Sequence[DevicePlace], registry: Registry
) -> Obstacles:
    """Why operators cannot run at places; those that can are not in it.

    model: with all shapes inferred. graph: the view of it.
    """
    facts = operator_facts(model, graph)
    running = [op.name for op in graph.operators if not op.folded]
    generated: Mapping[str, str] = {}
    if any(each.place.engine in _GENERATED for each in places):
        generated = package_obstacles(model, running)
    found: dict[tuple[str, str], str] = {}
    for each in places:
        place, profile = each.place, each.profile
        for name in running:
            why = registry.obstacle(profile.kind, place.engine, profile.name, facts[name])
            if not why and place.engine in _GENERATED and name in generated:
                what = f"{facts[name].op_type} {name}"
                why = f"{what} cannot run on {profile.name} with {place.engine}: {generated[name]}"
            if why:
                found[name, place.name] = why
    return found


def package_obstacles(model: ModelProto, names: Iterable[str]) -> dict[str, str]:
    """Why the code generator cannot make code of operators, by name; those it can are left out.

    It is asked itself, with a model of that operator alone.
    """
    nodes = {node.name: node for node in model.graph.node}
    cut = Alone(model)
    return {name: why for name in names if (why := _generator_refuses(cut.of(nodes[name])))}


class Alone:
    """Makes models of single operators of a model, all of whose shapes are inferred."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self._model = model
        self._stored = {tensor.name: tensor for tensor in graph.initializer}
        self._described = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
        self._folded = {
            name: graph.node[at] for at in folded_nodes(graph) for name in graph.node[at].output
        }

    def of(self, node: NodeProto) -> ModelProto:
        """A model of this operator: what it reads and is not stored is given, what it writes read.

        What it reads that follows from stored tensors alone comes with it.
        """
        with_it: dict[str, NodeProto] = {}
        self._collect(node, with_it)
        own = (*with_it.values(), node)
        reads = tuple(dict.fromkeys(name for each in own for name in _reads(each)))
        made = {name for each in own for name in each.output}
        given = [n for n in reads if n not in made and n not in self._stored]
        graph = make_graph(
            list(own),
            "alone",
            [self._described[name] for name in given if name in self._described],
            [self._described[name] for name in node.output if name in self._described],
            [self._stored[name] for name in reads if name in self._stored],
        )
        opsets, version = self._model.opset_import, self._model.ir_version
        return make_model(graph, opset_imports=opsets, ir_version=version)

    def _collect(self, node: NodeProto, found: dict[str, NodeProto]) -> None:
        """The folded operators that a node needs, in an order in which they can run."""
        for name in _reads(node):
            before = self._folded.get(name)
            if before is not None and before.name not in found and before is not node:
                self._collect(before, found)
                found[before.name] = before


def _reads(node: NodeProto) -> tuple[str, ...]:
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        names += [name for inner in graph.node for name in inner.input if name]
    return tuple(dict.fromkeys(names))


def _generator_refuses(model: ModelProto) -> str:
    """What the code generator has against a model; empty for nothing."""
    from farm.codegen.generate import placed  # noqa: PLC0415  (slow to import)

    try:
        placed(model)
    except CompileError as error:
        return str(error)
    return ""
