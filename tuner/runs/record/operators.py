"""What the store keeps of a model and its operators, so that these can be read without it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnx import ModelProto

from db import records
from farm.costs.operators import CostedOperator, costed_operators, signatures
from farm.costs.records import operators_of, plain_operators
from farm.model.graph import Graph, Operator, TensorKind
from farm.model.model import Model
from farm.model.walk import all_nodes

_FLAT = frozenset({"Gemm", "MatMul"})  # quantised where their weights have two dimensions
Json = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class ModelOperator:
    """An operator of a model.

    has_weights: it multiplies by stored weights, so that quantisation applies to it.
    signature: see ``farm.costs.operators``; "" within nested graphs, and of an older farm's.
    after: names of the operators whose results it reads; likewise.
    """

    op_type: str
    has_weights: bool
    signature: str = ""
    after: tuple[str, ...] = ()


def operators_record(model: ModelProto, graph: Graph) -> Json:
    """Every operator by its name, those in nested graphs included, in the model's order."""
    weighted = {op.name for op in graph.operators if _has_weights(op, graph)}
    signed = signatures(model, graph)
    producers = {name: op.name for op in graph.operators for name in op.outputs}
    after = {
        op.name: list(dict.fromkeys(producers[n] for n in op.inputs if n in producers))
        for op in graph.operators
    }
    return {
        node.name: [
            node.op_type,
            node.name in weighted,
            signed.get(node.name, ""),
            after.get(node.name, []),
        ]
        for node in all_nodes(model)
    }


def model_details(model: ModelProto, graph: Graph, shapes: Mapping[str, list[int]]) -> str:
    """The text that the store keeps of a model. shapes: of its inputs, by name."""
    return json.dumps(
        {
            "shapes": shapes,
            "operators": operators_record(model, graph),
            "costed": plain_operators(costed_operators(model, graph)),
        }
    )


def model_record(model: Model, graph: Graph) -> records.Model:
    """A model as the store has it. graph: the view of it."""
    shapes = {spec.name: list(spec.shape) for spec in model.inputs}
    return records.Model(
        model.sha256,
        model.name,
        model.opset,
        len(graph.operators),
        graph.weight_bytes // 4,
        graph.macs,
        model_details(model.proto, graph, shapes),
    )


def costed_in(details: str) -> tuple[CostedOperator, ...]:
    """The operators that run, in the model's order; none where an older farm stored it."""
    return operators_of(json.loads(details).get("costed") or ())


def operators_in(details: str) -> Mapping[str, ModelOperator]:
    """The operators in what the store keeps of a model; none where an older farm stored it."""
    kept: Json = json.loads(details).get("operators") or {}
    return {name: ModelOperator(*_filled(values)) for name, values in kept.items()}


def _filled(values: list[Any]) -> tuple[Any, ...]:
    """What is kept of an operator; an older farm kept its type and whether it has weights."""
    op_type, has_weights, *more = values
    signature, after = more or ("", ())
    return op_type, has_weights, signature, tuple(after)


def _has_weights(operator: Operator, graph: Graph) -> bool:
    second = graph.tensors.get(operator.inputs[1]) if len(operator.inputs) > 1 else None
    if second is None or second.kind is not TensorKind.WEIGHT:
        return False
    return operator.op_type not in _FLAT or len(second.shape or ()) == 2
