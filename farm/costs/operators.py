"""Operators of a model as a cost model sees them: what they are, and what they move and compute.

The *signature* of an operator is what decides how long it takes, whatever model it is in: its
type, attributes, the shapes and types of its tensors, which of them are stored, and the stored
integers that are parameters rather than weights, like the new shape of a Reshape.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto
from onnx.helper import get_attribute_value
from onnx.numpy_helper import to_array

from farm.costs.families import CONVOLUTIONS, Family, family_of, weight_of
from farm.model.graph import Graph, Operator, Tensor, TensorKind

_MOST_PARAMETERS = 64  # integers of one stored tensor that are a parameter
_SIGNATURE_DIGITS = 16
_JOIN = "+"
_SLIDING = frozenset({"kernel_shape", "strides", "group"})
_FLOAT_PARAMETERS = frozenset({"Resize", "Upsample"})
_INTEGERS = frozenset({TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL})
_FLOATS = frozenset({"float", "double", "float16", "bfloat16"})


@dataclass(frozen=True, slots=True)
class Operand:
    """A tensor that an operator reads or writes.

    size: bytes in the model's own format. is_float: whether its format is that of the precision
    in which the operator computes. stored: it is a weight. shape: () of scalars, too, and where
    it is not known.
    """

    name: str
    size: int
    count: int
    is_float: bool
    stored: bool
    shape: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Window:
    """What an operator that slides over its input sees of it at a time.

    kernel, strides: one size for each spatial dimension. group: of channels, 1 where all are one.
    """

    kernel: tuple[int, ...] = ()
    strides: tuple[int, ...] = ()
    group: int = 1


@dataclass(frozen=True, slots=True)
class CostedOperator:
    """One operator.

    flops: see ``farm.model.flops``. complete: whether all shapes are known. window: of
    convolutions and pooling; of other operators there is nothing in it.
    """

    name: str
    op_type: str
    family: Family
    signature: str
    flops: int
    reads: tuple[Operand, ...]
    writes: tuple[Operand, ...]
    complete: bool = True
    window: Window = Window()


def costed_operators(model: ModelProto, graph: Graph) -> tuple[CostedOperator, ...]:
    """The operators of a model that run, in its order; folded ones cost nothing.

    graph: the view of the same model.
    """
    parameters = _parameters(model)
    pairs = zip(model.graph.node, graph.operators, strict=True)
    return tuple(
        _costed(node, operator, graph.tensors, parameters)
        for node, operator in pairs
        if not operator.folded
    )


def signatures(model: ModelProto, graph: Graph) -> dict[str, str]:
    """The signature of every operator of the outermost graph by its name."""
    parameters = _parameters(model)
    return {node.name: _signature(node, graph.tensors, parameters) for node in model.graph.node}


def group_signature(of: Sequence[str]) -> str:
    """What identifies operators that one kernel stands for, by their own in the model's order."""
    return _JOIN.join(of)


def members_of(signature: str) -> tuple[str, ...]:
    """The signatures that :func:`group_signature` joined."""
    return tuple(signature.split(_JOIN))


def _costed(
    node: NodeProto,
    operator: Operator,
    tensors: Mapping[str, Tensor],
    parameters: Mapping[str, TensorProto],
) -> CostedOperator:
    return CostedOperator(
        operator.name,
        operator.op_type,
        family_of(node, tensors),
        _signature(node, tensors, parameters),
        operator.flops,
        tuple(_operands(operator.inputs, tensors)),
        tuple(_operands(operator.outputs, tensors)),
        operator.complete,
        _window(node, tensors),
    )


def _window(node: NodeProto, tensors: Mapping[str, Tensor]) -> Window:
    given = {a.name: get_attribute_value(a) for a in node.attribute if a.name in _SLIDING}
    kernel = tuple(given.get("kernel_shape") or ())
    if not kernel and node.op_type in CONVOLUTIONS:
        weight = tensors.get(node.input[weight_of(node.op_type)])
        kernel = tuple((weight.shape if weight else None) or ())[2:]
    if not kernel:
        return Window()
    strides = tuple(given.get("strides") or (1,) * len(kernel))
    return Window(kernel, strides, given.get("group", 1))


def _operands(names: Iterable[str], tensors: Mapping[str, Tensor]) -> Iterator[Operand]:
    for name in dict.fromkeys(names):
        if (tensor := tensors.get(name)) is not None:
            count = 1
            for size in tensor.shape or ():
                count *= size
            yield Operand(
                name,
                tensor.bytes,
                0 if tensor.shape is None else count,
                tensor.dtype in _FLOATS,
                tensor.kind is TensorKind.WEIGHT,
                tensor.shape or (),
            )


def _parameters(model: ModelProto) -> dict[str, TensorProto]:
    """Stored tensors that are small, by name."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.type == AttributeProto.TENSOR:
                stored[node.output[0]] = attribute.t
    return {name: t for name, t in stored.items() if _count(t) <= _MOST_PARAMETERS}


def _count(tensor: TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return count


def _signature(
    node: NodeProto, tensors: Mapping[str, Tensor], parameters: Mapping[str, TensorProto]
) -> str:
    content = [
        node.domain,
        node.op_type,
        [[a.name, _plain(a)] for a in sorted(node.attribute, key=lambda a: a.name)],
        [_described(name, node, tensors, parameters) for name in node.input],
        [_described(name, node, tensors, {}) for name in node.output],
    ]
    text = json.dumps(content, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:_SIGNATURE_DIGITS]


def _described(
    name: str,
    node: NodeProto,
    tensors: Mapping[str, Tensor],
    parameters: Mapping[str, TensorProto],
) -> list[object]:
    """A tensor, without its name; one that is left out has nothing."""
    tensor = tensors.get(name)
    if tensor is None:
        return []
    stored = tensor.kind is TensorKind.WEIGHT
    described: list[object] = [tensor.dtype, tensor.shape and list(tensor.shape), stored]
    value = parameters.get(name)
    if value is not None and _is_parameter(value, node):
        described.append(to_array(value).tolist())
    return described


def _is_parameter(value: TensorProto, node: NodeProto) -> bool:
    return value.data_type in _INTEGERS or node.op_type in _FLOAT_PARAMETERS


def _plain(attribute: AttributeProto) -> object:
    """The value of an attribute; of tensors and graphs a hash."""
    match attribute.type:
        case AttributeProto.INT | AttributeProto.FLOAT:
            return get_attribute_value(attribute)
        case AttributeProto.INTS | AttributeProto.FLOATS:
            return list(get_attribute_value(attribute))
        case AttributeProto.STRING:
            return attribute.s.decode("utf-8", "replace")
        case _:
            content = attribute.SerializeToString(deterministic=True)
            return hashlib.sha256(content).hexdigest()
