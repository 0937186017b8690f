"""Shapes of all tensors of a model, inferred; what the model declares must agree with them."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import ModelProto, NodeProto, TypeProto
from onnx.helper import (
    get_attribute_value,
    make_tensor_type_proto,
    tensor_dtype_to_np_dtype,
)

from farm.errors import ModelError
from farm.model.ceil_mode import without_empty_windows
from farm.model.walk import all_graphs

_ONNX_DOMAINS = frozenset({"", "ai.onnx"})
# Operators that move a kernel over their input; where it finds no place, engines fail or give
# nothing. The value is the position of the input that holds the kernel, None for an attribute.
_WINDOWED = {
    "AveragePool": None,
    "Conv": 1,
    "ConvInteger": 1,
    "LpPool": None,
    "MaxPool": None,
    "QLinearConv": 3,
}
_Types = dict[str, TypeProto.Tensor]


def forget_negative_dimensions(proto: ModelProto) -> None:
    """Make dimensions below 0, which some exporters write for unknown ones, unknown, in place.

    ONNX Runtime reads them in the same way.
    """
    for graph in all_graphs(proto.graph):
        for value in (*graph.input, *graph.output, *graph.value_info):
            for dim in value.type.tensor_type.shape.dim:
                if dim.dim_value < 0:
                    dim.ClearField("dim_value")


def infer_shapes(proto: ModelProto, model: str) -> ModelProto:
    """A copy with all shapes that can be inferred or are declared. model: for messages.

    Raises ModelError: a tensor is declared with another shape or type than its operator gives it,
    a kernel is larger than what it moves over, or a size would be negative. Raises
    onnx.shape_inference.InferenceError.
    """
    bare = onnx.shape_inference.infer_shapes(_undeclared(proto), data_prop=True)
    found = _types(without_empty_windows(bare))
    declared = _types(proto)
    for node in proto.graph.node:
        _check_window(node, found, model)
        for name in node.output:
            if name in found:
                _check_sizes(node, name, found, model)
            if name in found and name in declared:
                _check_declared(node, name, declared[name], found[name], model)
    return onnx.shape_inference.infer_shapes(proto, data_prop=True)


def _undeclared(proto: ModelProto) -> ModelProto:
    """A copy that knows nothing of its tensors but its inputs and weights."""
    bare = ModelProto()
    bare.CopyFrom(proto)
    bare.graph.ClearField("value_info")
    written = {name for node in proto.graph.node for name in node.output}
    for output in bare.graph.output:
        if output.name in written:
            output.ClearField("type")
    return bare


def _types(proto: ModelProto) -> _Types:
    """Of all tensors that have a known one, by name."""
    graph = proto.graph
    values = [(v.name, v.type) for v in (*graph.value_info, *graph.input, *graph.output)]
    values += [(t.name, make_tensor_type_proto(t.data_type, t.dims)) for t in graph.initializer]
    return {name: kind.tensor_type for name, kind in values if kind.HasField("tensor_type")}


def _check_sizes(node: NodeProto, name: str, types: _Types, model: str) -> None:
    if any(dim.dim_value < 0 for dim in types[name].shape.dim):
        raise ModelError(
            f"Operator {_operator(node)} of model {model} would give '{name}' the shape "
            f"{_shape(types[name])}; its input is too small."
        )


def _check_declared(
    node: NodeProto, name: str, declared: TypeProto.Tensor, found: TypeProto.Tensor, model: str
) -> None:
    if declared.elem_type and found.elem_type and declared.elem_type != found.elem_type:
        wanted, given = (tensor_dtype_to_np_dtype(t.elem_type).name for t in (declared, found))
    elif declared.HasField("shape") and found.HasField("shape") and _differ(declared, found):
        wanted, given = _shape(declared), _shape(found)
    else:
        return
    raise ModelError(
        f"Model {model} declares '{name}' as {wanted}, and operator {_operator(node)} makes it "
        f"{given}; export the model again."
    )


def _differ(one: TypeProto.Tensor, other: TypeProto.Tensor) -> bool:
    """Whether no tensor can have both shapes; sizes that are not known fit any."""
    if len(one.shape.dim) != len(other.shape.dim):
        return True
    pairs = zip(one.shape.dim, other.shape.dim, strict=True)
    return any(
        a.HasField("dim_value") and b.HasField("dim_value") and a.dim_value != b.dim_value
        for a, b in pairs
    )


def _check_window(node: NodeProto, types: _Types, model: str) -> None:
    """Refuse an operator whose kernel is larger than its input with all padding."""
    if node.domain not in _ONNX_DOMAINS or node.op_type not in _WINDOWED:
        return
    attributes = {each.name: get_attribute_value(each) for each in node.attribute}
    kernel = attributes.get("kernel_shape") or _kernel(node, types)
    image = types.get(node.input[0])
    if kernel is None or image is None:
        return
    rank = len(kernel)
    if attributes.get("auto_pad") in (b"SAME_UPPER", b"SAME_LOWER"):
        kernel = [1] * rank  # there is padding for as many places as the input has
    pads = attributes.get("pads", [0] * (2 * rank))
    dilations, strides = (attributes.get(name, [1] * rank) for name in ("dilations", "strides"))
    if [len(image.shape.dim) - 2, len(pads) // 2, len(dilations), len(strides)] != [rank] * 4:
        return
    for axis, dim in enumerate(image.shape.dim[2:]):
        span = (kernel[axis] - 1) * dilations[axis] + 1
        size = dim.dim_value + pads[axis] + pads[rank + axis]
        if attributes.get("ceil_mode"):
            size += strides[axis] - 1
        if dim.HasField("dim_value") and (size < span or dim.dim_value == 0):
            raise ModelError(
                f"Operator {_operator(node)} of model {model} moves a kernel of {span} along axis "
                f"{axis + 2}, for which its input '{node.input[0]}' of shape {_shape(image)} is "
                "too small; give the model larger inputs."
            )


def _kernel(node: NodeProto, types: _Types) -> list[int] | None:
    position = _WINDOWED[node.op_type]
    weight = types.get(node.input[position]) if position is not None else None
    return [dim.dim_value for dim in weight.shape.dim[2:]] if weight is not None else None


def _operator(node: NodeProto) -> str:
    return f"'{node.name}' ({node.op_type})"


def _shape(kind: TypeProto.Tensor) -> str:
    dims: Iterator[str] = (
        str(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or "?"
        for dim in kind.shape.dim
    )
    return f"[{', '.join(dims)}]"
