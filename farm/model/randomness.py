"""Operators that make a model answer differently each time."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import numpy_helper

from farm.model.walk import all_nodes, all_tensors

RANDOM_OPERATORS = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)


def random_operators(model: onnx.ModelProto) -> tuple[str, ...]:
    """Types of the random operators of a model, nested graphs and functions included, sorted.

    Dropout is one where its training mode is a constant, and true.
    """
    stored = {tensor.name: tensor for tensor in all_tensors(model)}
    found = {node.op_type for node in all_nodes(model) if _is_random(node, stored)}
    return tuple(sorted(found))


def _is_random(node: onnx.NodeProto, stored: Mapping[str, onnx.TensorProto]) -> bool:
    if node.op_type == "Dropout" and len(node.input) > 2:
        mode = stored.get(node.input[2])
        return mode is not None and bool(numpy_helper.to_array(mode).any())
    return node.op_type in RANDOM_OPERATORS
