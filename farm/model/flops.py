"""Arithmetic work of one operator, from its attributes and the shapes of its tensors.

A multiply-accumulate (MAC) is two floating point operations; a bias adds one per output element.
Other operators count one operation per element that they produce or, when they reduce, read;
copies count none. It is the algorithm's work, not an engine's: Winograd and the like need less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnx import NodeProto

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


@dataclass(frozen=True, slots=True)
class Work:
    """macs: multiply-accumulates. flops: operations in all, those of the MACs included.

    known: False where shapes are missing or the operator's work depends on data; then it is what
    could be counted, possibly 0.
    """

    macs: int = 0
    flops: int = 0
    known: bool = True


UNKNOWN = Work(known=False)


def count_work(node: NodeProto, shapes: Shapes) -> Work:
    """The work of one operator. shapes: of its tensors, those with an unknown shape left out."""
    if node.op_type in _FREE:
        return Work()
    if node.op_type in _UNCOUNTED:
        return UNKNOWN
    needed = [name for name in (*node.input, *node.output[:1]) if name]
    if not all(name in shapes for name in needed):
        return UNKNOWN
    if macs_of := _MACS.get(node.op_type):
        macs = macs_of(node, shapes)
        if macs is None:
            return UNKNOWN
        bias = math.prod(shapes[node.output[0]]) if _has_bias(node) else 0
        return Work(macs, 2 * macs + bias)
    return Work(0, _elements(node, shapes))


def _convolution(node: NodeProto, shapes: Shapes, weight: int = 1) -> int:
    """Each output element sums C / group x kernel products: W is [M, C / group, *kernel]."""
    return math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[weight]][1:])


def _transposed_convolution(node: NodeProto, shapes: Shapes) -> int:
    """Each input element is spread M / group x kernel times: W is [C, M / group, *kernel]."""
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm(node: NodeProto, shapes: Shapes) -> int:
    inner = shapes[node.input[0]][0 if _integer(node, "transA", 0) else 1]
    return math.prod(shapes[node.output[0]]) * inner


def _matmul(node: NodeProto, shapes: Shapes) -> int:
    left = shapes[node.input[0]]
    inner = left[-2] if _integer(node, "transA", 0) and len(left) > 1 else left[-1]
    return math.prod(shapes[node.output[0]]) * inner


def _recurrent(node: NodeProto, shapes: Shapes) -> int:
    """Per step and sequence, every weight of W [D, G x H, I] and R [D, G x H, H] once."""
    steps_and_batch = math.prod(shapes[node.input[0]][:2])
    return steps_and_batch * sum(math.prod(shapes[node.input[i]]) for i in (1, 2))


def _packed_matmul(node: NodeProto, shapes: Shapes) -> int | None:
    """MatMulNBits: the weight is packed, its columns are the attribute N."""
    columns = _integer(node, "N", 0)
    return math.prod(shapes[node.input[0]]) * columns if columns else None


def _einsum(node: NodeProto, shapes: Shapes) -> int | None:
    """The product of the sizes of all indices; None for equations with an ellipsis."""
    equation = next((a.s.decode() for a in node.attribute if a.name == "equation"), "")
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=False):
        if len(term) != len(shapes[name]) or "." in term:
            return None
        sizes |= zip(term, shapes[name], strict=True)
    return math.prod(sizes.values())


_MACS: Mapping[str, Callable[[NodeProto, Shapes], int | None]] = {
    "Conv": _convolution,
    "FusedConv": _convolution,
    "ConvInteger": _convolution,
    "QLinearConv": lambda node, shapes: _convolution(node, shapes, weight=3),
    "ConvTranspose": _transposed_convolution,
    "Gemm": _gemm,
    "FusedGemm": _gemm,
    "QGemm": _gemm,
    "MatMul": _matmul,
    "FusedMatMul": _matmul,
    "MatMulInteger": _matmul,
    "DynamicQuantizeMatMul": _matmul,
    "MatMulIntegerToFloat": _matmul,
    "QLinearMatMul": _matmul,
    "MatMulNBits": _packed_matmul,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
    "Einsum": _einsum,
}

_BIAS_INPUT = {
    "Conv": 2,
    "FusedConv": 2,
    "ConvTranspose": 2,
    "QLinearConv": 8,
    "Gemm": 2,
    "FusedGemm": 2,
    "QGemm": 6,
}

# Operators that move, reinterpret or look at data without computing on it.
_FREE = frozenset(
    [
        "Cast",
        "CastLike",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "DepthToSpace",
        "Expand",
        "EyeLike",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "NonZero",
        "OneHot",
        "Pad",
        "Reshape",
        "ReverseSequence",
        "ScatterElements",
        "ScatterND",
        "Shape",
        "Size",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "ReorderInput",
        "ReorderOutput",
    ]
)

# Operators with matrix products inside whose sizes depend on caches and head layouts.
_UNCOUNTED = frozenset(
    [
        "Attention",
        "GroupQueryAttention",
        "MultiHeadAttention",
        "DeformConv",
        "If",
        "Loop",
        "Scan",
        "SequenceMap",
    ]
)

# Passes over the elements, where it is not one: e.g. softmax subtracts, exponentiates, sums and
# divides; batch normalisation multiplies and adds.
_PASSES = {
    "Softmax": 4,
    "LogSoftmax": 4,
    "BatchNormalization": 2,
    "InstanceNormalization": 6,
    "LayerNormalization": 6,
    "SkipLayerNormalization": 7,
    "GroupNormalization": 6,
    "RMSNormalization": 4,
    "Gelu": 4,
    "HardSwish": 4,
    "QuantizeLinear": 3,
    "DequantizeLinear": 2,
}


def _elements(node: NodeProto, shapes: Shapes) -> int:
    produced = math.prod(shapes[node.output[0]])
    read = math.prod(shapes[node.input[0]]) if node.input and node.input[0] else produced
    match node.op_type:
        case "MaxPool" | "AveragePool" | "LpPool":
            return produced * math.prod(_integers(node, "kernel_shape"))
        case "Sum" | "Max" | "Min" | "Mean":
            return produced * max(1, len(node.input) - 1)
        case name if name.startswith(("Reduce", "Global", "Arg", "CumSum", "TopK")):
            return read
        case name:
            return produced * _PASSES.get(name, 1)


def _has_bias(node: NodeProto) -> bool:
    index = _BIAS_INPUT.get(node.op_type, len(node.input))
    return len(node.input) > index and bool(node.input[index])


def _integer(node: NodeProto, name: str, default: int) -> int:
    return next((a.i for a in node.attribute if a.name == name), default)


def _integers(node: NodeProto, name: str) -> list[int]:
    return next((list(a.ints) for a in node.attribute if a.name == name), [])
