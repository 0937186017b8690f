"""Models of single operators that the model of packets is fitted to, from small to large.

Shapes are chosen for what kernels treat differently: vectors that are full or not, odd numbers of
positions, channels that do not fill blocks, rows that are near or far, all forms of windows.
Operators of one kind share a file, each with inputs and outputs of its own, because compilers take
longer than kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onnx import ModelProto

from benchmarks.packages.packet_graph import Attribute, Shape
from benchmarks.packages.packet_graph import Graph as _Graph
from benchmarks.packages.packet_products import PRODUCTS
from benchmarks.packages.packet_sequences import SEQUENCES


def operator_models() -> Iterator[tuple[str, ModelProto]]:
    """All models with their names."""
    for make in (*PRODUCTS, *_MODELS, *SEQUENCES):
        graph = _Graph()
        make(graph)
        name = make.__name__.removeprefix("_")
        yield name, graph.model(name)


def _binary(graph: _Graph, kind: str, other: str) -> None:
    for shape in (
        (1, 4, 1, 1), (1, 8, 4, 4), (1, 16, 9, 9), (1, 32, 16, 16), (1, 7), (1, 100), (3, 33),
        (1, 1000), (16, 64), (1, 12, 20, 20),
    ):  # fmt: skip
        graph.add(kind, graph.x(*shape), graph.x(*shape))
    graph.add(other, graph.x(8, 30), graph.positive(8, 30))
    graph.add(kind, graph.x(8, 30), graph.x(30))
    graph.add(kind, graph.x(6, 40), graph.x(6, 1))
    graph.add(kind, graph.x(1, 16, 8, 8), graph.weights(1, 16, 1, 1))
    graph.add(kind, graph.x(1, 24, 5, 5), graph.x(1, 24, 1, 1))
    graph.add(other, graph.x(200), graph.positive(1))
    graph.add(kind, graph.x(2, 5, 7, 3), graph.x(1, 5, 1, 3))
    graph.add(kind, graph.x(4, 9, 11), graph.weights(9, 1))


def _sums(graph: _Graph) -> None:
    _binary(graph, "Add", "Sub")


def _products(graph: _Graph) -> None:
    _binary(graph, "Mul", "Div")


def _functions(graph: _Graph) -> None:
    for shape in ((1, 5), (1, 33), (4, 64), (1, 1000), (1, 8, 6, 6), (1, 32, 16, 16)):
        graph.add("Sigmoid", graph.x(*shape))
    kinds = "Tanh", "HardSwish", "LeakyRelu", "Exp", "Abs", "Neg", "HardSigmoid", "Erf", "Relu"
    for kind in kinds:
        graph.add(kind, graph.x(1, 8, 7, 9))
        graph.add(kind, graph.x(3, 50))
    for rows, length in ((1, 300), (12, 13)):
        graph.add("Clip", graph.x(rows, length), graph.scalar(-0.5), graph.scalar(0.5))
        graph.add("Sqrt", graph.add("Abs", graph.x(rows, length)))
        _gelu(graph, (rows, length))
    for channels, *positions in ((8, 6, 6), (16, 16, 16), (5, 9), (12, 7, 3)):
        slopes = graph.weights(channels, *[1] * len(positions))
        graph.add("PRelu", graph.x(1, channels, *positions), slopes)
    for channels, *size in ((8, 6, 6), (16, 12, 12), (6, 5, 7)):
        result = graph.conv(4, channels, (*size,))
        graph.add("PRelu", result, graph.weights(channels, 1, 1))


def _gelu(graph: _Graph, shape: Shape) -> None:
    """As exporters write it out."""
    x = graph.x(*shape)
    erf = graph.add("Erf", graph.add("Mul", x, graph.numbers(0.70710678)))
    half = graph.add("Mul", graph.add("Add", erf, graph.numbers(1.0)), graph.numbers(0.5))
    graph.add("Mul", x, half)


def _normalizations(graph: _Graph) -> None:
    for batch, channels, *positions in (
        (1, 8, 6, 6), (1, 16, 16, 16), (1, 3, 30, 30), (1, 20, 5, 5), (2, 6, 8, 8), (1, 64),
        (1, 30),
    ):  # fmt: skip
        parameters = [graph.weights(channels) for _ in range(3)]
        x = graph.x(batch, channels, *positions)
        graph.add("BatchNormalization", x, *parameters, graph.positive(channels))


def _windows(graph: _Graph, kind: str, **attributes: Attribute) -> None:
    for channels, size, kernel, stride, pads in (
        (4, (4, 4), (2, 2), 2, 0), (16, (8, 8), (2, 2), 2, 0), (8, (20, 20), (3, 3), 2, 1),
        (32, (10, 10), (3, 3), 1, 1), (6, (13, 17), (3, 3), 1, 0), (16, (6, 6), (5, 5), 1, 2),
        (8, (40, 40), (2, 2), 2, 0), (12, (15, 15), (3, 3), 3, 0), (8, (64, 1), (4, 1), 4, 0),
        (48, (20, 6), (2, 2), 2, 0), (8, (30, 30), (3, 3), 1, 1), (20, (9, 12), (2, 2), 1, 0),
        (4, (50, 70), (3, 3), 2, 1),
    ):  # fmt: skip
        graph.add(
            kind,
            graph.x(1, channels, *size),
            kernel_shape=kernel,
            strides=(stride, stride),
            pads=(pads,) * 4,
            **attributes,
        )
    graph.add(kind, graph.x(1, 8, 50), kernel_shape=(2,), strides=(2,), **attributes)


def _largest_of_windows(graph: _Graph) -> None:
    _windows(graph, "MaxPool")
    for channels, *size in ((8, 6, 6), (64, 4, 4)):
        graph.add("GlobalMaxPool", graph.x(1, channels, *size))


def _means_of_windows(graph: _Graph) -> None:
    _windows(graph, "AveragePool", count_include_pad=1)


def _means(graph: _Graph) -> None:
    for shape in ((1, 4, 2, 2), (1, 64, 5, 5), (1, 30, 7, 9), (1, 16, 20, 20), (2, 32, 4, 4)):
        graph.add("GlobalAveragePool", graph.x(*shape))
    reductions: tuple[tuple[Shape, Shape], ...] = (
        ((1, 20, 30), (2,)), ((1, 20, 30), (1,)), ((4, 5, 6, 7), (1, 3)), ((1, 100), (1,)),
        ((1, 8, 12, 12), (1,)), ((16, 64), (0,)), ((3, 50, 9), (1,)), ((1, 6, 150), (2,)),
    )  # fmt: skip
    for reduced, axes in reductions:
        graph.add("ReduceMean", graph.x(*reduced), axes=axes, keepdims=0)


def _means_of_blocks(graph: _Graph) -> None:
    for channels, *size in (
        (4, 2, 2), (64, 5, 5), (64, 8, 8), (32, 7, 9), (16, 20, 20), (128, 3, 3), (30, 4, 4),
        (8, 12, 3),
    ):  # fmt: skip
        graph.add("GlobalAveragePool", graph.conv(8, channels, (*size,)))


def _softmax(graph: _Graph) -> None:
    for shape, axis in (
        ((1, 2), 1), ((1, 10), 1), ((1, 12), 1), ((1, 100), 1), ((1, 1000), 1), ((8, 16), 1),
        ((30, 4), 1), ((1, 8, 5, 5), 1), ((1, 4, 10, 10), 1), ((3, 20, 7), 2), ((64, 2), 1),
    ):  # fmt: skip
        graph.add("Softmax", graph.x(*shape), axis=axis)


def _inner_softmax(graph: _Graph) -> None:
    for shape in ((1, 10), (8, 16), (1, 100), (1, 8, 5, 5), (50, 3)):
        graph.add("Mul", graph.add("Softmax", graph.x(*shape), axis=1), graph.x(*shape))


def _resize(graph: _Graph) -> None:
    for channels, height, width, scale in (
        (4, 4, 4, 2.0), (16, 8, 8, 2.0), (8, 10, 12, 2.0), (3, 20, 20, 1.5), (6, 5, 7, 3.0),
    ):  # fmt: skip
        scales = graph.numbers(1, 1, scale, scale)
        graph.add("Resize", graph.x(1, channels, height, width), "", scales, mode="linear")
        blocks = graph.conv(channels, channels, (height, width))
        graph.add("Resize", blocks, "", graph.numbers(1, 1, scale, scale), mode="linear")
    for channels, height, width, scale in (
        (4, 4, 4, 2), (16, 8, 8, 2), (8, 10, 12, 3), (32, 5, 5, 2), (3, 20, 20, 2),
    ):  # fmt: skip
        graph.add(
            "Resize",
            graph.x(1, channels, height, width),
            "",
            graph.numbers(1, 1, scale, scale),
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )


def _transpositions(graph: _Graph) -> None:
    for shape, order in (
        ((8, 12), (1, 0)), ((1, 16, 8, 8), (0, 2, 3, 1)), ((1, 10, 10, 12), (0, 3, 1, 2)),
        ((4, 5, 6, 7), (3, 1, 2, 0)), ((40, 50), (1, 0)), ((2, 3, 64), (1, 0, 2)),
        ((1, 6, 20, 32), (0, 2, 1, 3)), ((30, 7, 3), (0, 2, 1)),
    ):  # fmt: skip
        graph.add("Transpose", graph.x(*shape), perm=order)
    for channels, height, width in ((16, 4, 4), (12, 10, 10)):
        graph.add("DepthToSpace", graph.x(1, channels, height, width), blocksize=2)
        graph.add("SpaceToDepth", graph.x(1, channels // 4, height, width), blocksize=2)


def _parts_of_tensors(graph: _Graph) -> None:
    for shape, pads in (
        ((1, 8, 8, 8), (0, 0, 1, 1, 0, 0, 1, 1)), ((4, 30), (0, 2, 0, 3)),
        ((1, 3, 20, 20), (0, 0, 2, 2, 0, 0, 2, 2)), ((1, 16, 10), (0, 8, 0, 0, 8, 0)),
        ((3, 60), (0, 1, 0, 2)), ((2, 4, 200), (0, 1, 0, 0, 0, 5)), ((10, 128), (1, 3, 1, 3)),
    ):  # fmt: skip
        graph.add("Pad", graph.x(*shape), graph.indices(*pads))
    for shape, begin, end, axis, step in (
        ((1, 16, 8, 8), 2, 10, 1, 1), ((10, 40), 0, 40, 1, 2), ((1, 4, 20, 20), 1, 15, 2, 1),
        ((1, 4, 20, 20), 2, 18, 3, 2), ((64, 32), 3, 50, 0, 1), ((300, 4), 0, 2, 1, 1),
    ):  # fmt: skip
        numbers = (graph.indices(each) for each in (begin, end, axis, step))
        graph.add("Slice", graph.x(*shape), *numbers)
    graph.add("Gather", graph.x(10, 30), graph.indices(1, 4, 5, 9, 2), axis=0)
    graph.add("Gather", graph.x(10, 30), graph.indices(1, 4, 5, 9, 2, 20, 11), axis=1)
    graph.add("Gather", graph.x(40, 64), graph.indices(*range(0, 64, 3), 62), axis=1)
    graph.add("Tile", graph.x(3, 20), graph.indices(2, 3))
    graph.add("Expand", graph.x(5, 1, 8), graph.indices(5, 6, 8))
    graph.split(graph.x(12, 10), 3, 0)
    graph.split(graph.x(12, 10), 2, 1)
    graph.add("Identity", graph.x(3, 70))
    graph.add("Reshape", graph.x(9, 13), graph.indices(13, 9))


def _concatenations(graph: _Graph) -> None:
    for first, second, axis in (
        ((4, 10), (4, 20), 1), ((5, 20), (7, 20), 0), ((1, 8, 6, 6), (1, 4, 6, 6), 1),
        ((1, 30, 50), (1, 30, 2), 2), ((300, 2), (300, 2), 1), ((20, 128), (20, 64), 1),
        ((6, 300), (6, 150), 1),
    ):  # fmt: skip
        graph.add("Concat", graph.x(*first), graph.x(*second), axis=axis)
    graph.add("Concat", graph.x(16, 3), graph.x(16, 5), graph.x(16, 8), axis=1)
    graph.add("Concat", graph.x(1, 5, 9), graph.weights(1, 3, 9), axis=1)


def _ports(graph: _Graph) -> None:
    """Images that are bytes for the caller: see ``PORTS`` in packet_model.py."""
    for shape in ((1, 3, 8, 8), (1, 3, 12, 11), (1, 5, 20, 20), (2, 16, 17, 9), (1, 3, 64, 50)):
        graph.add("Conv", graph.x(*shape), graph.weights(8, shape[1], 3, 3), graph.weights(8))
    for size in ((6, 6), (10, 13), (24, 24), (40, 33)):
        x = graph.add("Transpose", graph.x(1, *size, 3), perm=(0, 3, 1, 2))
        graph.add("Conv", x, graph.weights(8, 3, 3, 3), graph.weights(8))
    for length in (7, 40, 128, 300, 1000, 5000):
        graph.add("Relu", graph.x(1, length))


def _channels_last(graph: _Graph) -> None:
    for channels, outputs, *size in (
        (3, 8, 10, 10), (4, 4, 7, 7), (16, 16, 6, 6), (3, 16, 32, 32), (12, 6, 9, 13),
    ):  # fmt: skip
        x = graph.add("Transpose", graph.x(1, *size, channels), perm=(0, 3, 1, 2))
        weights = graph.weights(outputs, channels, 1, 1)
        graph.add("Transpose", graph.add("Conv", x, weights), perm=(0, 2, 3, 1))
        x = graph.add("Transpose", graph.x(1, *size, channels), perm=(0, 3, 1, 2))
        product = graph.add("Mul", x, graph.x(1, channels, *size))
        graph.add("Transpose", product, perm=(0, 2, 3, 1))


def _flattened(graph: _Graph) -> None:
    """Blocks that become plain between two integer operators, and back."""
    for channels, height, width, outputs in (
        (8, 4, 4, 10), (16, 6, 6, 8), (3, 10, 10, 5), (12, 2, 2, 4),
    ):  # fmt: skip
        x = graph.add("Flatten", graph.conv(channels, channels, (height, width)))
        size = channels * height * width
        graph.add("Gemm", x, graph.weights(outputs, size), graph.weights(outputs), transB=1)
        for image in (8, channels + 2, 3, 2):
            x = graph.conv(channels, image, (height, width))
            x = graph.add("Transpose", x, perm=(0, 2, 3, 1))
            graph.add("Mul", x, graph.x(1, height, width, image))
            x = graph.add("Sigmoid", graph.x(height * width * image))
            x = graph.add("Reshape", x, graph.indices(1, height, width, image))
            x = graph.add("Transpose", x, perm=(0, 3, 1, 2))
            graph.add("Conv", x, graph.weights(8, image, 1, 1))
        x = graph.add("Sigmoid", graph.x(1, height * width * 4))
        x = graph.add("Reshape", x, graph.indices(1, 4, height, width))
        graph.add("Conv", x, graph.weights(8, 4, 1, 1))


_MODELS: tuple[Callable[[_Graph], None], ...] = (
    _sums, _products, _functions, _normalizations, _largest_of_windows,
    _means_of_windows, _means, _means_of_blocks, _softmax, _inner_softmax, _resize,
    _transpositions, _parts_of_tensors, _concatenations, _channels_last, _flattened, _ports,
)  # fmt: skip
