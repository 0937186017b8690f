"""A model: an ONNX file that was read, checked, hashed, and given fixed input shapes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, TypeProto, ValueInfoProto
from onnx.helper import tensor_dtype_to_np_dtype

from farm.errors import ModelError
from farm.host.places import write_file
from farm.model.ends import (
    check_ends,
    check_output_types,
    check_valid,
    describe_passed_outputs,
    graph_inputs,
)
from farm.model.file import PROTOBUF_LIMIT, read_model_file
from farm.model.inference import forget_negative_dimensions, infer_shapes
from farm.model.shapes import fix_shapes
from farm.model.walk import all_graphs, all_nodes, all_tensors, name_nodes
from farm.units import Bytes

OLDEST_OPSET = 7  # ONNX Runtime's guarantee: models stamped with opset 7 or higher
_NO_SHAPES: Mapping[str, int] = MappingProxyType({})
_ONNX_DOMAINS = frozenset({"", "ai.onnx"})
BUILT_IN_DOMAINS = _ONNX_DOMAINS | {
    "ai.onnx.ml",
    "ai.onnx.training",
    "ai.onnx.preview",
    "ai.onnx.preview.training",
    "com.microsoft",
    "com.microsoft.experimental",
    "com.microsoft.nchwc",
    "com.ms.internal.nhwc",
}
_SMALL = 1 << 16  # weights below it stay in the copy that is checked: shapes depend on some


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input of a model. shape: every dimension fixed; ``()`` for a scalar."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One output of a model. shape: None where it is known only after running."""

    name: str
    shape: tuple[int, ...] | None
    dtype: np.dtype[np.generic]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that is ready to be tuned.

    name: the file's stem. sha256: of the file and its external data as they lie on the disk
    (``farm.model.file.content_hash``); the fixed shapes are not part of it.
    shapes: the size given to each dynamic dimension, by name.
    proto: weights in memory, input shapes fixed, other shapes inferred as far as possible, and a
    unique name for every node. It is shared: copy it before changing it.
    opset: version of the default operator set, 0 where the model does not use it.
    domains: operator domains in use, sorted. size: of the files on the disk.
    """

    path: Path
    name: str
    sha256: str
    shapes: Mapping[str, int]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[OutputSpec, ...]
    opset: int
    domains: tuple[str, ...]
    size: Bytes
    proto: ModelProto = field(repr=False, compare=False)


def load_model(path: Path, shapes: Mapping[str, int] = _NO_SHAPES) -> Model:
    """Read a model, check it, fix its dynamic dimensions and infer the shapes in it.

    shapes: sizes of dynamic dimensions by name; see ``farm.model.shapes.fix_shapes``.

    Raises ModelError: what ``read_model_file`` and ``fix_shapes`` raise, custom operators, an
    operator set that is too old or too new, an invalid graph, no inputs, outputs or operators,
    inputs without a shape, inputs or outputs that are not tensors of numbers that NumPy has, what
    ``infer_shapes`` raises.
    """
    file = read_model_file(path)
    proto = file.proto
    _check_versions(proto, path)
    _refuse_custom_operators(proto, path)
    values = graph_inputs(proto)
    check_ends(proto, values, path)
    _check_graph(proto, path)
    forget_negative_dimensions(proto)
    sizes = fix_shapes(proto, values, shapes, str(path))
    name_nodes(proto)
    describe_passed_outputs(proto)
    _infer_shapes(proto, path)
    check_output_types(proto, path)
    return Model(
        path=path,
        name=path.stem,
        sha256=file.sha256,
        shapes=sizes,
        inputs=tuple(_input_spec(value) for value in values),
        outputs=tuple(_output_spec(value) for value in proto.graph.output),
        opset=_opset(proto),
        domains=tuple(sorted({node.domain for node in all_nodes(proto)})),
        size=file.size,
        proto=proto,
    )


def save_model(proto: ModelProto, path: Path, limit: int = PROTOBUF_LIMIT) -> None:
    """Write a model file, with its weights in ``NAME.onnx.data`` beside it if need be.

    The file is whole, or what was there before. limit: largest size in bytes of a file without
    external data.

    Raises OSError.
    """
    if _weight_bytes(proto) + _proto_bytes(proto) <= limit:
        write_file(path, proto.SerializeToString())
        return
    copy = ModelProto()
    copy.CopyFrom(proto)  # saving moves the weights out of the message it is given
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        draft, data = Path(folder, path.name), f"{path.name}.data"
        onnx.save_model(copy, draft, save_as_external_data=True, location=data)
        draft.with_name(data).replace(path.with_name(data))
        draft.replace(path)


def _check_versions(proto: ModelProto, path: Path) -> None:
    newest = onnx.defs.onnx_opset_version()
    opset = _opset(proto)
    if opset > newest:
        raise ModelError(
            f"Model {path} uses operator set {opset}, and the installed onnx {onnx.__version__} "
            f"knows up to {newest}; export it with an older one or upgrade onnx and onnxruntime."
        )
    if 0 < opset < OLDEST_OPSET:
        raise ModelError(
            f"Model {path} uses operator set {opset}, and ONNX Runtime runs {OLDEST_OPSET} and "
            "newer; convert it with onnx.version_converter.convert_version or export it again."
        )
    if proto.ir_version > onnx.IR_VERSION:
        raise ModelError(
            f"Model {path} has IR version {proto.ir_version}, and the installed onnx "
            f"{onnx.__version__} knows up to {onnx.IR_VERSION}; upgrade onnx and onnxruntime."
        )


def _opset(proto: ModelProto) -> int:
    return max((o.version for o in proto.opset_import if o.domain in _ONNX_DOMAINS), default=0)


def _refuse_custom_operators(proto: ModelProto, path: Path) -> None:
    functions = {(function.domain, function.name) for function in proto.functions}
    custom = {
        f"{node.domain}::{node.op_type}"
        for node in all_nodes(proto)
        if node.domain not in BUILT_IN_DOMAINS and (node.domain, node.op_type) not in functions
    }
    if custom:
        what = "the custom operator" if len(custom) == 1 else "the custom operators"
        raise ModelError(
            f"Model {path} uses {what} {', '.join(sorted(custom))}, which no engine of the farm "
            "has; export it with standard ONNX operators only."
        )


def _check_graph(proto: ModelProto, path: Path) -> None:
    light = _without_large_weights(proto)
    large = [t for t in proto.graph.initializer if _SMALL <= _tensor_bytes(t) < PROTOBUF_LIMIT]
    try:
        check_valid(light)
        for tensor in large:
            onnx.checker.check_tensor(tensor)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"Model {path} is not valid ONNX: {_compact(error)}.") from None


def _infer_shapes(proto: ModelProto, path: Path) -> None:
    """Add the inferred shapes in place; what inference does not know stays unknown."""
    light = _without_large_weights(proto)
    try:
        inferred = infer_shapes(light, str(path))
    except onnx.shape_inference.InferenceError as error:
        raise ModelError(f"The shapes in model {path} do not fit: {_compact(error)}.") from None
    graphs = zip(all_graphs(proto.graph), all_graphs(inferred.graph), strict=True)
    for graph, known in graphs:
        for field_name in ("value_info", "output"):
            graph.ClearField(field_name)
        graph.value_info.extend(known.value_info)
        graph.output.extend(known.output)


def _without_large_weights(proto: ModelProto) -> ModelProto:
    """A copy for checking and inference, with large weights as inputs instead.

    It keeps the message under 2 GiB, and inference from copying weights it does not need.
    """
    light = ModelProto()
    weights = proto.graph.initializer
    inputs = {value.name for value in proto.graph.input}
    for part in ("ir_version", "domain", "model_version"):
        setattr(light, part, getattr(proto, part))
    light.opset_import.extend(proto.opset_import)
    light.functions.extend(proto.functions)
    light.metadata_props.extend(proto.metadata_props)
    graph = light.graph
    graph.name = proto.graph.name
    graph.node.extend(proto.graph.node)
    graph.input.extend(proto.graph.input)
    graph.output.extend(proto.graph.output)
    graph.value_info.extend(proto.graph.value_info)
    graph.sparse_initializer.extend(proto.graph.sparse_initializer)
    for tensor in weights:
        if _tensor_bytes(tensor) < _SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in inputs:
            graph.input.append(
                onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            )
    return light


def _input_spec(value: ValueInfoProto) -> TensorSpec:
    shape = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
    return TensorSpec(value.name, shape, _dtype(value.type))


def _output_spec(value: ValueInfoProto) -> OutputSpec:
    return OutputSpec(value.name, known_shape(value.type), _dtype(value.type))


def known_shape(kind: TypeProto) -> tuple[int, ...] | None:
    """The shape of a tensor type, None unless every dimension of it is known."""
    if not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    return tuple(d.dim_value for d in dims) if all(d.HasField("dim_value") for d in dims) else None


def _dtype(kind: TypeProto) -> np.dtype[np.generic]:
    return np.dtype(tensor_dtype_to_np_dtype(kind.tensor_type.elem_type))


def _tensor_bytes(tensor: TensorProto) -> int:
    return len(tensor.raw_data) or 8 * int(np.prod(tensor.dims, dtype=np.int64))


def _weight_bytes(proto: ModelProto) -> int:
    return sum(_tensor_bytes(tensor) for tensor in all_tensors(proto))


def _proto_bytes(proto: ModelProto) -> int:
    """A bound for what is not weights: names, attributes, shapes."""
    return int(_without_large_weights(proto).ByteSize())


def _compact(error: Exception) -> str:
    """A checker's message in one line of at most 300 characters."""
    text = " ".join(str(error).partition("==> Context")[0].split()).rstrip(" .")
    return text if len(text) <= 300 else text[:297] + "..."
