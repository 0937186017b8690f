"""Lowers what is computed over whole axes of float tensors: means, sums, normalised rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import groupby

import numpy as np

from farm.codegen.front.source import Node, UnsupportedOperator
from farm.codegen.ops.floats.norm import FloatLayerNorm
from farm.codegen.ops.floats.reduce import FloatReduce, FloatSoftmax, Reduction
from farm.codegen.program import Array, Step, Tensor, View

Tensors = tuple[Tensor, ...]

_AXES_INPUT = {"ReduceMean": 18, "ReduceSum": 13}
"""The operator set since which the axes are an input."""


def lower_softmax(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """Powers of e, divided by their sum."""
    rank = len(inputs[0].shape)
    axis = int(node.attributes.get("axis", -1 if node.opset >= 13 else 1)) % rank
    # Before operator set 13 the axis and all that follow it were one.
    yield FloatSoftmax(inputs, outputs, axis, axis + 1 if node.opset >= 13 else rank)


def lower_global_pool(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """The mean or the largest element of all positions."""
    function = Reduction.MEAN if node.op_type == "GlobalAveragePool" else Reduction.MAX
    yield FloatReduce(inputs, outputs, 2, len(inputs[0].shape), function)


def lower_reduction(
    function: Reduction,
) -> Callable[[Node, Tensors, Tensors], Iterator[Step]]:
    """One step for each group of neighbouring axes, the last group first."""

    def lowering(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
        x, y = inputs[0], outputs[0]
        axes = _reduced_axes(node, len(x.shape))
        if y.size and not all(x.shape[axis] for axis in axes):
            raise UnsupportedOperator(node, "it reduces axes without elements")
        groups = _groups(axes)
        if not groups:
            yield View(inputs, outputs)
            return
        for index, (first, last) in enumerate(groups):
            shape = (*x.shape[:first], *x.shape[last:])
            is_last = index == len(groups) - 1
            to = y if is_last else replace(y, name=f"{y.name}.{index}", shape=shape)
            yield FloatReduce((x,), (to,), first, last, function)
            x = to

    return lowering


def lower_layer_normalization(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """All axes from one on are a row."""
    x = inputs[0]
    axis = int(node.attributes.get("axis", -1)) % len(x.shape)
    row = x.shape[axis:]
    if x.size == 0:
        raise UnsupportedOperator(node, "its rows have no elements")
    scale, bias = node.constant(1), node.constant(2)
    yield FloatLayerNorm(
        inputs,
        outputs,
        _broadcast(node, np.ones((), np.float32) if scale is None else scale, row),
        _broadcast(node, np.zeros((), np.float32) if bias is None else bias, row),
        float(node.attributes.get("epsilon", 1e-5)),
        has_mean=_is_wanted(node, 1),
        has_inverse=_is_wanted(node, 2),
    )


def _is_wanted(node: Node, output: int) -> bool:
    return len(node.outputs) > output and node.outputs[output] is not None


def _broadcast(node: Node, parameter: Array, row: tuple[int, ...]) -> Array:
    try:
        return np.broadcast_to(parameter, row).astype(np.float32).ravel()
    except ValueError:
        shown = f"{list(parameter.shape)} for rows of shape {list(row)}"
        raise UnsupportedOperator(node, f"its scale or bias has the shape {shown}") from None


def _reduced_axes(node: Node, rank: int) -> list[int]:
    is_input = node.opset >= _AXES_INPUT[node.op_type]
    given = node.constant(1) if is_input else node.attributes.get("axes")
    if given is not None and len(given) > 0:
        return sorted({int(axis) % rank for axis in given})
    return [] if node.attributes.get("noop_with_empty_axes", 0) else list(range(rank))


def _groups(axes: list[int]) -> list[tuple[int, int]]:
    """Neighbouring axes as half-open intervals, the last ones first."""
    groups = [
        [axis for _, axis in group]
        for _, group in groupby(enumerate(axes), lambda numbered: numbered[1] - numbered[0])
    ]
    return [(group[0], group[-1] + 1) for group in reversed(groups)]
