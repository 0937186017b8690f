"""Operands of matrix products in integers that stand for zero by 0, as OpenVINO multiplies them.

A product of two activations it computes in int8 only where neither of them has another zero
point, and in a product with weights it has to correct the sums for one. Half of the integers are
lost for operands that are hardly ever negative; what is never negative has all of them as u8.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import onnx

from farm.compile.operators import MATRIX_PRODUCTS
from farm.compile.quantization.calibrate import Calibration, Range


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


def mirrored(calibration: Calibration, tensors: Collection[str]) -> Calibration:
    """The ranges, with those of some tensors as wide below zero as above."""
    wide = {name: _mirrored(calibration.ranges[name]) for name in tensors}
    return replace(calibration, ranges={**calibration.ranges, **wide})


def _mirrored(found: Range) -> Range:
    end = max(-found.lowest, found.highest)
    return Range(-end, end, 2 * end - found.spread)
