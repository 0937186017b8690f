"""Biases of general matrix products, as ONNX Runtime's quantiser reads them: one per column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import numpy_helper


def matrix_biases(model: onnx.ModelProto) -> dict[str, str]:
    """Products whose constant bias is no vector of their columns, by name, with the reason."""
    stored = _stored(model)
    found = {}
    for node in _products(model, stored):
        dims, columns = list(stored[node.input[2]].dims), _columns(node, stored)
        if not _is_vector(dims, columns):
            found[node.name] = f"its bias of shape {dims} is not one for each column"
    return found


def spread_biases(model: onnx.ModelProto) -> None:
    """Write biases of products as vectors of their columns, in place: [1] and [1, n] as [n]."""
    stored = _stored(model)
    for node in _products(model, stored):
        bias, columns = stored[node.input[2]], _columns(node, stored)
        if list(bias.dims) == [columns] or not _is_vector(list(bias.dims), columns):
            continue
        spread = np.broadcast_to(numpy_helper.to_array(bias).reshape(-1), (columns,))
        name = f"{bias.name}_of_{columns}"
        if name not in stored:
            stored[name] = numpy_helper.from_array(np.ascontiguousarray(spread), name)
            model.graph.initializer.append(stored[name])
        node.input[2] = name


def _products(model: onnx.ModelProto, stored: dict[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    """Gemm operators with constant weights and bias."""
    return [
        node
        for node in model.graph.node
        if node.op_type == "Gemm"
        and len(node.input) > 2
        and node.input[1] in stored
        and node.input[2] in stored
    ]


def _is_vector(dims: Sequence[int], columns: int) -> bool:
    """Whether a bias of this shape is one vector for all rows."""
    return all(size == 1 for size in dims[:-1]) and (not dims or dims[-1] in (1, columns))


def _columns(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> int:
    is_turned = any(a.name == "transB" and a.i for a in node.attribute)
    return int(stored[node.input[1]].dims[0 if is_turned else 1])


def _stored(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}
