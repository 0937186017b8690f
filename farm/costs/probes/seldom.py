"""Networks of what random ones seldom have: first layers, memories, detection heads, old layers.

A cost model that has never seen a kernel like these is off by several times: functions that take
long for each element, windows over a picture's three channels, rows of two numbers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from onnx import ModelProto

from farm.costs.probes.builder import Probe
from farm.costs.probes.kernels import ProbeModel

_FirstLayer = tuple[int, int, int, int, int, int, int]
"""Channels read and written, height, width, the kernel's height and width, and its stride."""
_FIRST: tuple[_FirstLayer, ...] = (
    (1, 32, 49, 10, 10, 4, 2),
    (1, 8, 28, 28, 5, 5, 1),
    (3, 8, 64, 64, 3, 3, 2),
    (3, 16, 32, 32, 5, 5, 1),
    (1, 16, 64, 40, 3, 3, 2),
)
_LARGE_FIRST: tuple[_FirstLayer, ...] = (
    (3, 32, 160, 160, 3, 3, 2),
    (3, 64, 112, 112, 7, 7, 2),
    (3, 48, 128, 128, 11, 11, 4),
    (3, 24, 96, 96, 5, 5, 2),
)
_MEMORIES = ((16, 32, 10), (64, 48, 12), (64, 48, 48), (40, 96, 6), (40, 96, 30))
_NORMALISED = ((8, 24), (16, 16), (32, 12), (64, 6))
_LARGE_NORMALISED = ((64, 28), (128, 14), (256, 14), (256, 7), (512, 7))
_SHUFFLED = ((32, 14), (64, 28), (112, 56), (136, 28))
_ATTENDED = ((2, 16, 16), (4, 32, 16), (4, 64, 32))
_OLD = ((32, 14), (64, 28), (128, 14), (96, 40))
_HEADS = ((16, 20, 4, 2), (32, 28, 6, 2), (64, 10, 4, 21), (24, 16, 9, 6))
_ROWS = ((1, 128), (16, 64), (64, 192), (128, 256))


def seldom_models() -> Iterator[ProbeModel]:
    """A network that compiled packages can have, too, and one that they cannot."""
    yield ProbeModel("first layers and memories", first_layers())
    yield ProbeModel("seldom layers", seldom_layers(), weighs=True)


def first_layers() -> ModelProto:
    """Windows over pictures and sounds with their pools, and recurrent layers."""
    probe = Probe("first layers and memories")
    for at, sizes in enumerate(_FIRST):
        _first(probe, sizes, pooled=at % 2 == 1)
    for inputs, hidden, steps in _MEMORIES:
        _memory(probe, inputs, hidden, steps)
    for channels, side in _NORMALISED:
        _normalised(probe, channels, side)
    for heads, tokens, width in _ATTENDED:
        _attended(probe, heads, tokens, width)
    return probe.model()


def seldom_layers() -> ModelProto:
    """Large first layers, local normalisations, detection heads, shuffles, slow functions."""
    probe = Probe("seldom layers")
    for at, sizes in enumerate(_LARGE_FIRST):
        _first(probe, sizes, pooled=at % 2 == 1)
    for channels, side in _OLD:
        _old_block(probe, channels, side)
    for channels, side in _SHUFFLED:
        _shuffled(probe, channels, side)
    for channels, side in _LARGE_NORMALISED:
        _normalised(probe, channels, side)
    for head in _HEADS:
        _head(probe, *head)
    for rows, columns in _ROWS:
        _slow_functions(probe, rows, columns)
    return probe.model()


def _conv(probe: Probe, image: str, read: int, written: int, kernel: int = 3) -> str:
    weights = probe.weight(written, read, kernel, kernel)
    return probe.add("Conv", image, weights, probe.weight(written), pads=[kernel // 2] * 4)


def _first(probe: Probe, sizes: _FirstLayer, *, pooled: bool) -> None:
    """The first layer of a network; pooled: with a maximum after it."""
    read, written, height, width, kernel_height, kernel_width, stride = sizes
    weights = probe.weight(written, read, kernel_height, kernel_width)
    made = probe.add(
        "Conv", probe.given(1, read, height, width), weights, probe.weight(written),
        strides=[stride, stride], pads=[kernel_height // 2, kernel_width // 2] * 2,
    )  # fmt: skip
    made = probe.add("Relu", made)
    if pooled:
        made = probe.add("MaxPool", made, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    probe.end(probe.add("GlobalAveragePool", made))


def _memory(probe: Probe, inputs: int, hidden: int, steps: int) -> None:
    """One layer of each kind, so many inputs, cells and steps."""
    for op_type, gates in (("LSTM", 4), ("GRU", 3)):
        given = probe.given(steps, 1, inputs)
        weights = probe.weight(1, gates * hidden, inputs)
        recurrent = probe.weight(1, gates * hidden, hidden)
        probe.end(probe.add(op_type, given, weights, recurrent, hidden_size=hidden))


def _old_block(probe: Probe, channels: int, side: int) -> None:
    """As networks before 2015 have it: local normalisation, pools of overlapping windows."""
    image = probe.given(1, channels, side, side)
    made = probe.add("Relu", _conv(probe, image, channels, channels))
    made = probe.add("LRN", made, size=5, alpha=1e-4, beta=0.75)
    made = probe.add("MaxPool", made, kernel_shape=[3, 3], strides=[2, 2])
    pooled = probe.add("MaxPool", made, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    mean = probe.add("AveragePool", made, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
    branches = [_conv(probe, each, channels, channels // 2, 1) for each in (pooled, mean)]
    joined = probe.add("LRN", probe.add("Concat", *branches, axis=1), size=5)
    probe.end(probe.add("ReduceMean", joined, axes=[2, 3], keepdims=0))


def _normalised(probe: Probe, channels: int, side: int) -> None:
    """Layers with a normalisation that engines fold into their weights, and a product with one."""
    image = probe.given(1, channels, side, side)
    made = probe.add("Relu", _batch(probe, _conv(probe, image, channels, channels), channels))
    depthwise = probe.weight(channels, 1, 3, 3)
    made = probe.add("Conv", made, depthwise, group=channels, pads=[1] * 4)
    made = probe.add("Relu", _batch(probe, made, channels))
    made = _batch(probe, _conv(probe, made, channels, 2 * channels, 1), 2 * channels)
    made = _batch(probe, _conv(probe, made, 2 * channels, channels, 1), channels)
    made = probe.add("Relu", probe.add("Add", made, image))
    flat = probe.add("Flatten", probe.add("GlobalAveragePool", made))
    made = probe.add("MatMul", flat, probe.weight(channels, 4 * channels))
    probe.end(probe.add("Relu", _batch(probe, made, 4 * channels)))


def _batch(probe: Probe, given: str, channels: int) -> str:
    """A normalisation as it is trained in batches."""
    scale, bias, mean = (probe.weight(channels) for _ in range(3))
    variance = probe.stored(np.ones(channels, np.float32))
    return probe.add("BatchNormalization", given, scale, bias, mean, variance)


def _attended(probe: Probe, heads: int, tokens: int, width: int) -> None:
    """What attention does between its projections."""
    query, value = (probe.given(1, heads, tokens, width) for _ in range(2))
    key = probe.given(1, heads, width, tokens)
    scale = probe.stored(np.array(width**-0.5, np.float32))
    scores = probe.add("Mul", probe.add("MatMul", query, key), scale)
    probe.end(probe.add("MatMul", probe.add("Softmax", scores, axis=-1), value))


def _shuffled(probe: Probe, channels: int, side: int) -> None:
    """Channels in groups, mixed by a transposition, and a sum that skips them."""
    image = probe.given(1, channels, side, side)
    weights = probe.weight(channels, channels // 4, 1, 1)
    made = probe.add("Conv", image, weights, probe.weight(channels), group=4)
    made = probe.add("Reshape", made, probe.integers(1, 4, channels // 4, side, side))
    made = probe.add("Transpose", made, perm=[0, 2, 1, 3, 4])
    made = probe.add("Reshape", made, probe.integers(1, channels, side, side))
    made = probe.add("Relu", probe.add("Sum", made, image))
    made = probe.add("AveragePool", made, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    probe.end(probe.add("GlobalAveragePool", probe.add("HardSwish", made)))


def _head(probe: Probe, channels: int, side: int, anchors: int, classes: int) -> None:
    """Scores and boxes of a detector: transposed, cut along short rows, and joined again."""
    image = probe.given(1, channels, side, side)
    scores = _rows_of(probe, _conv(probe, image, channels, anchors * classes), classes)
    probe.end(probe.add("Softmax", scores, axis=2))
    boxes = _rows_of(probe, _conv(probe, image, channels, anchors * 4), 4)
    half = probe.stored(np.array(0.5, np.float32))
    where = (probe.integers(0), probe.integers(2), probe.integers(2))
    size = (probe.integers(2), probe.integers(4), probe.integers(2))
    centres = probe.add("Mul", probe.add("Slice", boxes, *where), half)
    sizes = probe.add("Exp", probe.add("Slice", boxes, *size))
    low = probe.add("Sub", centres, probe.add("Div", sizes, half))
    probe.end(probe.add("Concat", low, probe.add("Add", centres, sizes), axis=2))


def _rows_of(probe: Probe, image: str, columns: int) -> str:
    made = probe.add("Transpose", image, perm=[0, 2, 3, 1])
    return probe.add("Reshape", made, probe.integers(1, -1, columns))


def _slow_functions(probe: Probe, rows: int, columns: int) -> None:
    """A normalisation by its parts and a gelu by its parts, between two products."""
    made = probe.add("MatMul", probe.given(1, rows, columns), probe.weight(columns, columns))
    mean = probe.add("ReduceMean", made, axes=[2], keepdims=1)
    away = probe.add("Sub", made, mean)
    two = probe.stored(np.array(2.0, np.float32))
    tiny = probe.stored(np.array(1e-5, np.float32))
    squares = probe.add("ReduceMean", probe.add("Pow", away, two), axes=[2], keepdims=1)
    made = probe.add("Div", away, probe.add("Sqrt", probe.add("Add", squares, tiny)))
    root = probe.stored(np.array(2.0**0.5, np.float32))
    one, half = (probe.stored(np.array(v, np.float32)) for v in (1.0, 0.5))
    error = probe.add("Add", probe.add("Erf", probe.add("Div", made, root)), one)
    made = probe.add("Mul", probe.add("Mul", made, error), half)
    probe.end(probe.add("MatMul", made, probe.weight(columns, 2 * columns)))
