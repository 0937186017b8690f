"""Kernels that only convert: between formats, layouts, integers and floats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tuner.explain.explanation import Conversion, Side, TimedKernel
from tuner.runs.record.operators import ModelOperator

QUANTISING = frozenset({"QuantizeLinear", "DynamicQuantizeLinear", "quantize"})
DEQUANTISING = frozenset({"DequantizeLinear", "dequantize"})
_CONVERTING = (
    QUANTISING
    | DEQUANTISING
    | {"Cast", "Convert", "Reorder", "ReorderInput", "ReorderOutput", "Transpose"}
    | {"blocks_from_rows", "blocks_from_triples", "relayout"}  # of compiled packages
)
_ALSO_OPERATORS = frozenset({"Cast", "Convert", "Transpose"})  # of many models
_IN_ONNX = {"Convert": "Cast"}

Operators = Mapping[str, ModelOperator]


def is_conversion(kernel: TimedKernel, operators: Operators) -> bool:
    """Whether a kernel stands for no operator of the model, though it belongs to some.

    Where the operators' types are unknown, what could be an operator counts as one.
    """
    if kernel.kind not in _CONVERTING:
        return False
    if not operators:
        return kernel.kind not in _ALSO_OPERATORS
    types = {operators[name].op_type for name in kernel.operators if name in operators}
    return _IN_ONNX.get(kernel.kind, kernel.kind) not in types


def conversions(side: Side, operators: Operators) -> Iterator[Conversion]:
    """The kernels of a trial that only convert, in the order in which they run."""
    for kernel in side.kernels:
        if is_conversion(kernel, operators):
            share = side.share(kernel.seconds)
            yield Conversion(kernel.name, kernel.kind, kernel.operators, kernel.seconds, share)
