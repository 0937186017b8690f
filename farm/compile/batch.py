"""Lets one run take several samples: the first dimension of inputs and outputs grows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, numpy_helper
from onnx.helper import get_attribute_value

from farm.compile.passes import PassResult, reported_as
from farm.errors import CompileError
from farm.model.walk import clone

_LARGEST = (1 << 31) - 1  # dimension that every engine can count


@dataclass(frozen=True, slots=True)
class Batched:
    """Make the first dimension of every input and output ``size`` times as large.

    Shapes that a Reshape was given as constants follow, where they begin with that dimension.
    Whether samples stay apart shows when outputs are compared, sample by sample.
    """

    size: int

    name: ClassVar[str] = "batched"
    requires: ClassVar[str] = "all inputs and outputs begin with the same fixed dimension"
    ensures: ClassVar[str] = "they begin with a multiple of it, and shapes agree"

    def __call__(self, model: ModelProto) -> PassResult:
        """Apply the pass. Raises CompileError where the batch cannot be changed."""
        first = _common_dimension(model)
        if not 1 <= first * self.size <= _LARGEST:
            raise CompileError(
                f"A batch must have 1 to {_LARGEST // first} samples here, got {self.size}."
            )
        batched = clone(model)
        graph = batched.graph
        for value in (*_inputs(batched), *graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = first * self.size
        del graph.value_info[:]
        _open_reshapes(batched, first, self.size)
        with reported_as(self.name):
            # Declared outputs that the operators would give another size are an error here.
            onnx.shape_inference.infer_shapes(batched, strict_mode=True, data_prop=True)
        return PassResult(batched, changed=True)


def batch_obstacle(model: ModelProto) -> str:
    """Why one run cannot take several samples, a clause; empty where nothing speaks against it."""
    try:
        Batched(2)(model)
    except CompileError as error:
        return str(error).rstrip(".")
    return ""


def _inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in stored]


def _common_dimension(model: ModelProto) -> int:
    """The first dimension of all inputs and outputs. Raises CompileError: they have none."""
    ends = [("input", v) for v in _inputs(model)] + [("output", v) for v in model.graph.output]
    first = [_first_dimension(value) for _, value in ends]
    for (kind, value), size in zip(ends, first, strict=True):
        if size is None or size != first[0]:
            told = "nothing fixed" if size is None else f"a dimension of {size}"
            raise CompileError(
                f"All inputs and outputs must begin with the same dimension, and {kind} "
                f"'{value.name}' begins with {told}."
            )
    return first[0] or 1


def _first_dimension(value: onnx.ValueInfoProto) -> int | None:
    dims = value.type.tensor_type.shape.dim
    return dims[0].dim_value if dims and dims[0].dim_value > 0 else None


def _open_reshapes(model: ModelProto, first: int, size: int) -> None:
    """Change constant shapes that begin with the batch, in place: each operator gets its own."""
    stored = {tensor.name for tensor in model.graph.initializer}
    for node, shape in _constant_reshapes(model):
        if shape.size == 0 or shape[0] != first or node.input[0] in stored:
            continue
        changed = shape.copy()
        changed[0] = first * size if -1 in shape else -1
        name = f"{node.output[0]}.batched_shape"
        model.graph.initializer.append(numpy_helper.from_array(changed, name))
        node.input[1] = name


def _constant_reshapes(model: ModelProto) -> Iterator[tuple[NodeProto, np.ndarray]]:
    shapes = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            shapes[node.output[0]] = get_attribute_value(node.attribute[0])
        if node.op_type == "Reshape" and node.input[1] in shapes:
            yield node, numpy_helper.to_array(shapes[node.input[1]])
