"""Families of operators: those whose kernels spend their time in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from onnx import NodeProto

from farm.model.graph import Tensor


class Family(StrEnum):
    """What a kernel of an engine is like, as far as its speed goes.

    view: it looks at the same elements under another shape. conversion: to another number format.
    other: what no family is known for.
    """

    CONVOLUTION = "convolution"
    POINTWISE = "pointwise"
    DEPTHWISE = "depthwise"
    PRODUCT = "product"
    RECURRENT = "recurrent"
    POOL = "pool"
    REDUCTION = "reduction"
    NORMALISATION = "normalisation"
    ELEMENTWISE = "elementwise"
    MOVEMENT = "movement"
    CONVERSION = "conversion"
    REORDER = "reorder"
    VIEW = "view"
    OTHER = "other"


CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "FusedConv", "ConvInteger", "QLinearConv"})
"""Types of operators that slide weights over their input."""
_BY_WEIGHTS = CONVOLUTIONS - {"ConvTranspose"}  # [M, C / group, *kernel]
_TYPES: Mapping[Family, tuple[str, ...]] = {
    Family.PRODUCT: ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "MatMulNBits", "Einsum"),
    Family.RECURRENT: ("LSTM", "GRU", "RNN"),
    Family.POOL: ("MaxPool", "AveragePool", "LpPool"),
    Family.NORMALISATION: (
        "Softmax",
        "LogSoftmax",
        "LayerNormalization",
        "InstanceNormalization",
        "GroupNormalization",
        "RMSNormalization",
        "LpNormalization",
        "LRN",
    ),
    Family.MOVEMENT: (
        "Concat",
        "DepthToSpace",
        "Expand",
        "Gather",
        "GatherElements",
        "GatherND",
        "Pad",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Tile",
        "Transpose",
    ),
    Family.CONVERSION: ("Cast", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"),
    Family.VIEW: ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape"),
    Family.ELEMENTWISE: (
        "Abs", "Add", "And", "BatchNormalization", "Ceil", "Celu", "Clip", "Cos", "Div", "Elu",
        "Equal", "Erf", "Exp", "Floor", "Gelu", "Greater", "GreaterOrEqual", "HardSigmoid",
        "HardSwish", "LeakyRelu", "Less", "LessOrEqual", "Log", "Max", "Mean", "Min", "Mish",
        "Mod", "Mul", "Neg", "Not", "Or", "PRelu", "Pow", "Reciprocal", "Relu", "Round", "Selu",
        "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Sqrt", "Sub", "Sum", "Tanh",
        "ThresholdedRelu", "Where", "Xor",
    ),
}  # fmt: skip
_OF_TYPE: Mapping[str, Family] = {
    name: family for family, names in _TYPES.items() for name in names
}
_REDUCING = ("Reduce", "Global", "Arg")


def family_of(node: NodeProto, tensors: Mapping[str, Tensor]) -> Family:
    """The family of an operator. tensors: of its graph; a shape that is unknown is none."""
    if node.op_type in _BY_WEIGHTS:
        return _convolution(node, tensors)
    return family_of_type(node.op_type)


def family_of_type(op_type: str) -> Family:
    """The family of operators of a type; of convolutions the one of most."""
    if op_type in CONVOLUTIONS:
        return Family.CONVOLUTION
    if op_type.startswith(_REDUCING):
        return Family.REDUCTION
    return _OF_TYPE.get(op_type, Family.OTHER)


def weight_of(op_type: str) -> int:
    """Which input of a convolution its weights are."""
    return 3 if op_type == "QLinearConv" else 1


def _convolution(node: NodeProto, tensors: Mapping[str, Tensor]) -> Family:
    """By its weights [M, C / group, *kernel]."""
    weight = node.input[weight_of(node.op_type)]
    shape = tensors[weight].shape if weight in tensors else None
    if shape is None:
        return Family.CONVOLUTION
    groups = next((a.i for a in node.attribute if a.name == "group"), 1)
    if groups > 1 and shape[1] == 1:
        return Family.DEPTHWISE
    return Family.POINTWISE if set(shape[2:]) == {1} else Family.CONVOLUTION
