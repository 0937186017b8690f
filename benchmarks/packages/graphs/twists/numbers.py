"""Twists with numbers and outputs: what models out of the wild compute and random growth does not.

Each takes a graph that has grown, adds its part, and says what to feed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

from benchmarks.packages.graphs.maker import Maker
from benchmarks.packages.graphs.operators import resampling
from benchmarks.packages.graphs.operators.proposal import Array, Proposal

Feeder = Callable[[np.random.Generator, int, Sequence[int]], Array]
"""Makes an input of a shape. Its second argument is the number of the sample."""


@dataclass(frozen=True, slots=True)
class Built:
    """A model.

    feeder: None for normal inputs. beyond: for inputs that no calibration sees, None for none.
    sizes: of its dynamic dimensions.
    """

    model: onnx.ModelProto
    feeder: Feeder | None = None
    beyond: Feeder | None = None
    sizes: Mapping[str, int] = field(default_factory=dict)


def read_output(maker: Maker) -> Built:
    """An output that the last operator reads, which could work in its place."""
    name = maker.tensor()
    maker.kept.add(name)
    follower = maker.one_of(["Neg", "Relu", "Sigmoid", "Add"])
    inputs = [name, maker.constant(0.5)] if follower == "Add" else [name]
    maker.add(Proposal(follower, inputs), moderate=False)
    return Built(maker.model())


def passed_through(maker: Maker) -> Built:
    """An output that is an input."""
    maker.kept.add(maker.one_of(maker.inputs))
    return Built(maker.model())


def viewed_output(maker: Maker) -> Built:
    """Outputs that only look at what was computed."""
    for name in maker.unread():
        shape = maker.values[name].shape
        whole = maker.constant([math.prod(shape)])
        view = maker.one_of(["Identity", "Identity", "Reshape", "Flatten"])
        maker.add(Proposal(view, [name, whole] if view == "Reshape" else [name]), moderate=False)
    return Built(maker.model())


def two_scales(maker: Maker) -> Built:
    """A tensor that is quantised twice, with different scales; the result is quantised, too."""
    name = maker.tensor()
    if maker.chance(0.7) and maker.add(Proposal("Relu", [name])):
        name = maker.last
    largest = float(abs(maker.values[name]).max())
    first = _pair(maker, name, largest / 3)
    second = _pair(maker, name, largest)
    names = [first, second] if maker.chance(0.5) else [second, first]
    op_type = maker.one_of(["Sub", "Add", "Mul", "Concat"])
    maker.add(Proposal(op_type, names, {"axis": 0} if op_type == "Concat" else {}), moderate=False)
    result = maker.last
    _pair(maker, result, float(abs(maker.values[result]).max()))
    return Built(maker.model())


def long_sum(maker: Maker) -> Built:
    """A product of so many inputs that a sum of 32 bits overflows where all are large."""
    depth = maker.whole(67_500, 80_000)
    fresh = Maker(maker.random, max(maker.opset, 11))
    name = fresh.add_input((1, depth))
    sign = np.array(fresh.one_of([[1, 1], [1, -1]]))
    even = sign * (1 - 0.02 * np.abs(fresh.normal((depth, 2))).clip(0, 1)) / depth
    weights = even.astype(np.float32)
    matrix = fresh.constant(weights)
    if fresh.chance(0.5):
        fresh.add(Proposal("Gemm", [name, matrix]), moderate=False)
    else:
        fresh.add(Proposal("MatMul", [name, matrix]), moderate=False)
    return Built(fresh.model(), _steep, _largest)


def not_a_number(maker: Maker) -> Built:
    """An output that has no value for some inputs, or for all."""
    name = maker.tensor()
    kind = maker.one_of(["root", "division", "log", "infinite"])
    if kind == "division":
        maker.add(Proposal("Relu", [name]))
        maker.add(Proposal("Div", [maker.last, maker.last]), moderate=False)
    elif kind == "infinite":
        maker.add(Proposal("Exp", [_scaled(maker, name, 1000.0)]), moderate=False)
    else:
        if maker.chance(0.4):  # no value at all
            maker.add(Proposal("Abs", [name]))
            name = _shifted(maker, _scaled(maker, maker.last, -1.0), -0.1)
        maker.add(Proposal("Sqrt" if kind == "root" else "Log", [name]), moderate=False)
    if maker.chance(0.4):
        maker.add(Proposal(maker.one_of(["Relu", "Neg", "Sigmoid"]), [maker.last]), moderate=False)
    return Built(maker.model())


def unlike_scales(maker: Maker) -> Built:
    """Boxes in pixels and scores of at most 1 in one output, as detectors give them."""
    name = maker.tensor()
    maker.add(Proposal("Sigmoid", [name]), moderate=False)
    boxes = _scaled(maker, maker.last, float(maker.one_of([320.0, 640.0, 1280.0])))
    maker.add(Proposal("Sigmoid", [_shifted(maker, name, -2.0)]), moderate=False)
    axis = min(1, maker.values[name].ndim - 1)
    if axis >= 0:
        maker.add(Proposal("Concat", [boxes, maker.last], {"axis": axis}), moderate=False)
    return Built(maker.model())


def masked(maker: Maker) -> Built:
    """Attention scores with a mask of very negative numbers, and their Softmax."""
    name = maker.add_input((1, maker.one_of([1, 4]), maker.whole(4, 16)))
    depth = maker.values[name].shape[-1]
    if maker.chance(0.5):
        weights = maker.constant(maker.normal((depth, depth), 1.5 * depth**-0.5))
        maker.add(Proposal("MatMul", [name, weights]), moderate=False)
        name = maker.last
    mask = np.zeros((1, 1, depth), np.float32)
    lowest = float(np.finfo(np.float32).min)
    mask[..., maker.whole(2, depth - 1) :] = maker.one_of([lowest, lowest, -1e9, -1e4, -np.inf])
    given = [name, maker.constant(mask)]
    maker.add(Proposal("Add", given if maker.chance(0.7) else given[::-1]), moderate=False)
    maker.add(Proposal("Softmax", [maker.last], {"axis": 2}), moderate=False)
    return Built(maker.model())


def far_from_zero(maker: Maker) -> Built:
    """A regression whose results are far from 0 and near each other."""
    name = maker.tensor()
    while maker.values[name].ndim != 2:
        if not maker.add(Proposal("Flatten", [name]), moderate=False):
            return Built(maker.model())
        name = maker.last
    rows = maker.values[name].shape[1]
    weights = maker.constant(maker.normal((rows, maker.one_of([1, 1, 3])), rows**-0.5))
    maker.add(Proposal("MatMul", [name, weights]), moderate=False)
    _shifted(maker, maker.last, float(maker.one_of([200.0, 1000.0, -5000.0])))
    return Built(maker.model())


def resized(maker: Maker) -> Built:
    """A Resize or Upsample of any operator set, by whole and other factors."""
    fresh = Maker(maker.random, maker.one_of([7, 8, 9, 10, 10, 11, maker.opset, maker.opset]))
    positions = [maker.whole(3, 9) for _ in range(maker.one_of([1, 2, 2]))]
    name = fresh.add_input((1, maker.whole(1, 5), *positions))
    if fresh.chance(0.5):
        form = (4, fresh.values[name].shape[1], *(1 for _ in positions))
        fresh.add(Proposal("Conv", [name, fresh.constant(fresh.normal(form))]))
        name = fresh.last
    for _ in range(20):
        if (proposal := resampling.resize(fresh, name)) and fresh.add(proposal):
            break
    return Built(fresh.model())


def _steep(random: np.random.Generator, _index: int, shape: Sequence[int]) -> Array:
    """Few large numbers, the largest 1."""
    return np.asarray(random.uniform(0, 1, shape) ** 8)


def _largest(_random: np.random.Generator, _index: int, shape: Sequence[int]) -> Array:
    """All numbers as large as those of ``_steep`` get."""
    return np.ones(shape)


def _pair(maker: Maker, name: str, largest: float) -> str:
    """A tensor with its elements rounded to 8 bits up to a largest magnitude."""
    signed = bool(maker.values[name].min() < 0)
    scale = maker.constant(largest / (127 if signed else 255))
    zero = maker.constant(np.array(0, np.int8 if signed else np.uint8))
    maker.add(Proposal("QuantizeLinear", [name, scale, zero]), moderate=False)
    maker.add(Proposal("DequantizeLinear", [maker.last, scale, zero]), moderate=False)
    return maker.last


def _scaled(maker: Maker, name: str, factor: float) -> str:
    maker.add(Proposal("Mul", [name, maker.constant(factor)]), moderate=False)
    return maker.last


def _shifted(maker: Maker, name: str, offset: float) -> str:
    maker.add(Proposal("Add", [name, maker.constant(offset)]), moderate=False)
    return maker.last


TWISTS: Mapping[str, Callable[[Maker], Built]] = {
    "an output that is read": read_output,
    "an input as an output": passed_through,
    "views before outputs": viewed_output,
    "quantised twice": two_scales,
    "a long sum": long_sum,
    "not a number": not_a_number,
    "scales unlike each other": unlike_scales,
    "a mask": masked,
    "far from zero": far_from_zero,
    "resized": resized,
}
