"""Where the outputs of Resize and Upsample come from: coordinates, neighbours, weights.

Formulas are those of ONNX's operator documentation, read and rounded as ONNX Runtime does it:
coordinates are float32, a length is a whole number of outputs even where a scale is a fraction,
and a result of the input's shape is a copy. Interpolation is separable: every axis has its own
coordinates and weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farm.codegen.front.source import Node, UnsupportedOperator
from farm.codegen.ops.floats.resample import Taps

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
_TIE = 1e-6  # coordinates as near to a half are one: scales are rounded


@dataclass(frozen=True, slots=True, eq=False)
class ResizedAxis:
    """One axis that a Resize changes.

    scale: outputs for each input. coordinates: float64 [outputs], where each lies among the
    inputs. extrapolated: bool [outputs], those that get a constant instead.
    """

    axis: int
    inputs: int
    scale: float
    coordinates: Floats
    extrapolated: NDArray[np.bool_]


def resized_axes(
    node: Node, inputs: Sequence[int], outputs: Sequence[int]
) -> tuple[ResizedAxis, ...]:
    """All axes that change, the first one first. inputs, outputs: shapes.

    Raises UnsupportedOperator: a mode that is not known, parameters that are no constants.
    """
    rank = len(inputs)
    if tuple(inputs) == tuple(outputs):
        return ()
    axes = [int(axis) % rank for axis in node.attributes.get("axes", range(rank))]
    scales = dict(zip(axes, _scales(node, axes, inputs, outputs), strict=True))
    regions = _regions(node, axes)
    found = []
    for axis in sorted(axes):
        scale, region = scales[axis], regions.get(axis, (0.0, 1.0))
        if inputs[axis] == outputs[axis] and (scale == 1 or node.attributes.get("antialias", 0)):
            continue
        spot = _Spot(*map(np.float32, (inputs[axis], outputs[axis], scale, *region)))
        coordinates = _coordinates(node, spot)
        outside = (coordinates < 0) | (coordinates > inputs[axis] - 1)
        outside &= _mode(node) == "tf_crop_and_resize"
        found.append(ResizedAxis(axis, inputs[axis], scale, coordinates, outside))
    return tuple(found)


def nearest_places(node: Node, axis: ResizedAxis) -> NDArray[np.int64]:
    """The input that each output is, by the node's ``nearest_mode``."""
    mode = node.attributes.get("nearest_mode", "round_prefer_floor")
    if node.opset < 11:  # there was no such attribute; this is what ONNX Runtime does
        mode = "ceil" if axis.scale < 1 else "floor"
    if mode not in _ROUNDED:
        raise UnsupportedOperator(node, f"its nearest_mode is {mode}")
    places: NDArray[np.int64] = np.clip(_ROUNDED[mode](axis.coordinates), 0, axis.inputs - 1)
    return places.astype(np.int64)


def interpolation_taps(node: Node, axis: ResizedAxis) -> Taps:
    """What each output is made of when the node's mode is linear or cubic."""
    is_cubic = node.attributes.get("mode") == "cubic"
    narrow = min(axis.scale, 1.0) if node.attributes.get("antialias", 0) else 1.0
    first = math.floor(-(2 if is_cubic else 1) / narrow) + 1
    steps = np.arange(first, 2 - first)
    left = np.ceil(axis.coordinates) - 1  # a neighbour that is hit exactly is the right one
    distances = narrow * (steps - (axis.coordinates - left)[:, None])
    coefficient = float(node.attributes.get("cubic_coeff_a", -0.75))
    weights = _cubic(distances, coefficient) if is_cubic else np.maximum(1 - abs(distances), 0)
    places = left[:, None].astype(np.int64) + steps
    if node.attributes.get("exclude_outside", 0):
        weights = np.where((places < 0) | (places >= axis.inputs), 0.0, weights)
    weights = weights / weights.sum(1, keepdims=True)
    weights[axis.extrapolated] = 0.0
    extrapolation = float(node.attributes.get("extrapolation_value", 0.0))
    return Taps(
        np.clip(places, 0, axis.inputs - 1).astype(np.int32),
        weights.astype(np.float32),
        np.where(axis.extrapolated, extrapolation, 0.0).astype(np.float32),
    )


@dataclass(frozen=True, slots=True)
class _Spot:
    """What coordinates along an axis depend on. start, end: the region of interest, 0..1."""

    inputs: np.float32
    outputs: np.float32
    scale: np.float32
    start: np.float32
    end: np.float32


def _mode(node: Node) -> str:
    default = "half_pixel" if node.opset >= 11 else "asymmetric"
    return str(node.attributes.get("coordinate_transformation_mode", default))


def _coordinates(node: Node, spot: _Spot) -> Floats:
    mode = _mode(node)
    if mode not in _COORDINATES:
        raise UnsupportedOperator(node, f"its coordinate_transformation_mode is {mode}")
    found = _COORDINATES[mode](np.arange(spot.outputs, dtype=np.float32), spot)
    assert found.dtype == np.float32
    return found.astype(np.float64)


def _scales(
    node: Node, axes: Sequence[int], inputs: Sequence[int], outputs: Sequence[int]
) -> list[float]:
    """Scales of the axes: as they are given, or from the sizes that are given."""
    position = 2 if node.opset >= 11 else 1
    given = node.attributes.get("scales")
    if given is None:
        given = node.constant(position)
    if given is not None and len(given) > 0:
        return [float(scale) for scale in given]
    sizes = node.constant(3)
    if sizes is None:
        raise UnsupportedOperator(node, "it has neither scales nor sizes")
    policy = node.attributes.get("keep_aspect_ratio_policy", "stretch")
    ratios = [int(size) / inputs[axis] for size, axis in zip(sizes, axes, strict=True)]
    if policy == "stretch":
        return [outputs[axis] / inputs[axis] for axis in axes]
    return [min(ratios) if policy == "not_larger" else max(ratios)] * len(axes)


def _regions(node: Node, axes: Sequence[int]) -> dict[int, tuple[float, float]]:
    """The region of interest of each axis, where the mode has one."""
    if _mode(node) != "tf_crop_and_resize":
        return {}
    given = node.constant(1)
    if given is None or len(given) != 2 * len(axes):
        raise UnsupportedOperator(node, "it has no region of interest for each axis")
    starts, ends = given[: len(axes)], given[len(axes) :]
    parts = zip(axes, starts, ends, strict=True)
    return {axis: (float(start), float(end)) for axis, start, end in parts}


_HALF, _ONE = np.float32(0.5), np.float32(1)


def _half_pixel(y: Singles, spot: _Spot) -> Singles:
    return (y + _HALF) / spot.scale - _HALF


def _pytorch_half_pixel(y: Singles, spot: _Spot) -> Singles:
    return _half_pixel(y, spot) if spot.outputs > 1 else np.zeros_like(y)


def _half_pixel_symmetric(y: Singles, spot: _Spot) -> Singles:
    adjustment = spot.outputs / (spot.scale * spot.inputs)
    return spot.inputs / 2 * (_ONE - adjustment) + _half_pixel(y, spot)


def _align_corners(y: Singles, spot: _Spot) -> Singles:
    if spot.outputs == 1:
        return np.zeros_like(y)
    return y * (spot.inputs - _ONE) / (spot.outputs - _ONE)


def _asymmetric(y: Singles, spot: _Spot) -> Singles:
    return y / spot.scale


def _tf_half_pixel(y: Singles, spot: _Spot) -> Singles:
    return (y + _HALF) / spot.scale


def _tf_crop_and_resize(y: Singles, spot: _Spot) -> Singles:
    last = spot.inputs - _ONE
    if spot.outputs == 1:
        return np.full_like(y, _HALF * (spot.start + spot.end) * last)
    return spot.start * last + y * (spot.end - spot.start) * last / (spot.outputs - _ONE)


def _cubic(distances: Floats, a: float) -> Floats:
    """Keys' cubic convolution kernel; a: its slope at a distance of 1."""
    x = np.abs(distances)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


_COORDINATES: Mapping[str, Callable[[Singles, _Spot], Singles]] = {
    "align_corners": _align_corners,
    "asymmetric": _asymmetric,
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _half_pixel_symmetric,
    "pytorch_half_pixel": _pytorch_half_pixel,
    "tf_crop_and_resize": _tf_crop_and_resize,
    "tf_half_pixel_for_nn": _tf_half_pixel,
}
_ROUNDED: Mapping[str, Callable[[Floats], Floats]] = {
    "ceil": np.ceil,
    "floor": np.floor,
    "round_prefer_ceil": lambda x: np.floor(x + 0.5 + _TIE),
    "round_prefer_floor": lambda x: np.ceil(x - 0.5 - _TIE),
}
