"""Which operators of a prepared graph each kind of quantisation applies to."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from farm.candidate import DynamicInt8, StaticInt8, WeightOnlyInt4
from farm.errors import CompileError

Quantization = StaticInt8 | DynamicInt8 | WeightOnlyInt4

# What follows a quantised operator stays in integers when all its inputs are, so that the graph
# is not cut by conversions. Alone, these operators gain nothing.
FOLLOWERS = frozenset(
    {
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Flatten",
        "GlobalAveragePool",
        "LeakyRelu",
        "MaxPool",
        "Mul",
        "Pad",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
MATRIX_PRODUCTS = frozenset({"Gemm", "MatMul"})
# The bias of a matrix product is an operator of its own. Added in float it is more exact, and on
# ONNX Runtime's CPU provider faster, than added in integers.
_FLOAT_FROM_HERE = frozenset({"MatMul"})
_WORTHWHILE = 0.1  # of all multiply-accumulates
_ALREADY = ("QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul",
            "ConvInteger", "MatMulInteger", "MatMulNBits", "DynamicQuantizeMatMul")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator that can be quantised.

    macs: multiply-accumulates of one inference; None where a shape is unknown.
    """

    name: str
    op_type: str
    macs: int | None


class Facts:
    """What a graph says about its tensors: shapes, constants, element types."""

    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        values = (*graph.value_info, *graph.input, *graph.output)
        self._types = {value.name: value.type.tensor_type for value in values}

    def shape(self, tensor: str) -> tuple[int, ...] | None:
        """The shape, None if it is unknown."""
        if constant := self.constants.get(tensor):
            return tuple(constant.dims)
        known = self._types.get(tensor)
        if known is None or not known.HasField("shape"):
            return None
        sizes = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in known.shape.dim)
        return None if -1 in sizes else sizes

    def is_float(self, tensor: str) -> bool:
        """Whether the elements are float32."""
        constant, known = self.constants.get(tensor), self._types.get(tensor)
        if constant is not None:
            return bool(constant.data_type == TensorProto.FLOAT)
        return known is not None and bool(known.elem_type == TensorProto.FLOAT)

    def is_weight(self, tensor: str) -> bool:
        """Whether the tensor is a float32 constant."""
        return tensor in self.constants and self.is_float(tensor)


def quantizable(model: onnx.ModelProto, kind: Quantization) -> tuple[Operator, ...]:
    """The operators that a kind of quantisation applies to, in graph order.

    They have weights, but for products of two activations where the kind has these, too.

    model: a prepared graph; keep_float of the kind is not looked at.
    """
    facts = Facts(model)
    return tuple(
        Operator(node.name, node.op_type, _macs(node, facts))
        for node in model.graph.node
        if node.domain in {"", "ai.onnx"} and _applies(node, kind, facts)
    )


def matrix_products(model: onnx.ModelProto) -> tuple[str, ...]:
    """The matrix products that static int8 applies to; () where little of the work is theirs."""
    operators = quantizable(model, StaticInt8(products=True))
    products = [each for each in operators if each.op_type in MATRIX_PRODUCTS]
    done, most = (sum(each.macs or 0 for each in group) for group in (products, operators))
    return tuple(each.name for each in products) if done > _WORTHWHILE * most else ()


def chosen(model: onnx.ModelProto, kind: Quantization) -> tuple[str, ...]:
    """Names of the operators to quantise: all the kind applies to, without those to keep.

    Raises CompileError: nothing to quantise, an unknown name to keep, a model that is quantised.
    """
    if already := sorted({n.op_type for n in model.graph.node if n.op_type in _ALREADY}):
        raise CompileError(
            f"The model is quantised already (it has {', '.join(already)}), so {kind.kind} "
            "cannot be applied to it."
        )
    names = [operator.name for operator in quantizable(model, kind)]
    keep = set(kind.keep_float)
    known = {*names, *(_follower_names(model) if isinstance(kind, StaticInt8) else ())}
    if unknown := sorted(keep - known):
        raise CompileError(
            f"Cannot keep {', '.join(map(repr, unknown))} in float: {kind.kind} applies to no "
            f"operator of that name. It applies to: {', '.join(names) or 'none'}."
        )
    if not (rest := tuple(name for name in names if name not in keep)):
        kept = f" beside the {len(names)} that are kept in float" if names else ""
        raise CompileError(f"The model has no operator that {kind.kind} applies to{kept}.")
    return rest


def with_followers(
    model: onnx.ModelProto,
    names: Collection[str],
    choice: StaticInt8,
    also_kept: Collection[str] = (),
) -> tuple[str, ...]:
    """The named operators and those that only pass their results on, in graph order."""
    facts, start, keep = Facts(model), set(names), {*choice.keep_float, *also_kept}
    ends = MATRIX_PRODUCTS if choice.products else _FLOAT_FROM_HERE
    integers: set[str] = set()
    selected = []
    for node in model.graph.node:
        follows = (
            _is_follower(node) and node.name not in keep and _only_from(node, integers, facts)
        )
        if node.name in start or follows:
            selected.append(node.name)
            if node.op_type not in ends:
                integers.update(node.output)
    return tuple(selected)


def activations(
    model: onnx.ModelProto, names: Collection[str], choice: StaticInt8
) -> tuple[str, ...]:
    """The float32 tensors, not constant, that are quantised with the named operators, once each.

    They enter or leave these; the results of matrix products may stay in float.
    """
    facts, wanted = Facts(model), set(names)
    entered = MATRIX_PRODUCTS if choice.products else ()
    tensors = dict.fromkeys(
        tensor
        for node in model.graph.node
        if node.name in wanted
        for tensor in (*node.input, *(() if node.op_type in entered else node.output))
        if tensor not in facts.constants and facts.is_float(tensor)
    )
    return tuple(tensors)


def is_plain_gemm(node: onnx.NodeProto) -> bool:
    """Whether a Gemm is x W + b without factors; W may be transposed."""
    if node.op_type != "Gemm":
        return False
    values = {a.name: a.f if a.type == onnx.AttributeProto.FLOAT else a.i for a in node.attribute}
    return values.get("alpha", 1) == 1 and values.get("beta", 1) == 1 and not values.get("transA")


def _applies(node: onnx.NodeProto, kind: Quantization, facts: Facts) -> bool:
    if isinstance(kind, StaticInt8) and kind.products and _is_of_activations(node, facts):
        return True
    if len(node.input) < 2 or not facts.is_weight(node.input[1]):
        return False
    if not facts.is_float(node.input[0]) or node.input[0] in facts.constants:
        return False
    flat = len(facts.constants[node.input[1]].dims) == 2
    match kind:
        case StaticInt8():
            if len(node.input) > 2 and node.input[2] and not facts.is_weight(node.input[2]):
                return False
            product = node.op_type in {"Gemm", "MatMul"} and flat
            return product or node.op_type in {"Conv", "ConvTranspose"}
        case DynamicInt8(convolutions=convolutions):
            product = (node.op_type == "MatMul" or is_plain_gemm(node)) and flat
            return product or node.op_type == "LSTM" or (convolutions and node.op_type == "Conv")
        case WeightOnlyInt4():
            return (node.op_type == "MatMul" or is_plain_gemm(node)) and flat


def _is_of_activations(node: onnx.NodeProto, facts: Facts) -> bool:
    """Whether a node is a matrix product of two activations."""
    return node.op_type == "MatMul" and all(
        facts.is_float(name) and name not in facts.constants for name in node.input
    )


def _follower_names(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node if _is_follower(node)]


def _is_follower(node: onnx.NodeProto) -> bool:
    return node.domain in {"", "ai.onnx"} and node.op_type in FOLLOWERS


def _only_from(node: onnx.NodeProto, integers: set[str], facts: Facts) -> bool:
    """Whether an operator has results of quantised operators for all its activations."""
    changing = [t for t in node.input if t and t not in facts.constants and facts.is_float(t)]
    return bool(changing) and integers.issuperset(changing)


def _macs(node: onnx.NodeProto, facts: Facts) -> int | None:
    made, taken = facts.shape(node.output[0]), facts.shape(node.input[0])
    weight = facts.shape(node.input[1]) or ()
    if made is None or taken is None:
        return None
    match node.op_type:
        case "Conv":
            return math.prod(made) * math.prod(weight[1:])
        case "ConvTranspose":
            return math.prod(taken) * math.prod(weight[1:])
        case "LSTM":  # input and recurrent weights, once per step and batch entry
            steps = math.prod(taken[:2])
            recurrent = facts.shape(node.input[2]) or ()
            return steps * (math.prod(weight) + math.prod(recurrent))
        case _:
            return math.prod(made) * _reduced(node, taken)


def _reduced(node: onnx.NodeProto, taken: tuple[int, ...]) -> int:
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return taken[0] if transposed else taken[-1]
