"""Reads an ONNX graph into typed nodes and values: the form that lowering works on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from farm.compile.passes import reported_as
from farm.errors import CompileError
from farm.model.ceil_mode import without_empty_windows
from farm.model.randomness import RANDOM_OPERATORS

INPUT_TYPES = ("float32", "int32", "int64", "bool")
"""Element types of inputs that there is code for, by numpy's names."""


def refused_input(name: str, dtype: str, remedy: str = "") -> str:
    """The sentence on an input of another type. remedy: what to do about it, if there is more."""
    known = f"{', '.join(INPUT_TYPES[:-1])} and {INPUT_TYPES[-1]}"
    return f"The code generator takes {known} inputs, and {name!r} is {dtype}{remedy}."


class UnsupportedOperator(CompileError):
    """The code generator has no code for an operator as the model uses it."""

    def __init__(self, node: Node, reason: str = "") -> None:
        detail = reason or f"it has no code for {node.op_type}"
        where = f"{node.name!r} ({node.op_type})"
        super().__init__(f"The code generator does not support operator {where}: {detail}.")


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A tensor of the graph. constant: its value where it does not depend on the inputs.

    dtype: numpy's name of the element type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    constant: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """An operator. inputs, outputs: None for optional ones that are left out.

    opset: version of its domain's operator set.
    """

    name: str
    op_type: str
    domain: str
    opset: int
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    attributes: Mapping[str, Any]

    @property
    def changing(self) -> tuple[Value, ...]:
        """The inputs that are no constants."""
        return tuple(v for v in self.inputs if v is not None and v.constant is None)

    def constant(self, position: int) -> NDArray[Any] | None:
        """The constant input at a position; None where it is left out.

        Raises UnsupportedOperator: the input is there and is no constant.
        """
        value = self.inputs[position] if position < len(self.inputs) else None
        if value is not None and value.constant is None:
            raise UnsupportedOperator(self, f"its input {value.name!r} is no constant")
        return None if value is None else value.constant


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A graph: nodes in the order in which they run, without those that are constant."""

    nodes: tuple[Node, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]

    def readers(self) -> dict[str, list[Node]]:
        """The nodes that read each value, by the value's name."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for value in node.changing:
                readers.setdefault(value.name, []).append(node)
        return readers


def read_source(model: onnx.ModelProto) -> Source:
    """Read a model whose shapes are fixed.

    Raises CompileError: a shape is unknown, or the graph is malformed. UnsupportedOperator: an
    operator with a nested graph.
    """
    with reported_as("read the graph"):
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
        inferred = without_empty_windows(inferred)
    reader = _Reader(inferred)
    nodes = tuple(reader.nodes())
    graph = inferred.graph
    initial = {tensor.name for tensor in graph.initializer}
    return Source(
        nodes,
        tuple(reader.value(v.name) for v in graph.input if v.name not in initial),
        tuple(reader.value(v.name) for v in graph.output),
    )


class _Reader:
    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._opsets = {o.domain or "ai.onnx": o.version for o in model.opset_import}
        graph = model.graph
        self._types = {v.name: v.type for v in (*graph.value_info, *graph.input, *graph.output)}
        self._values: dict[str, Value] = {}
        self._makers = {o: (i, n) for i, n in enumerate(graph.node) for o in n.output}
        for tensor in graph.initializer:
            self._hold(tensor.name, numpy_helper.to_array(tensor))

    def nodes(self) -> Iterator[Node]:
        for index, proto in enumerate(self._model.graph.node):
            node = self._node(proto, index)
            if not self._fold(proto, node):
                yield node

    def value(self, name: str) -> Value:
        if name not in self._values:
            self._values[name] = self._described(name)
        return self._values[name]

    def _described(self, name: str) -> Value:
        if name not in self._types or not self._types[name].HasField("tensor_type"):
            raise self._without_shape(name)
        tensor = self._types[name].tensor_type
        sizes = tensor.shape.dim
        if not tensor.HasField("shape") or not all(d.HasField("dim_value") for d in sizes):
            raise self._without_shape(name)
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)).name
        return Value(name, tuple(d.dim_value for d in sizes), dtype)

    def _without_shape(self, name: str) -> CompileError:
        """The error of a tensor whose shape is not known before the model runs."""
        if name not in self._makers:
            sizes = self._types[name].tensor_type.shape.dim
            shown = ", ".join(str(d.dim_value or d.dim_param or "?") for d in sizes)
            return CompileError(
                f"Tensor {name!r} has a dynamic shape [{shown}], and generated code needs fixed "
                "ones: give them with --shape."
            )
        index, proto = self._makers[name]
        node = Node(_name(proto, index), proto.op_type, proto.domain, 0, (), (), {})
        if proto.domain not in _STANDARD:
            return UnsupportedOperator(node, f"the shape of its result {name!r} is not known")
        return UnsupportedOperator(
            node,
            f"the size of its result {name!r} depends on the data, and generated code has fixed "
            "ones",
        )

    def _hold(self, name: str, array: NDArray[Any]) -> None:
        self._values[name] = Value(name, array.shape, array.dtype.name, array)

    def _node(self, proto: onnx.NodeProto, index: int) -> Node:
        domain = proto.domain or "ai.onnx"
        attributes = {a.name: _attribute(a) for a in proto.attribute}
        inputs = tuple(self.value(i) if i else None for i in proto.input)
        known = all(v is not None and v.constant is not None for v in inputs)
        outputs = () if known else tuple(self.value(o) if o else None for o in proto.output)
        opset = self._opsets.get(domain, 1)
        node = Node(_name(proto, index), proto.op_type, domain, opset, inputs, outputs, attributes)
        if any(a.type in _GRAPHS for a in proto.attribute):
            raise UnsupportedOperator(node, "it has a nested graph")
        return node

    def _fold(self, proto: onnx.NodeProto, node: Node) -> bool:
        """Compute a node that depends on constants alone, or on shapes; whether it was done."""
        if node.op_type in {"Shape", "Size"} and (given := node.inputs[0]) is not None:
            shape = given.shape
            span = slice(node.attributes.get("start"), node.attributes.get("end"))
            result = np.array(shape[span] if node.op_type == "Shape" else np.prod(shape), np.int64)
            self._hold(proto.output[0], result)
            return True
        if node.changing or node.op_type in RANDOM_OPERATORS:
            return False
        feeds = {v.name: v.constant for v in node.inputs if v is not None}
        with reported_as("fold constants", node.name), np.errstate(all="ignore"):
            results = ReferenceEvaluator(proto, opsets=self._opset_arguments()).run(None, feeds)
        for name, array in zip(proto.output, results, strict=True):
            if name:
                self._hold(name, np.asarray(array))
        return True

    def _opset_arguments(self) -> dict[str, int]:
        return {"" if d == "ai.onnx" else d: version for d, version in self._opsets.items()}


_STANDARD = frozenset({"", "ai.onnx"})
_GRAPHS = (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS)


def _name(proto: onnx.NodeProto, index: int) -> str:
    return proto.name or f"{proto.op_type}_{index}"


def _attribute(attribute: onnx.AttributeProto) -> Any:  # noqa: ANN401 (an ONNX attribute's value)
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list):
        return tuple(each.decode() if isinstance(each, bytes) else each for each in value)
    return value
