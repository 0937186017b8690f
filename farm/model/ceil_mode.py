"""Shapes of pools that round the number of their windows up.

A window that begins beyond the input and its first padding sees nothing and does not count. ONNX's
shape inference counts it all the same in older operator sets.
"""

from __future__ import annotations

from typing import Any

import onnx
from onnx import helper

_POOLS = frozenset({"AveragePool", "MaxPool"})


def without_empty_windows(inferred: onnx.ModelProto) -> onnx.ModelProto:
    """A model with inferred shapes in which no pool has windows that see nothing.

    Its operators are the same; the very same model where nothing is to be done.
    """
    graph = inferred.graph
    if not any(_rounds_up(node) for node in graph.node):
        return inferred
    # Shapes come from a twin whose pools round down and have as much padding as they need.
    twin = onnx.ModelProto()
    twin.CopyFrom(inferred)
    changed = False
    for index, node in enumerate(graph.node):
        pads = _trimmed(node, _shapes(twin)) if _rounds_up(node) else None
        if pads is None:
            continue
        changed = True
        other = twin.graph.node[index]
        kept = [a for a in other.attribute if a.name not in ("ceil_mode", "pads", "auto_pad")]
        del other.attribute[:]
        other.attribute.extend([*kept, helper.make_attribute("pads", pads)])
        del twin.graph.value_info[:]
        for value in twin.graph.output:
            value.type.tensor_type.ClearField("shape")
        twin = onnx.shape_inference.infer_shapes(twin, data_prop=True)
    if not changed:
        return inferred
    found = {value.name for value in twin.graph.value_info}
    twin.graph.value_info.extend(v for v in graph.value_info if v.name not in found)
    for value, declared in zip(twin.graph.output, graph.output, strict=True):
        if not value.type.tensor_type.HasField("shape"):
            value.CopyFrom(declared)
    del twin.graph.node[:]
    twin.graph.node.extend(graph.node)
    return twin


def _rounds_up(node: onnx.NodeProto) -> bool:
    return node.op_type in _POOLS and bool(_attribute(node, "ceil_mode", 0))


def _trimmed(node: onnx.NodeProto, shapes: dict[str, list[int]]) -> list[int] | None:
    """Padding with which a pool that rounds down has all windows but the empty ones.

    None if there are no empty ones, or the shape of its input is not known.
    """
    x = shapes.get(node.input[0])
    if x is None or _attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b""):
        return None
    kernel = _attribute(node, "kernel_shape", [])
    rank = len(kernel)
    strides, dilations = (_attribute(node, name, [1] * rank) for name in ("strides", "dilations"))
    pads = list(_attribute(node, "pads", [0] * (2 * rank)))
    found = False
    for i, size in enumerate(x[2:]):
        span = (kernel[i] - 1) * dilations[i] + 1
        count = -(-(size + pads[i] + pads[rank + i] - span) // strides[i]) + 1
        windows = min(count, -(-(size + pads[i]) // strides[i]))
        found = found or windows < count
        pads[rank + i] = max((windows - 1) * strides[i] + span - size - pads[i], 0)
    return pads if found else None


def _shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Shapes of all tensors that have fixed ones."""
    graph = model.graph
    shapes = {}
    for value in (*graph.output, *graph.input, *graph.value_info):
        sizes = value.type.tensor_type.shape.dim
        if all(size.HasField("dim_value") for size in sizes):
            shapes[value.name] = [size.dim_value for size in sizes]
    return shapes


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:  # noqa: ANN401
    found = [each for each in node.attribute if each.name == name]
    return helper.get_attribute_value(found[0]) if found else default
