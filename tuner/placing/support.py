"""Asks who would run an operator whether he can: the code generator, and the registry's tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onnx import ModelProto, NodeProto
from onnx.helper import make_graph, make_model

from farm.codegen.generate import placed
from farm.costs.calibration import CostPlace
from farm.devices.profile import DeviceProfile
from farm.errors import CompileError
from farm.model.graph import Graph
from farm.model.walk import subgraphs
from farm.plan.placement.registry import Registry, operator_facts

Obstacles = Mapping[tuple[str, str], str]
"""Why an operator cannot run at a place, by the names of both; one sentence."""

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
    return {name: why for name in names if (why := _generator_refuses(alone(model, nodes[name])))}


def alone(model: ModelProto, node: NodeProto) -> ModelProto:
    """A model of one operator: what it reads and is not stored is given, what it writes is read.

    Constants that it reads come with it.
    """
    graph = model.graph
    stored = {tensor.name: tensor for tensor in graph.initializer}
    constants = {n.output[0]: n for n in graph.node if n.op_type == "Constant"}
    described = {v.name: v for v in (*graph.value_info, *graph.input, *graph.output)}
    reads = _reads(node)
    given = [n for n in reads if n not in stored and n not in constants and n in described]
    written = [name for name in node.output if name in described]
    made = make_graph(
        [*(constants[name] for name in reads if name in constants), node],
        "alone",
        [described[name] for name in given],
        [described[name] for name in written],
        [stored[name] for name in reads if name in stored],
    )
    return make_model(made, opset_imports=model.opset_import, ir_version=model.ir_version)


def _reads(node: NodeProto) -> tuple[str, ...]:
    names = [name for name in node.input if name]
    for graph in subgraphs(node):
        names += [name for inner in graph.node for name in inner.input if name]
    return tuple(dict.fromkeys(names))


def _generator_refuses(model: ModelProto) -> str:
    """What the code generator has against a model; empty for nothing."""
    try:
        placed(model)
    except CompileError as error:
        return str(error)
    return ""
