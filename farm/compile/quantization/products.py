"""Operands of matrix products in integers that stand for zero by 0, as OpenVINO multiplies them.

A product of two activations it computes in int8 only where neither of them has another zero
point, and in a product with weights it has to correct the sums for one. Half of the integers are
lost for operands that are hardly ever negative; what is never negative has all of them as u8.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import onnx

from farm.compile.operators import MATRIX_PRODUCTS, Facts
from farm.compile.quantization.calibrate import Calibration, Range

_COMBINING = frozenset({"Add", "Div", "Max", "Min", "Mul", "Pow", "Sub"})
_PASSING = frozenset({"Clip", "Dropout", "Identity", "Relu", "Reshape", "Squeeze", "Unsqueeze"})


def signed_operands(
    model: onnx.ModelProto, operators: Collection[str], calibration: Calibration
) -> tuple[str, ...]:
    """The operands of the named matrix products that may be negative, once each.

    What another named operator reads, too, stays u8: convolutions are made for that.
    """
    taken: dict[bool, dict[str, None]] = {True: {}, False: {}}
    for node in model.graph.node:
        if node.name in operators:
            taken[node.op_type in MATRIX_PRODUCTS] |= dict.fromkeys(node.input)
    return tuple(
        name
        for name in taken[True]
        if name not in taken[False]
        and name in calibration.ranges
        and calibration.ranges[name].lowest < 0
    )


def combined_with_rows(model: onnx.ModelProto) -> dict[str, str]:
    """Products of two activations that must stay in float, by name, with the reason.

    Their results are combined with one row for all rows, most often by adding a mask. OpenVINO
    2026.4 fuses that into the integer product, and on processors with AMX it comes out wrong.
    """
    reason = "OpenVINO's integer kernels are wrong where one row is added to all of a product"
    products = (node for node in model.graph.node if node.op_type == "MatMul")
    return {node.name: reason for node in products if _meets_row(model, node)}


def mirrored(calibration: Calibration, tensors: Collection[str]) -> Calibration:
    """The ranges, with those of some tensors as wide below zero as above."""
    wide = {name: _mirrored(calibration.ranges[name]) for name in tensors}
    return replace(calibration, ranges={**calibration.ranges, **wide})


def _meets_row(model: onnx.ModelProto, product: onnx.NodeProto) -> bool:
    facts = Facts(model)
    if any(name in facts.constants for name in product.input):
        return False
    results = set(product.output)
    for node in model.graph.node:  # in topological order
        if results.isdisjoint(node.input):
            continue
        others = (facts.shape(name) for name in node.input if name not in results)
        if node.op_type in _COMBINING and any(map(_is_row, others)):
            return True
        if node.op_type in _COMBINING | _PASSING:
            results.update(node.output)
    return False


def _is_row(shape: tuple[int, ...] | None) -> bool:
    return shape is not None and shape[-1:] > (1,) and shape[-2:-1] in {(), (1,)}


def _mirrored(found: Range) -> Range:
    end = max(-found.lowest, found.highest)
    return Range(-end, end, 2 * end - found.spread)
