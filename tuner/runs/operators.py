"""What the store keeps of a model's operators, so that a profile can be read without the model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto

from farm.costs.operators import signatures
from farm.model.graph import Graph, Operator, TensorKind
from farm.model.walk import all_nodes

_FLAT = frozenset({"Gemm", "MatMul"})  # quantised where their weights have two dimensions
Json = dict[str, list[str | bool]]


@dataclass(frozen=True, slots=True)
class ModelOperator:
    """An operator of a model.

    has_weights: it multiplies by stored weights, so that quantisation applies to it.
    signature: see ``farm.costs.operators``; "" within nested graphs, and of an older farm's.
    """

    op_type: str
    has_weights: bool
    signature: str = ""


def operators_record(model: ModelProto, graph: Graph) -> Json:
    """Every operator by its name, those in nested graphs included, in the model's order."""
    weighted = {op.name for op in graph.operators if _has_weights(op, graph)}
    signed = signatures(model, graph)
    return {
        node.name: [node.op_type, node.name in weighted, signed.get(node.name, "")]
        for node in all_nodes(model)
    }


def operators_in(details: str) -> Mapping[str, ModelOperator]:
    """The operators in what the store keeps of a model; none where an older farm stored it."""
    kept: Json = json.loads(details).get("operators") or {}
    return {
        name: ModelOperator(str(kind), bool(has), str(*signed))
        for name, (kind, has, *signed) in kept.items()
    }


def _has_weights(operator: Operator, graph: Graph) -> bool:
    second = graph.tensors.get(operator.inputs[1]) if len(operator.inputs) > 1 else None
    if second is None or second.kind is not TensorKind.WEIGHT:
        return False
    return operator.op_type not in _FLAT or len(second.shape or ()) == 2
