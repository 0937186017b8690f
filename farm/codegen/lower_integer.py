"""Lowers operators on quantised tensors to integer kernels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from farm.codegen import lower_elementwise as elementwise
from farm.codegen import lower_products as products
from farm.codegen import lower_windows as windows
from farm.codegen.annotate import Annotated
from farm.codegen.forms import Forms
from farm.codegen.fuse import Chain
from farm.codegen.site import Site
from farm.codegen.source import Node

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


LOWERINGS: Mapping[str, Callable[[Site], bool]] = {
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


def lower_integer(node: Node, chain: Chain | None, annotated: Annotated, forms: Forms) -> bool:
    """Append the integer steps of a node; False if there is no integer kernel for it.

    chain: what is computed together with a product.

    Raises ValueError: there is a kernel, but its numbers do not fit the rules of arithmetic; no
    step that matters was appended.
    """
    lowering = LOWERINGS.get(node.op_type)
    if lowering is None or len(node.changing) == 0:
        return False
    results = [chain.product, chain.output] if chain else [v for v in node.outputs if v]
    if node.op_type == "Softmax":
        results = []  # its result may be float
    if not all(v.name in annotated.quantizations for v in (*node.changing, *results)):
        return False
    return lowering(Site(node, chain, annotated, forms))
