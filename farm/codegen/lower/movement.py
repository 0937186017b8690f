"""Lowers operators that only move data, for tensors of any element type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from farm.codegen.front.source import Node, UnsupportedOperator
from farm.codegen.lower.resize import nearest_places, resized_axes
from farm.codegen.ops.movement import OUTSIDE, Concat, selection, transposition
from farm.codegen.program import Array, Element, Step, Tensor, View

Tensors = tuple[Tensor, ...]
Steps = tuple[Step, ...]


def is_movement(node: Node) -> bool:
    """Whether a node only moves data: not every Resize does."""
    if node.op_type in {"Resize", "Upsample"}:
        return bool(node.attributes.get("mode", "nearest") == "nearest")
    return node.op_type in MOVEMENT_OPERATORS


def lower_movement(node: Node, inputs: Tensors, outputs: Tensors) -> Steps:
    """Steps of an operator that moves data.

    inputs: PLAIN tensors of the node's inputs that are no constants, outputs: of those that are
    present; all of one element type, and of one quantization.

    Raises UnsupportedOperator: an attribute that is not supported, a parameter that is no
    constant.
    """
    return tuple(_LOWERINGS[node.op_type](node, inputs, outputs))


def elements(values: Array, tensor: Tensor) -> Array:
    """Constant values as elements of a tensor."""
    if not tensor.element.is_quantized:
        return values.astype(tensor.element.value)
    quant = tensor.quant
    found: Array = np.clip(np.rint(values / quant.scale) + quant.zero_point, 0, 255)
    return found.astype(np.uint8)


def _concat(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    values = [value for value in node.inputs if value is not None]
    constants = [value.constant for value in values]
    parts = tuple(None if each is None else elements(each, outputs[0]) for each in constants)
    axis = int(node.attributes["axis"]) % len(outputs[0].shape)
    yield Concat(inputs, outputs, axis, parts)


def _depth_to_space(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    batch, channels, height, width = inputs[0].shape
    block = int(node.attributes["blocksize"])
    rest = channels // block**2
    if node.attributes.get("mode", "DCR") == "CRD":
        shape, order = (batch, rest, block, block, height, width), (0, 1, 4, 2, 5, 3)
    else:
        shape, order = (batch, block, block, rest, height, width), (0, 3, 4, 1, 5, 2)
    yield transposition(inputs[0], outputs[0], order, shape)


def _space_to_depth(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    batch, channels, height, width = inputs[0].shape
    block = int(node.attributes["blocksize"])
    shape = (batch, channels, height // block, block, width // block, block)
    is_crd = node.attributes.get("mode", "DCR") == "CRD"
    order = (0, 1, 3, 5, 2, 4) if is_crd else (0, 3, 5, 1, 2, 4)
    yield transposition(inputs[0], outputs[0], order, shape)


def _dropout(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    if len(outputs) > 1:
        raise UnsupportedOperator(node, "it gives a mask")
    ratio, training = node.constant(1), node.constant(2)
    if training is not None and bool(training) and (ratio is None or float(ratio) != 0):
        raise UnsupportedOperator(node, "it is in training mode")
    yield View(inputs, outputs)


def _expand(_node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    x, y = inputs[0], outputs[0]
    shape = (*[1] * (len(y.shape) - len(x.shape)), *x.shape)
    sizes = enumerate(zip(shape, y.shape, strict=True))
    repeated = {axis: np.zeros(after) for axis, (before, after) in sizes if before != after}
    yield selection(x, y, repeated, shape=shape)


def _gather(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    indices = node.constant(1)
    if indices is None or not inputs:
        raise UnsupportedOperator(node, "its data are constant")
    axis = int(node.attributes.get("axis", 0)) % len(inputs[0].shape)
    yield selection(inputs[0], outputs[0], {axis: indices % inputs[0].shape[axis]})


def _pad(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    x, y = inputs[0], outputs[0]
    mode = node.attributes.get("mode", "constant")
    if mode not in _PADDED:
        raise UnsupportedOperator(node, f"its mode is {mode}")
    pads = _parameter(node, "pads", 1, 11)
    axes = _axes(node, 3, len(x.shape))
    value = node.constant(2) if node.opset >= 11 else node.attributes.get("value")
    indices = {}
    for axis, begin, end in zip(axes, pads, pads[len(axes) :], strict=False):
        size = x.shape[axis]
        indices[axis] = _PADDED[mode](np.arange(-begin, size + end), size)
    fill = elements(np.zeros(()) if value is None else np.asarray(value).reshape(()), y)
    if y.element is not Element.F32 and int(np.float32(fill)) != int(fill):
        raise UnsupportedOperator(node, f"its value {fill} is no float32, as which it is kept")
    yield selection(x, y, indices, float(fill))


def _resize(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    x, y = inputs[0], outputs[0]
    indices = {}
    for axis in resized_axes(node, x.shape, y.shape):
        places = nearest_places(node, axis)
        indices[axis.axis] = np.where(axis.extrapolated, OUTSIDE, places)
    value = np.asarray(node.attributes.get("extrapolation_value", 0.0), np.float32)
    yield selection(x, y, indices, float(elements(value, y)))


def _slice(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    x = inputs[0]
    starts, ends = _parameter(node, "starts", 1, 10), _parameter(node, "ends", 2, 10)
    given = node.constant(4)
    steps = [1] * len(starts) if given is None else [int(step) for step in given]
    axes = _axes(node, 3, len(x.shape), count=len(starts))
    cuts = zip(axes, starts, ends, steps, strict=True)
    indices = {axis: _cut(x.shape[axis], *cut) for axis, *cut in cuts}
    yield selection(x, outputs[0], indices)


def _cut(size: int, begin: int, end: int, step: int) -> NDArray[np.int64]:
    """The positions that ONNX takes: unlike Python, backwards from the first one at least."""
    begin, end = (at + size if at < 0 else at for at in (begin, end))
    if step > 0:
        return np.arange(min(max(begin, 0), size), min(max(end, 0), size), step)
    return np.arange(min(max(begin, 0), size - 1), min(max(end, -1), size - 1), step)


def _split(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    axis = int(node.attributes.get("axis", 0)) % len(inputs[0].shape)
    following = iter(outputs)
    start = 0
    for size in _split_sizes(node, inputs[0].shape[axis]):
        y = next(following)
        yield selection(inputs[0], y, {axis: np.arange(start, start + size)})
        start += size


def _split_sizes(node: Node, whole: int) -> list[int]:
    if any(value is None for value in node.outputs):
        raise UnsupportedOperator(node, "it leaves out an output")
    given = node.constant(1) if node.opset >= 13 else node.attributes.get("split")
    if given is not None:
        return [int(size) for size in given]
    parts = len(node.outputs)
    size = -(-whole // parts)
    return [min(size, whole - start * size) for start in range(parts)]


def _tile(_node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    x, y = inputs[0], outputs[0]
    sizes = enumerate(zip(x.shape, y.shape, strict=True))
    indices = {axis: np.arange(after) % before for axis, (before, after) in sizes}
    yield selection(x, y, indices)


def _transpose(node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    order = node.attributes.get("perm", tuple(reversed(range(len(inputs[0].shape)))))
    yield transposition(inputs[0], outputs[0], order)


def _view(_node: Node, inputs: Tensors, outputs: Tensors) -> Iterator[Step]:
    yield View(inputs, outputs)


def _parameter(node: Node, name: str, position: int, since: int) -> list[int]:
    """Integers that are an attribute, or an input since a version of the operator set."""
    given = node.constant(position) if node.opset >= since else node.attributes.get(name)
    if given is None:
        raise UnsupportedOperator(node, f"it has no {name}")
    return [int(each) for each in given]


def _axes(node: Node, position: int, rank: int, count: int | None = None) -> list[int]:
    """Axes that are named in an attribute or an input, or the first ones. count: rank if None."""
    given: Sequence[int] | Array | None = node.attributes.get("axes")
    if given is None:
        given = node.constant(position)
    chosen = range(rank if count is None else count) if given is None else given
    return [int(axis) % rank for axis in chosen]


def _constant_pad(places: Array, size: int) -> Array:
    return np.where((places >= 0) & (places < size), places, OUTSIDE)


def _edge_pad(places: Array, size: int) -> Array:
    clipped: Array = np.clip(places, 0, size - 1)
    return clipped


def _reflect_pad(places: Array, size: int) -> Array:
    period = max(2 * (size - 1), 1)
    turned: Array = places % period
    return np.where(turned < size, turned, period - turned)


def _wrap_pad(places: Array, size: int) -> Array:
    wrapped: Array = places % size
    return wrapped


_PADDED: Mapping[str, Callable[[Array, int], Array]] = {
    "constant": _constant_pad,
    "edge": _edge_pad,
    "reflect": _reflect_pad,
    "wrap": _wrap_pad,
}
_LOWERINGS: Mapping[str, Callable[[Node, Tensors, Tensors], Iterator[Step]]] = {
    "Concat": _concat,
    "DepthToSpace": _depth_to_space,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _view,
    "Gather": _gather,
    "Identity": _view,
    "Pad": _pad,
    "Reshape": _view,
    "Resize": _resize,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _view,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _view,
    "Upsample": _resize,
}

MOVEMENT_OPERATORS = frozenset(_LOWERINGS)
"""Operators that only move data. A Resize does if its mode is nearest: see :func:`is_movement`."""
