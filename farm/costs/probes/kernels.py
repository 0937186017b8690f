"""The kernels: single operators and small fused patterns of many sizes.

They take from a microsecond to some milliseconds. The tensors of the small models fit into the
first levels of the cache, those of the large ones into none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from onnx import ModelProto

from farm.costs.probes.builder import Probe

Wave = tuple[int, int, int, int, int]
"""Of a convolution: channels read and written, height, width, and the size of its kernel."""


@dataclass(frozen=True, slots=True)
class ProbeModel:
    """A model of many kernels.

    weighs: it has too many weights for a compiled package, or too much work for an emulator.
    """

    name: str
    model: ModelProto
    weighs: bool = False


def probe_models() -> tuple[ProbeModel, ...]:
    """All of them, the most important first: a calibration may run out of time.

    Those of one size are in one model, because a model costs more time than its kernels do.
    """
    sizes: tuple[tuple[str, tuple[_Part, ...], bool], ...] = (
        ("small kernels", _SMALL, False),
        ("kernels", _MEDIUM, False),
        ("large kernels", _LARGE, True),
        ("kernels beyond the cache", (partial(_beyond, counts=(1 << 23,)),), True),
    )
    return tuple(ProbeModel(name, _built(name, parts), weighs) for name, parts, weighs in sizes)


def _built(name: str, parts: Iterable[_Part]) -> ModelProto:
    probe = Probe(name)
    for part in parts:
        part(probe)
    return probe.model()


_Part = Callable[[Probe], None]
_SMALL_WAVES: tuple[Wave, ...] = (
    (3, 8, 16, 16, 3),
    (8, 16, 16, 16, 3),
    (16, 16, 8, 8, 3),
    (1, 64, 25, 5, 10),
    (16, 32, 16, 16, 1),
    (32, 32, 8, 8, 1),
    (64, 64, 5, 25, 1),
    (16, 16, 16, 16, 0),
    (64, 64, 5, 25, 0),
    (32, 32, 8, 8, 0),
)
_WAVES: tuple[Wave, ...] = (
    (3, 16, 32, 32, 3),
    (16, 16, 32, 32, 3),
    (32, 32, 16, 16, 3),
    (64, 64, 8, 8, 3),
    (8, 24, 28, 28, 5),
    (32, 64, 28, 28, 1),
    (64, 128, 14, 14, 1),
    (128, 128, 7, 7, 1),
    (32, 32, 56, 56, 0),
    (64, 64, 28, 28, 0),
    (128, 128, 14, 14, 0),
)
_LARGE_WAVES: tuple[Wave, ...] = (
    (3, 32, 112, 112, 3),
    (64, 64, 56, 56, 3),
    (128, 128, 28, 28, 3),
    (256, 256, 14, 14, 3),
    (32, 96, 112, 112, 1),
    (96, 24, 56, 56, 1),
    (256, 512, 14, 14, 1),
    (96, 96, 112, 112, 0),
    (256, 256, 28, 28, 0),
)
_SMALL_PRODUCTS = ((1, 64, 16), (1, 256, 64), (1, 128, 128), (16, 64, 64), (32, 32, 128))
_PRODUCTS = ((1, 512, 128), (64, 64, 128))
_LARGE_PRODUCTS = ((1, 1024, 1024), (64, 128, 512), (128, 512, 256), (1, 4096, 512))


def _convolutions(probe: Probe, waves: Iterable[Wave]) -> None:
    """Each alone, and every other one with what follows it in networks. Kernel 0: depthwise, 3.

    Where as many channels are written as are read there are three, one after another: within a
    network an engine keeps its own layout and number format between them.
    """
    for at, wave in enumerate(waves):
        read, written, height, width, _ = wave
        image = probe.given(1, read, height, width)
        made = _convolution(probe, image, wave)
        if at % 2:
            made = probe.add("Relu", made)
        elif at % 4 == 2 and read == written:
            made = probe.add("Relu", probe.add("Add", made, image))
        for _ in range(2 if read == written else 0):
            made = probe.add("Relu", _convolution(probe, made, wave))
        probe.end(made)


def _convolution(probe: Probe, image: str, wave: Wave) -> str:
    read, written, _, _, given = wave
    depthwise, kernel = given == 0, given or 3
    pads = [(kernel - 1) // 2] * 2 + [kernel // 2] * 2
    weights = probe.weight(written, 1 if depthwise else read, kernel, kernel)
    group = read if depthwise else 1
    return probe.add("Conv", image, weights, probe.weight(written), pads=pads, group=group)


def _products(probe: Probe, sizes: Iterable[tuple[int, int, int]]) -> None:
    """[rows, inner] times [inner, columns]: with a bias, followed by an activation, and plain."""
    for rows, inner, columns in sizes:
        left, stored = probe.given(rows, inner), probe.weight(inner, columns)
        probe.end(probe.add("Gemm", left, stored, probe.weight(columns)))
        made = probe.add("Gemm", probe.given(rows, inner), probe.weight(columns, inner),
                         probe.weight(columns), transB=1)  # fmt: skip
        probe.end(probe.add("Relu", made))
        probe.end(probe.add("MatMul", probe.given(rows, inner), probe.weight(inner, columns)))


def _elements(probe: Probe, counts: Iterable[int]) -> None:
    """Functions of one and two tensors, so many elements each."""
    for count in counts:
        shape = (1, 16, count // 16)
        for op_type in ("Relu", "Sigmoid", "Tanh"):
            probe.end(probe.add(op_type, probe.given(*shape)))
        for op_type in ("Add", "Mul"):
            probe.end(probe.add(op_type, probe.given(*shape), probe.given(*shape)))
        probe.end(probe.add("Sub", probe.given(*shape), probe.weight(1, 16, 1)))


def _beyond(probe: Probe, counts: Iterable[int]) -> None:
    """What moves more bytes than caches hold; and a product, or nothing would be quantised."""
    _products(probe, [(1, 64, 16)])
    for count in counts:
        probe.end(probe.add("Relu", probe.given(16, count // 16)))
        probe.end(probe.add("Transpose", probe.given(64, count // 64), perm=[1, 0]))


def _windows(probe: Probe, sizes: Iterable[tuple[int, int]]) -> None:
    """Pooling of [1, channels, side, side], and reductions of as much."""
    for channels, side in sizes:
        shape = (1, channels, side, side)
        probe.end(probe.add("MaxPool", probe.given(*shape), kernel_shape=[2, 2], strides=[2, 2]))
        probe.end(
            probe.add(
                "MaxPool",
                probe.given(*shape),
                kernel_shape=[3, 3],
                strides=[2, 2],
                pads=[1, 1, 1, 1],
            )
        )
        probe.end(
            probe.add("AveragePool", probe.given(*shape), kernel_shape=[2, 2], strides=[2, 2])
        )
        probe.end(probe.add("GlobalAveragePool", probe.given(*shape)))


def _rows(probe: Probe, sizes: Iterable[tuple[int, int]]) -> None:
    """Softmax and reductions along rows, and a layer normalisation by its parts."""
    for rows, columns in sizes:
        shape = (1, rows, columns)
        probe.end(probe.add("Softmax", probe.given(*shape), axis=2))
        probe.end(probe.add("ReduceMean", probe.given(*shape), axes=[2], keepdims=1))
        scale, bias = probe.weight(columns), probe.weight(columns)
        probe.end(probe.add("LayerNormalization", probe.given(*shape), scale, bias, axis=2))


def _movements(probe: Probe, sizes: Iterable[tuple[int, int]]) -> None:
    """[1, channels, side, side] in other orders, joined and cut, and under other shapes."""
    for channels, side in sizes:
        shape = (1, channels, side, side)
        probe.end(probe.add("Transpose", probe.given(*shape), perm=[0, 2, 3, 1]))
        probe.end(probe.add("Concat", probe.given(*shape), probe.given(*shape), axis=1))
        cut = (probe.integers(0), probe.integers(channels // 2), probe.integers(1))
        probe.end(probe.add("Slice", probe.given(*shape), *cut))
        pads = probe.integers(0, 0, 1, 1, 0, 0, 1, 1)
        probe.end(probe.add("Pad", probe.given(*shape), pads))
        flat = probe.add("Reshape", probe.given(*shape), probe.integers(1, -1))
        probe.end(probe.add("Neg", flat))


def _recurrences(probe: Probe, sizes: Iterable[tuple[int, int, int]]) -> None:
    """Networks with a memory: so many inputs, so many cells, so many steps."""
    for inputs, hidden, steps in sizes:
        for op_type, gates in (("LSTM", 4), ("GRU", 3)):
            given = probe.given(steps, 1, inputs)
            weights = probe.weight(1, gates * hidden, inputs)
            recurrent = probe.weight(1, gates * hidden, hidden)
            probe.end(probe.add(op_type, given, weights, recurrent, hidden_size=hidden))


_SMALL: tuple[_Part, ...] = (
    partial(_convolutions, waves=_SMALL_WAVES),
    partial(_products, sizes=_SMALL_PRODUCTS),
    partial(_elements, counts=(256, 2048, 8192)),
    partial(_windows, sizes=((16, 16), (32, 32))),
    partial(_rows, sizes=((1, 64), (16, 64))),
    partial(_movements, sizes=((8, 16), (32, 32))),
)
_MEDIUM: tuple[_Part, ...] = (
    partial(_convolutions, waves=_WAVES),
    partial(_products, sizes=_PRODUCTS),
    partial(_elements, counts=(32768, 131072)),
    partial(_windows, sizes=((64, 28), (32, 64))),
    partial(_rows, sizes=((64, 256), (128, 512))),
    partial(_movements, sizes=((64, 56),)),
)
_LARGE: tuple[_Part, ...] = (
    partial(_convolutions, waves=_LARGE_WAVES),
    partial(_products, sizes=_LARGE_PRODUCTS),
    partial(_elements, counts=(1 << 20,)),
    partial(_windows, sizes=((64, 112),)),
    partial(_recurrences, sizes=((32, 32, 4), (64, 128, 1), (128, 128, 8))),
)
