"""Convolutions and matrix products, and what is computed together with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper

from benchmarks.packages.graphs.maker import Maker, divisors, random_window
from benchmarks.packages.graphs.operators.elementwise import clip
from benchmarks.packages.graphs.operators.proposal import Proposal


def conv(maker: Maker, name: str) -> Proposal | None:
    """A convolution: plain, depthwise, or in groups."""
    shape = maker.values[name].shape
    if len(shape) not in (3, 4):
        return None
    channels = shape[1]
    groups = maker.one_of([1, 1, 1, channels, channels, *divisors(channels)])
    outputs = groups * maker.one_of([1, 1, 2, 3, 4] if groups > 1 else [1, 2, 4, 5, 8, 16, 19])
    window = random_window(maker, shape[2:], with_auto=True)
    if maker.chance(0.3):  # what a residual connection goes around
        groups, outputs = maker.one_of([(1, channels), (channels, channels)])
        window = {"kernel_shape": [3] * (len(shape) - 2), "auto_pad": "SAME_UPPER"}
    form = (outputs, channels // groups, *window["kernel_shape"])
    return Proposal("Conv", [name, *_parameters(maker, form)], {**window, "group": groups})


def _parameters(maker: Maker, form: Sequence[int]) -> list[str]:
    """Weights of a convolution, and perhaps a bias."""
    weights = maker.constant(maker.normal(form, math.prod(form[1:]) ** -0.5))
    if maker.chance(0.4):
        return [weights]
    return [weights, maker.constant(maker.normal(form[:1], 0.3))]


def sibling(maker: Maker, _name: str) -> Proposal | None:
    """A convolution that reads what another one reads, in the same way."""
    others = [node for node in maker.nodes if node.op_type == "Conv"]
    if not others:
        return None
    other = maker.one_of(others)
    attributes = {each.name: helper.get_attribute_value(each) for each in other.attribute}
    outputs, *rest = maker.constants[other.input[1]].shape
    if attributes["group"] == 1:
        outputs = maker.one_of([4, 8, 12, outputs])
    return Proposal("Conv", [other.input[0], *_parameters(maker, (outputs, *rest))], attributes)


def follower(maker: Maker, name: str) -> Proposal | None:
    """What is computed together with a product: a bias, limits, a residual connection."""
    value = maker.values[name]
    others = [each for each in maker.others(lambda v: v.shape == value.shape) if each != name]
    kind = maker.one_of(["bias", "limits", "limits", "residual", "residual"])
    if kind == "limits":
        return Proposal("Relu", [name]) if maker.chance(0.5) else clip(maker, name)
    if kind == "residual":
        return Proposal("Add", [name, maker.one_of(others)]) if others else None
    axis = 1 if value.ndim > 2 else value.ndim - 1
    form = [size if i == axis else 1 for i, size in enumerate(value.shape)]
    return Proposal("Add", [name, maker.constant(maker.normal(form, 0.3))])


def gemm(maker: Maker, name: str) -> Proposal | None:
    """Gemm with all that its attributes allow."""
    shape = maker.values[name].shape
    if len(shape) != 2:
        return None
    attributes: dict[str, Any] = {}
    for flag in ("transA", "transB"):
        if maker.chance(0.3 if flag == "transA" else 0.5):
            attributes[flag] = 1
    for factor in ("alpha", "beta"):
        if maker.chance(0.25):
            attributes[factor] = maker.one_of([0.5, 2.0, -1.0, 0.3])
    rows, depth = shape[::-1] if "transA" in attributes else shape
    columns = maker.one_of([1, 3, 4, 10, 16, 33, 40])
    weights = maker.normal((columns, depth) if "transB" in attributes else (depth, columns))
    matrix = maker.constant(weights * np.float32(depth**-0.5))
    there = maker.others(lambda value: value.shape == weights.shape)
    inputs = [name, maker.one_of(there) if there and maker.chance(0.5) else matrix]
    if maker.chance(0.6):
        form = maker.one_of([(columns,), (1, columns), (rows, columns), (1,), (rows, 1), ()])
        inputs.append(maker.constant(maker.normal(form, 0.5)))
    return Proposal("Gemm", inputs, attributes)


def matmul(maker: Maker, name: str) -> Proposal | None:
    """MatMul of a tensor with a constant or with another tensor."""
    shape = maker.values[name].shape
    if not shape:
        return None
    if maker.chance(0.3):
        fitting = [
            other
            for other in maker.others(lambda value: value.ndim > 0)
            if _matches(shape, maker.values[other].shape)
        ]
        if fitting:
            return Proposal("MatMul", [name, maker.one_of(fitting)])
    depth = shape[-1]
    columns = maker.one_of([1, 3, 4, 8, 10, 17, 33])
    form = maker.one_of(
        [(depth, columns)] * 5 + [(depth,), (1, depth, columns), (2, depth, columns)]
    )
    if maker.chance(0.1) and len(shape) > 1:
        matrix = maker.constant(maker.normal((columns, shape[-2]), shape[-2] ** -0.5))
        return Proposal("MatMul", [matrix, name])
    return Proposal("MatMul", [name, maker.constant(maker.normal(form, depth**-0.5))])


def _matches(left: Sequence[int], right: Sequence[int]) -> bool:
    return left[-1] == (right[-2] if len(right) > 1 else right[0])
