"""Operators that give positions another number."""

from __future__ import annotations

from typing import Any

import numpy as np

from .maker import Maker, Proposal


def resize(maker: Maker, name: str) -> Proposal | None:
    """Resize in any mode."""
    shape = maker.values[name].shape
    if len(shape) not in (3, 4):
        return None
    mode = maker.one_of(["nearest", "nearest", "linear", "linear", "cubic"])
    modes = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    attributes: dict[str, Any] = {
        "mode": mode,
        "coordinate_transformation_mode": maker.one_of(modes),
    }
    if mode == "nearest":
        rounding = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        attributes["nearest_mode"] = maker.one_of(rounding)
    if mode != "nearest" and maker.opset >= 18 and maker.chance(0.2):
        attributes["antialias"] = 1
    if mode == "cubic" and maker.chance(0.3):
        attributes["exclude_outside"] = 1
    if maker.chance(0.5):
        sizes = [*shape[:2], *(maker.whole(1, 2 * size) for size in shape[2:])]
        return Proposal("Resize", [name, "", "", maker.constant(sizes)], attributes)
    # Where an axis gets no whole number of elements, ONNX and its Runtime differ on what its last
    # one is.
    exact = [[f for f in (0.5, 1.0, 1.5, 2.0, 3.0) if size * f % 1 == 0] for size in shape[2:]]
    scales = np.array([1, 1, *map(maker.one_of, exact)])
    return Proposal("Resize", [name, "", maker.constant(scales.astype(np.float32))], attributes)
