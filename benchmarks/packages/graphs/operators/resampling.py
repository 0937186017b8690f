"""Operators that give positions another number."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.packages.graphs.maker import Maker
from benchmarks.packages.graphs.operators.proposal import Proposal

_MODES = ("nearest", "nearest", "linear", "linear", "cubic")
_COORDINATES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
_SCALES = (0.5, 0.6, 0.75, 1.0, 1.5, 1.7, 2.0, 2.3, 3.0)


def resize(maker: Maker, name: str) -> Proposal | None:
    """Resize in any mode, to sizes or by factors; Upsample in the operator sets that have it."""
    shape = maker.values[name].shape
    if len(shape) not in (3, 4):
        return None
    if maker.opset <= 10:
        return _old(maker, name)
    mode = maker.one_of(_MODES)
    attributes: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": maker.one_of(_COORDINATES),
    }
    if mode == "nearest":
        attributes["nearest_mode"] = maker.one_of(_ROUNDINGS)
    if mode != "nearest" and maker.opset >= 18 and maker.chance(0.2):
        attributes["antialias"] = 1
    if mode == "cubic" and maker.chance(0.3):
        attributes["exclude_outside"] = 1
    # Operator sets 11 and 12 want a region in any case.
    region = maker.constant(np.zeros(0, np.float32)) if maker.opset < 13 else ""
    if maker.chance(0.5):
        sizes = [*shape[:2], *(maker.whole(1, 2 * size) for size in shape[2:])]
        unscaled = maker.constant(np.zeros(0, np.float32)) if maker.opset < 13 else ""
        inputs = [name, region, unscaled, maker.constant(sizes)]
    else:
        inputs = [name, region, maker.constant(_scales(maker, len(shape)))]
    return Proposal("Resize", inputs, attributes)


def _old(maker: Maker, name: str) -> Proposal:
    """As in the operator sets 7 to 10, whose only coordinates are asymmetric."""
    scales = _scales(maker, maker.values[name].ndim)
    if maker.opset < 10:
        scales = np.maximum(scales, np.float32(1))  # Upsample makes nothing smaller
    attributes: dict[str, Any] = {"mode": maker.one_of(["nearest", "linear", "linear"])}
    op_type = "Resize" if maker.opset == 10 else "Upsample"
    if maker.opset < 9:
        attributes["scales"] = [float(scale) for scale in scales]
        return Proposal(op_type, [name], attributes)
    return Proposal(op_type, [name, maker.constant(scales)], attributes)


def _scales(maker: Maker, rank: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.array([1, 1, *(maker.one_of(_SCALES) for _ in range(rank - 2))], np.float32)
