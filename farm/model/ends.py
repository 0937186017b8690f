"""A model's inputs and outputs: which there are, and refusing those that cannot be fed or read."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto
from onnx.helper import make_tensor_type_proto

from farm.errors import ModelError

# ONNX Runtime takes and gives tensors of other types only as its own objects; of one of them it
# gives the bits as if they were integers.
_NUMPY_TYPES = frozenset(
    {
        TensorProto.FLOAT16,
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.INT8,
        TensorProto.INT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
        TensorProto.UINT16,
        TensorProto.UINT32,
        TensorProto.UINT64,
        TensorProto.BOOL,
    }
)

_WHAT = {
    "tensor_type": "text",
    "sequence_type": "a sequence",
    "map_type": "a map",
    "optional_type": "an optional value",
    "sparse_tensor_type": "a sparse tensor",
    "opaque_type": "an opaque value",
}


def graph_inputs(proto: ModelProto) -> tuple[ValueInfoProto, ...]:
    """The inputs that the user feeds: up to IR version 3 the weights are listed as well."""
    weights = {tensor.name for tensor in proto.graph.initializer}
    weights |= {sparse.values.name for sparse in proto.graph.sparse_initializer}
    return tuple(value for value in proto.graph.input if value.name not in weights)


def check_ends(proto: ModelProto, inputs: tuple[ValueInfoProto, ...], path: Path) -> None:
    """Refuse what runs, if at all, without computing anything from anything, or without data.

    Outputs may lack a type and a shape, which inference finds (``check_output_types``).

    Raises ModelError.
    """
    outputs = proto.graph.output
    for what, found in (
        ("outputs", outputs),
        ("operators", proto.graph.node),
        ("inputs", inputs),
    ):
        if not found:
            raise ModelError(f"Model {path} has no {what}, so that there is nothing to compute.")
    names = [value.name for value in outputs]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ModelError(f"Model {path} lists its output '{twice}' twice.")
    for value in inputs:
        _check_type(value, path, "Input")
        _check_has_shape(value, path)
    for value in outputs:
        if has_type(value):
            _check_type(value, path, "Output")


def describe_passed_outputs(proto: ModelProto) -> None:
    """Give outputs that are inputs or weights the types and shapes of these, in place.

    Inference looks at results of operators only.
    """
    graph = proto.graph
    known = {t.name: make_tensor_type_proto(t.data_type, t.dims) for t in graph.initializer}
    known |= {value.name: value.type for value in graph.input}
    for output in graph.output:
        if output.name in known and not output.type.tensor_type.HasField("shape"):
            output.type.CopyFrom(known[output.name])


def check_output_types(proto: ModelProto, path: Path) -> None:
    """Refuse outputs whose types, declared or inferred, cannot be read. Raises ModelError."""
    for value in proto.graph.output:
        _check_type(value, path, "Output")


def check_valid(proto: ModelProto) -> None:
    """Let onnx check a model whose outputs may lack types or shapes, as they may in ONNX.

    https://github.com/onnx/onnx/blob/main/docs/IR.md. Its checker wants to see both.

    Raises onnx.checker.ValidationError.
    """
    if not all(has_type(value) and _has_shape(value) for value in proto.graph.output):
        complete = ModelProto()
        complete.CopyFrom(proto)
        for value in complete.graph.output:
            if value.type.WhichOneof("value") in (None, "tensor_type"):
                kind = value.type.tensor_type
                kind.elem_type = kind.elem_type or TensorProto.FLOAT
                kind.shape.SetInParent()
        proto = complete
    onnx.checker.check_model(proto)


def has_type(value: ValueInfoProto) -> bool:
    """Whether it is known what the value is: if a tensor, of which element type."""
    kind = value.type.WhichOneof("value")
    return kind is not None and (kind != "tensor_type" or bool(value.type.tensor_type.elem_type))


def _has_shape(value: ValueInfoProto) -> bool:
    kind = value.type
    return kind.WhichOneof("value") != "tensor_type" or bool(kind.tensor_type.HasField("shape"))


def _check_type(value: ValueInfoProto, path: Path, end: str) -> None:
    if not has_type(value):
        inferred = ", and its operator does not tell it" if end == "Output" else ""
        raise ModelError(
            f"{end} '{value.name}' of model {path} has no type{inferred}; export the model again "
            f"with the types of its {end.lower()}s."
        )
    kind = value.type.WhichOneof("value")
    element = value.type.tensor_type.elem_type
    if kind != "tensor_type" or element == TensorProto.STRING:
        what = _WHAT[kind or ""]
        raise ModelError(
            f"'{value.name}' of model {path} is {what}; the farm runs models whose inputs and "
            "outputs are tensors of numbers."
        )
    if element not in _NUMPY_TYPES:
        raise ModelError(_unusual(value.name, element, path, end))


def _check_has_shape(value: ValueInfoProto, path: Path) -> None:
    if not _has_shape(value):
        raise ModelError(
            f"Input '{value.name}' of model {path} has no shape, not even a number of dimensions; "
            "export the model again with the shapes of its inputs."
        )


def _unusual(name: str, element: int, path: Path, end: str) -> str:
    """Why a tensor of this element type is refused, and what to export instead."""
    given = _element_name(element)
    cannot = "feed" if end == "Input" else "read"
    if given.startswith("complex"):
        remedy = f"give its real and imaginary parts as two float32 {end.lower()}s"
    else:
        plain = "float32" if "float" in given else given.rstrip("0123456789") + "8"
        cast = f"a Cast to {given} behind it" if end == "Input" else "a Cast before it"
        remedy = f"export the model with an {end.lower()} of {plain} and {cast}"
    return f"{end} '{name}' of model {path} is {given}, which the farm cannot {cannot}; {remedy}."


def _element_name(element: int) -> str:
    if element in TensorProto.DataType.values():
        return str(TensorProto.DataType.Name(element)).lower()
    return f"of element type {element}"
