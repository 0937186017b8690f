"""Lowers float operators whose windows slide over positions: convolution and pooling."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from farm.codegen.front.source import Node, UnsupportedOperator
from farm.codegen.ops.floats.convolution import FloatConvolution
from farm.codegen.ops.floats.pool import FloatPool
from farm.codegen.ops.floats.transposed import FloatTransposed
from farm.codegen.ops.floats.window import AXES, Window
from farm.codegen.program import Step, Tensor

Tensors = tuple[Tensor, ...]

_CONVOLUTION_AXES = 2


def lower_convolution(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """A convolution with constant weights over one or two axes."""
    weights, bias = node.constant(1), node.constant(2)
    if weights is None or not inputs:
        raise UnsupportedOperator(node, "its data are constant")
    if weights.ndim - 2 > _CONVOLUTION_AXES:
        raise UnsupportedOperator(node, f"it has {weights.ndim - 2} axes of positions")
    yield FloatConvolution(
        inputs,
        outputs,
        weights.astype(np.float32),
        np.zeros(len(weights), np.float32) if bias is None else bias.astype(np.float32),
        _window(node, weights.shape[2:], inputs[0], outputs[0]),
        int(node.attributes.get("group", 1)),
    )


def lower_transposed(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """A transposed convolution with constant weights over one to three axes."""
    weights, bias = node.constant(1), node.constant(2)
    if weights is None or not inputs:
        raise UnsupportedOperator(node, "its data are constant")
    if weights.ndim - 2 > AXES:
        raise UnsupportedOperator(node, f"it has {weights.ndim - 2} axes of positions")
    yield FloatTransposed(
        inputs,
        outputs,
        weights.astype(np.float32),
        np.zeros(outputs[0].shape[1], np.float32) if bias is None else bias.astype(np.float32),
        _transposed_window(node, weights.shape[2:], inputs[0], outputs[0]),
        int(node.attributes.get("group", 1)),
    )


def lower_pool(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    """MaxPool and AveragePool over one to three axes."""
    if len(outputs) > 1:
        raise UnsupportedOperator(node, "it gives indices")
    kernel = tuple(int(size) for size in node.attributes["kernel_shape"])
    if len(kernel) > AXES:
        raise UnsupportedOperator(node, f"it has {len(kernel)} axes of positions")
    yield FloatPool(
        inputs,
        outputs,
        _window(node, kernel, inputs[0], outputs[0]),
        is_average=node.op_type == "AveragePool",
        counts_padding=bool(node.attributes.get("count_include_pad", 0)),
    )


def _transposed_window(node: Node, kernel: tuple[int, ...], x: Tensor, y: Tensor) -> Window:
    """Its padding is cut off: as much as leaves y's positions, where it is not said."""
    rank = len(kernel)
    ones, zeros = (1,) * rank, (0,) * rank
    strides = tuple(node.attributes.get("strides", ones))
    dilations = tuple(node.attributes.get("dilations", ones))
    more = tuple(node.attributes.get("output_padding", zeros))
    mode = node.attributes.get("auto_pad", "NOTSET")
    begin = tuple(node.attributes.get("pads", zeros))[:rank]
    if "output_shape" in node.attributes or mode.startswith("SAME"):
        axes = zip(x.shape[2:], y.shape[2:], kernel, strides, dilations, more, strict=True)
        total = [
            max(0, (size - 1) * s + extra + (k - 1) * d + 1 - out)
            for size, out, k, s, d, extra in axes
        ]
        begin = tuple(n // 2 if mode == "SAME_UPPER" else n - n // 2 for n in total)
    elif mode == "VALID":
        begin = zeros
    return Window(kernel, strides, dilations, begin, zeros)


def _window(node: Node, kernel: tuple[int, ...], x: Tensor, y: Tensor) -> Window:
    rank = len(kernel)
    ones = (1,) * rank
    strides = tuple(node.attributes.get("strides", ones))
    dilations = tuple(node.attributes.get("dilations", ones))
    mode = node.attributes.get("auto_pad", "NOTSET")
    if mode == "NOTSET":
        pads = tuple(node.attributes.get("pads", (0,) * (2 * rank)))
        return Window(kernel, strides, dilations, pads[:rank], pads[rank:])
    if mode == "VALID":
        return Window(kernel, strides, dilations, (0,) * rank, (0,) * rank)
    axes = zip(x.shape[2:], y.shape[2:], kernel, strides, dilations, strict=True)
    total = [max(0, (out - 1) * s + (k - 1) * d + 1 - size) for size, out, k, s, d in axes]
    less, more = tuple(each // 2 for each in total), tuple(each - each // 2 for each in total)
    begin, end = (more, less) if mode == "SAME_LOWER" else (less, more)
    return Window(kernel, strides, dilations, begin, end)
