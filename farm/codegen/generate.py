"""From an ONNX model to generated C: annotate, lower, place, emit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import onnx

from farm.codegen.emit import Generated, emit
from farm.codegen.front.annotate import Annotated, annotate_qdq, annotate_ranges
from farm.codegen.front.names import names_apart, with_model_names
from farm.codegen.front.source import INPUT_TYPES, read_source, refused_input
from farm.codegen.lower.graph import lower
from farm.codegen.lower.integer.operators import ONLY_INTEGER
from farm.codegen.program import DEFAULT_NAME, PortType, PortTypes, Program
from farm.codegen.siblings import merge_siblings
from farm.codegen.storage import Storage, store
from farm.compile.quantization.calibrate import Range
from farm.errors import CompileError
from farm.model.formats import has_qdq


@dataclass(frozen=True, slots=True)
class Generation:
    """Generated code with what it was made from."""

    program: Program
    storage: Storage
    generated: Generated


def generate(
    model: onnx.ModelProto,
    title: str,
    ranges: Mapping[str, Range] | None = None,
    keep_float: Iterable[str] = (),
    name: str = DEFAULT_NAME,
    ports: PortTypes = PortType.FLOAT32,
) -> Generation:
    """Generate C for a model with fixed shapes.

    Products that read one tensor in the same way are merged, unless that makes the arena higher.

    title: what the model is, for the first line of every file. ranges: of the activations that
    ``tensors_to_calibrate`` names; they become u8. Without ranges a QDQ model keeps the integers
    it came with, and any other model stays float32. keep_float: names of operators that compute
    in float. name: what all names in the code that others see begin with. ports: what quantised
    inputs and outputs are for the caller; others stay as they are in the model.

    Raises UnsupportedOperator, CompileError.
    """
    program, storage = placed(model, ranges, keep_float, ports)
    return Generation(program, storage, emit(program, storage, title, name))


def placed(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range] | None = None,
    keep_float: Iterable[str] = (),
    ports: PortTypes = PortType.FLOAT32,
) -> tuple[Program, Storage]:
    """The program that ``generate`` writes as C, and the places of its tensors.

    Raises UnsupportedOperator, CompileError.
    """
    model, apart = names_apart(model)
    if not isinstance(ports, PortType):
        ports = {apart.get(tensor, tensor): kind for tensor, kind in ports.items()}
    if ranges is not None:
        ranges = {apart.get(tensor, tensor): found for tensor, found in ranges.items()}
    annotated = _annotated(model, ranges, frozenset(keep_float), ports)
    plain = with_model_names(lower(annotated, ports), apart)
    return min(
        ((each, store(each)) for each in dict.fromkeys((merge_siblings(plain), plain))),
        key=lambda pair: pair[1].arena_bytes,
    )


def check_inputs(model: onnx.ModelProto) -> None:
    """Raise CompileError for inputs that generated code does not take.

    Before any pass runs: with other types some fail for reasons of their own.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        element = value.type.tensor_type.elem_type
        kind = onnx.helper.tensor_dtype_to_np_dtype(element).name
        if value.name not in stored and kind not in INPUT_TYPES:
            raise CompileError(refused_input(value.name, kind))


def tensors_to_calibrate(model: onnx.ModelProto) -> tuple[str, ...]:
    """The float32 activations whose ranges ``generate`` uses. Raises CompileError."""
    source = read_source(model)
    made = (value for node in source.nodes for value in node.outputs if value is not None)
    values = {value.name: value for value in (*source.inputs, *made)}
    return tuple(name for name, value in values.items() if value.dtype == "float32")


def _annotated(
    model: onnx.ModelProto,
    ranges: Mapping[str, Range] | None,
    keep_float: frozenset[str],
    ports: PortTypes,
) -> Annotated:
    if ranges is not None:
        return annotate_ranges(read_source(model), ranges, keep_float, ONLY_INTEGER)
    if has_qdq(model):
        named = () if isinstance(ports, PortType) else ports
        return replace(annotate_qdq(model, named), keep_float=keep_float)
    return Annotated(read_source(model), keep_float=keep_float)
