"""Lowers single operators, and compares the steps' references with ONNX's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession

from farm.codegen.front.source import Node, Source, UnsupportedOperator, read_source
from farm.codegen.lower.floats.operators import lower_float
from farm.codegen.lower.movement import is_movement, lower_movement
from farm.codegen.program import Element, Step, Tensor

_IR_VERSION = 10  # which every supported ONNX Runtime reads
Input = np.ndarray | np.generic | None


def compare(
    op_type: str,
    *inputs: Input,
    opset: int = 21,
    outputs: int = 1,
    constants: Sequence[int] = (),
    changing: Sequence[int] = (),
    tolerance: float = 0.0,
    by_runtime: bool = False,
    **attributes: Any,
) -> None:
    """The lowered steps must compute what ONNX's reference does, or ONNX Runtime if asked.

    inputs: the first one changes, as do those in ``changing`` and all others of float32 with more
    than one axis; those in ``constants`` do not.
    """
    model = model_of(op_type, inputs, opset, outputs, constants, changing, attributes)
    source = read_source(model)
    feeds = {f"x{i}": np.asarray(each) for i, each in enumerate(inputs) if each is not None}
    arrays = {value.name: feeds[value.name] for value in source.inputs}
    if by_runtime:
        session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        want = session.run(None, arrays)
    else:
        want = ReferenceEvaluator(model).run(None, arrays)
    for step in steps_of(source):
        results = step.reference([arrays[tensor.name] for tensor in step.inputs])
        for tensor, result in zip(step.outputs, results, strict=True):
            assert result.shape == tensor.shape
            arrays[tensor.name] = result
    for value, each in zip(source.outputs, want, strict=True):
        np.testing.assert_allclose(arrays[value.name], each, rtol=tolerance, atol=tolerance)


def lowered(op_type: str, *inputs: Input, opset: int = 21, **attributes: Any) -> tuple[Step, ...]:
    """The steps of an operator, whose first input changes."""
    return steps_of(read_source(model_of(op_type, inputs, opset, 1, (), (), attributes)))


def unsupported(
    op_type: str, *inputs: Input, opset: int = 21, changing: Sequence[int] = (), **attributes: Any
) -> str:
    """The message that says why an operator is not supported."""
    source = read_source(model_of(op_type, inputs, opset, 1, (), changing, attributes))
    with pytest.raises(UnsupportedOperator) as caught:
        steps_of(source)
    return str(caught.value)


def node_of(
    op_type: str,
    *inputs: Input,
    opset: int = 21,
    constants: Sequence[int] = (),
    **attributes: Any,
) -> Node:
    """An operator as it is read from a model."""
    return read_source(model_of(op_type, inputs, opset, 1, constants, (), attributes)).nodes[0]


def steps_of(source: Source) -> tuple[Step, ...]:
    """The steps of the only operator."""
    (node,) = source.nodes
    inputs = tuple(Tensor(v.name, v.shape, Element.F32) for v in node.changing)
    present = (value for value in node.outputs if value is not None)
    outputs = tuple(Tensor(v.name, v.shape, Element.F32) for v in present)
    return (lower_movement if is_movement(node) else lower_float)(node, inputs, outputs)


def model_of(
    op_type: str,
    inputs: Sequence[Input],
    opset: int,
    outputs: int,
    constants: Sequence[int],
    changing: Sequence[int],
    attributes: dict[str, Any],
) -> onnx.ModelProto:
    """A model of one operator."""
    names = ["" if each is None else f"x{i}" for i, each in enumerate(inputs)]
    given, stored = [], []
    for i, each in enumerate(inputs):
        if each is None:
            continue
        array = np.asarray(each)
        if i in changing or (i not in constants and _changes(i, array)):
            element = helper.np_dtype_to_tensor_dtype(array.dtype)
            given.append(helper.make_tensor_value_info(names[i], element, array.shape))
        else:
            stored.append(numpy_helper.from_array(array, names[i]))
    results = [f"y{i}" for i in range(outputs)]
    node = helper.make_node(op_type, names, results, name="node", **attributes)
    made = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in results]
    graph = helper.make_graph([node], "graph", given, made, stored)
    version = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=version, ir_version=_IR_VERSION)
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _changes(position: int, array: np.ndarray) -> bool:
    return position == 0 or (array.dtype == np.float32 and array.ndim > 1)
