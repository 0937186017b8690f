"""Lowers operators on quantised tensors to integer kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from farm.codegen.front.annotate import Annotated
from farm.codegen.front.fuse import Chain
from farm.codegen.front.source import Node
from farm.codegen.lower.floats.operators import FLOAT_OPERATORS
from farm.codegen.lower.integer import elementwise, products, windows
from farm.codegen.lower.site import NoIntegerKernel, Site

UNARY = frozenset(
    {
        "Abs",
        "Celu",
        "Clip",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Mish",
        "Neg",
        "Relu",
        "Selu",
        "Sigmoid",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Tanh",
        "ThresholdedRelu",
    }
)
"""Functions of one value: in u8 they are tables of 256 results."""


LOWERINGS: Mapping[str, Callable[[Site], None]] = {
    **dict.fromkeys(UNARY, elementwise.table),
    "Add": elementwise.addition,
    "AveragePool": windows.average_pool,
    "BatchNormalization": products.batch_normalization,
    "Conv": products.convolution,
    "Div": elementwise.division,
    "Gemm": products.gemm,
    "GlobalAveragePool": windows.global_average_pool,
    "MatMul": products.matmul,
    "MaxPool": windows.max_pool,
    "Mul": elementwise.product,
    "PRelu": elementwise.prelu,
    "ReduceMean": windows.reduce_mean,
    "Resize": windows.resize,
    "Softmax": windows.softmax,
    "Sub": elementwise.subtraction,
}
"""How each operator is lowered to integers."""


ONLY_INTEGER = frozenset(LOWERINGS) - frozenset(FLOAT_OPERATORS)
"""Operators that are computed in integers or not at all."""


def is_quantized(node: Node, chain: Chain | None, annotated: Annotated) -> bool:
    """Whether all that a node reads and writes is kept as integers."""
    results = [chain.product, chain.output] if chain else [v for v in node.outputs if v]
    if node.op_type == "Softmax":
        results = []  # its result may be float
    tensors = (*node.changing, *results)
    return bool(node.changing) and all(v.name in annotated.quantizations for v in tensors)


def lower_integer(site: Site) -> None:
    """Append the integer steps of a node whose tensors are quantised.

    Raises ValueError: there is no integer kernel for it, or its numbers do not fit the rules of
    arithmetic; no step that matters was appended.
    """
    lowering = LOWERINGS.get(site.node.op_type)
    if lowering is None:
        raise NoIntegerKernel(f"{site.node.op_type} has no integer kernel")
    lowering(site)
