"""Random small networks: kernels as they follow one another in models, of sizes that models have.

Within a network a kernel finds what it reads where the one before has just written it, and its
weights where the rest of the network has left them. Single kernels beside each other, as in
``farm.costs.probes.kernels``, show neither. Which kernels there are is drawn at random, always the
same ones; their sizes are spread evenly on logarithmic scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from onnx import ModelProto

from farm.costs.probes.builder import Probe
from farm.costs.probes.kernels import ProbeModel
from farm.costs.probes.seldom import seldom_models

_SEED, _MOST = 7, 64
_PRODUCTS = ((128, 4), (384, 4), (1024, 4), (2560, 2))
_IN_PACKAGES = 384  # the widest whose C does not take long to compile
_LEAST_SIDE = 4
_MOST_CHANNELS = 512
_Random = np.random.Generator


def networks() -> Iterator[ProbeModel]:
    """Networks of all kinds and sizes in turns; a calibration takes as many as it has time for.

    First come products of one row after another, whose weights together fit into one level of the
    cache after the other, and into none: how fast weights are read again decides what these take.
    Then comes what random networks seldom have. Of those every fourth is small enough for a
    compiled package.
    """
    for width, layers in _PRODUCTS:
        yield ProbeModel(f"products of {width}", products(width, layers), width > _IN_PACKAGES)
    yield from seldom_models()
    random = np.random.default_rng(_SEED)
    for number in range(_MOST):
        turn = number % 4
        if turn == 0:
            macs = 10 ** random.uniform(4.5, 6.0)
            yield ProbeModel(f"small network {number}", image_network(number, macs, 14))
        elif turn == 2:
            tokens = int(random.choice([1, 1, 16, 32, 64, 128]))
            width = 32 * int(2 ** random.uniform(0, 5 if tokens == 1 else 4))
            made = sequence_network(number, width, tokens, 2)
            yield ProbeModel(f"network of rows {number}", made, weighs=True)
        else:
            macs = 10 ** random.uniform(5.3, 7.5)
            made = image_network(number, macs, 60)
            yield ProbeModel(f"network of images {number}", made, weighs=True)


def products(width: int, layers: int) -> ModelProto:
    """Layers of [1, width] times [width, width], with a bias and an activation."""
    probe = Probe(f"products of {width}")
    made = probe.given(1, width)
    for _ in range(layers):
        made = probe.add("Gemm", made, probe.weight(width, width), probe.weight(width))
        made = probe.add("Relu", made)
    probe.end(probe.add("Gemm", made, probe.weight(width, 10), probe.weight(10)))
    return probe.model()


def image_network(seed: int, macs: float, kernels: int) -> ModelProto:
    """Convolutions and what is between them. macs: of each convolution, about and at most."""
    return _Images(seed, macs).model(kernels)


def sequence_network(seed: int, width: int, tokens: int, layers: int) -> ModelProto:
    """Products, normalisations and attention of [1, tokens, width]."""
    return _Sequences(seed).model(width, tokens, layers)


class _Images:
    """Grows branches of a network that takes images."""

    def __init__(self, seed: int, macs: float) -> None:
        self._random = np.random.default_rng(seed)
        self._probe = Probe(f"images {seed}")
        self._macs = macs
        self._low, self._high = (self._probe.stored(np.array(v, np.float32)) for v in (0.0, 6.0))

    def model(self, kernels: int) -> ModelProto:
        """Branches until there are so many kernels."""
        made = 0
        while made < kernels:
            made += self._branch(min(12, kernels - made))
        return self._probe.model()

    def _branch(self, kernels: int) -> int:
        channels, side = int(self._random.choice([1, 3, 3, 8, 16])), self._side()
        image, made = self._probe.given(1, channels, side, side), 0
        while made < kernels and side >= _LEAST_SIDE:
            image, channels, side = self._block(image, channels, side)
            made += 1
        self._end(image, channels)
        return made + 3

    def _side(self) -> int:
        return round(2 ** self._random.uniform(3, 4 + math.log2(self._macs) / 6))

    def _block(self, image: str, channels: int, side: int) -> tuple[str, int, int]:
        kinds: Sequence[tuple[float, Callable[[str, int, int], tuple[str, int, int]]]] = (
            (0.3, self._convolution),
            (0.25, self._pointwise),
            (0.2, self._depthwise),
            (0.1, self._residual),
            (0.08, self._pool),
            (0.07, self._joined),
        )
        shares = np.cumsum([share for share, _ in kinds])
        at = int(np.searchsorted(shares, self._random.uniform(0, shares[-1])))
        return kinds[at][1](image, channels, side)

    def _width(self, per_channel: float) -> int:
        """Channels to write, of which each one costs so many operations."""
        most = min(_MOST_CHANNELS, max(8.0, self._macs / per_channel))
        drawn = 2 ** self._random.uniform(math.log2(min(8.0, most)), math.log2(most))
        lanes = int(self._random.choice([1, 4, 8, 16, 16, 32], p=[0.1, 0.1, 0.2, 0.2, 0.2, 0.2]))
        return max(lanes, round(drawn / lanes) * lanes)

    def _conv(
        self, image: str, read: int, written: int, kernel: int, stride: int, group: int = 1
    ) -> str:
        stored = self._probe.weight(written, read // group, kernel, kernel)
        return self._probe.add("Conv", image, stored, self._probe.weight(written), group=group,
                               pads=[kernel // 2] * 4, strides=[stride, stride])  # fmt: skip

    def _activated(self, image: str) -> str:
        kind = self._random.choice(["Relu", "Relu", "Relu", "Clip", ""])
        if kind == "Clip":
            return self._probe.add("Clip", image, self._low, self._high)
        return self._probe.add("Relu", image) if kind else image

    def _convolution(self, image: str, channels: int, side: int) -> tuple[str, int, int]:
        kernel = int(self._random.choice([3, 3, 3, 3, 5, 7] if channels < 16 else [3, 3, 3, 5]))
        stride = 2 if side >= 2 * _LEAST_SIDE and self._random.uniform() < 0.25 else 1
        made = -(-side // stride)
        written = self._width(channels * kernel**2 * made**2)
        return self._activated(self._conv(image, channels, written, kernel, stride)), written, made

    def _pointwise(self, image: str, channels: int, side: int) -> tuple[str, int, int]:
        written = self._width(channels * side**2)
        return self._activated(self._conv(image, channels, written, 1, 1)), written, side

    def _depthwise(self, image: str, channels: int, side: int) -> tuple[str, int, int]:
        kernel = int(self._random.choice([3, 3, 3, 5]))
        stride = 2 if side >= 2 * _LEAST_SIDE and self._random.uniform() < 0.3 else 1
        made = self._conv(image, channels, channels, kernel, stride, group=channels)
        return self._activated(made), channels, -(-side // stride)

    def _residual(self, image: str, channels: int, side: int) -> tuple[str, int, int]:
        made = self._probe.add("Relu", self._conv(image, channels, channels, 3, 1))
        made = self._probe.add("Add", self._conv(made, channels, channels, 3, 1), image)
        return self._activated(made), channels, side

    def _pool(self, image: str, channels: int, side: int) -> tuple[str, int, int]:
        op_type = str(self._random.choice(["MaxPool", "MaxPool", "AveragePool"]))
        kernel = int(self._random.choice([2, 3]))
        made = self._probe.add(op_type, image, kernel_shape=[kernel] * 2, strides=[2, 2])
        return made, channels, (side - kernel) // 2 + 1

    def _joined(self, image: str, channels: int, side: int) -> tuple[str, int, int]:
        written = self._width(channels * side**2 * 9)
        made = self._conv(image, channels, written, 3, 1)
        return self._probe.add("Concat", image, made, axis=1), channels + written, side

    def _end(self, image: str, channels: int) -> None:
        flat = self._probe.add("Flatten", self._probe.add("GlobalAveragePool", image))
        classes = int(self._random.choice([2, 10, 12, 100]))
        made = self._probe.add("Gemm", flat, self._probe.weight(channels, classes),
                               self._probe.weight(classes))  # fmt: skip
        self._probe.end(self._probe.add("Softmax", made, axis=1))


class _Sequences:
    """Grows a network that takes rows of numbers."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._probe = Probe(f"sequences {seed}")

    def model(self, width: int, tokens: int, layers: int) -> ModelProto:
        """Layers of attention and products; of one token products alone."""
        made = self._probe.given(1, tokens, width) if tokens > 1 else self._probe.given(1, width)
        for _ in range(layers):
            if tokens > 1:
                made = self._attention(made, width, tokens)
            made = self._products(made, width, tokens)
        self._probe.end(self._linear(made, width, 10, tokens))
        return self._probe.model()

    def _linear(self, given: str, read: int, written: int, tokens: int) -> str:
        if tokens == 1:
            return self._probe.add("Gemm", given, self._probe.weight(read, written),
                                   self._probe.weight(written))  # fmt: skip
        made = self._probe.add("MatMul", given, self._probe.weight(read, written))
        return self._probe.add("Add", made, self._probe.weight(written))

    def _products(self, given: str, width: int, tokens: int) -> str:
        inner = round(width * float(self._random.choice([0.5, 1, 2, 4])))
        op_type = str(self._random.choice(["Relu", "Relu", "Sigmoid", "Tanh"]))
        made = self._probe.add(op_type, self._linear(given, width, inner, tokens))
        made = self._linear(made, inner, width, tokens)
        return self._normal(self._probe.add("Add", made, given), width) if tokens > 1 else made

    def _normal(self, made: str, width: int) -> str:
        scale, bias = self._probe.weight(width), self._probe.weight(width)
        return self._probe.add("LayerNormalization", made, scale, bias, axis=-1)

    def _attention(self, given: str, width: int, tokens: int) -> str:
        heads = max(1, width // int(self._random.choice([16, 32, 64])))
        shape = self._probe.integers(1, tokens, heads, width // heads)

        def split(perm: list[int]) -> str:
            made = self._linear(given, width, width, tokens)
            return self._probe.add("Transpose", self._probe.add("Reshape", made, shape), perm=perm)

        query, key, value = split([0, 2, 1, 3]), split([0, 2, 3, 1]), split([0, 2, 1, 3])
        scale = self._probe.stored(np.array(1 / math.sqrt(width // heads), np.float32))
        scores = self._probe.add("Mul", self._probe.add("MatMul", query, key), scale)
        mixed = self._probe.add("MatMul", self._probe.add("Softmax", scores, axis=-1), value)
        mixed = self._probe.add("Transpose", mixed, perm=[0, 2, 1, 3])
        mixed = self._probe.add("Reshape", mixed, self._probe.integers(1, tokens, width))
        made = self._linear(mixed, width, width, tokens)
        return self._normal(self._probe.add("Add", given, made), width)
