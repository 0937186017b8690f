"""Convolutions and products of matrices that the model of packets is fitted to."""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.packages.packet_graph import Graph

_AROUND = (1, 1, 1, 1)  # padding of a window of 3 x 3
_MORE_AROUND = (2, 2, 2, 2)


def _pointwise(graph: Graph) -> None:
    for channels, outputs, *size in (
        (4, 4, 1, 1), (8, 16, 2, 2), (16, 16, 4, 4), (3, 5, 3, 3), (32, 32, 5, 5), (64, 12, 5, 7),
        (12, 64, 6, 6), (20, 20, 7, 7), (64, 128, 4, 4), (128, 256, 2, 2),
    ):  # fmt: skip
        graph.conv(channels, outputs, (*size,))


def _pointwise_large(graph: Graph) -> None:
    for channels, outputs, *size in (
        (16, 32, 8, 8), (32, 64, 9, 9), (64, 64, 13, 5), (24, 24, 12, 12), (8, 8, 24, 24),
        (96, 24, 14, 14), (16, 16, 30, 30), (64, 64, 10, 20), (128, 16, 16, 16),
        (40, 120, 11, 11), (16, 32, 60, 80), (32, 32, 40, 30), (48, 32, 36, 36),
    ):  # fmt: skip
        graph.conv(channels, outputs, (*size,))


def _pointwise_small(graph: Graph) -> None:
    for channels, outputs, *size in (
        (16, 128, 3, 3), (64, 256, 3, 3), (64, 128, 6, 6), (128, 128, 6, 6), (32, 120, 5, 5),
        (20, 128, 1, 1), (256, 256, 1, 1), (48, 250, 2, 5), (96, 128, 7, 4), (160, 384, 4, 4),
    ):  # fmt: skip
        graph.conv(channels, outputs, (*size,))


def _pointwise_sums(graph: Graph) -> None:
    for channels, outputs, *size in (
        (16, 16, 4, 4), (32, 32, 7, 7), (24, 40, 12, 12), (64, 64, 8, 8), (8, 8, 20, 23),
    ):  # fmt: skip
        graph.add("Add", graph.conv(channels, outputs, (*size,)), graph.x(1, outputs, *size))
    for channels, outputs, *size in ((32, 16, 8, 8), (32, 64, 6, 6)):
        graph.conv(channels, outputs, (*size,), groups=4)
    graph.conv(8, 8, (3, 16, 16))


def _columns(graph: Graph) -> None:
    for channels, outputs, *size in (
        (4, 4, 3, 3), (8, 8, 5, 5), (16, 16, 4, 4), (3, 8, 8, 8), (32, 32, 4, 4), (64, 64, 2, 2),
        (5, 7, 9, 9), (12, 20, 7, 6),
    ):  # fmt: skip
        graph.conv(channels, outputs, (*size,), (3, 3), _AROUND)
    for channels, outputs, *size in ((16, 32, 8, 8), (3, 16, 16, 16)):
        graph.conv(channels, outputs, (*size,), (3, 3), _AROUND, (2, 2))


def _columns_large(graph: Graph) -> None:
    for channels, outputs, *size in (
        (16, 16, 16, 16), (32, 32, 10, 10), (8, 24, 20, 20), (64, 64, 8, 8), (3, 32, 32, 32),
        (24, 24, 13, 17), (24, 24, 30, 30), (8, 8, 48, 64),
    ):  # fmt: skip
        graph.conv(channels, outputs, (*size,), (3, 3), _AROUND)
    for channels, outputs, *size in (
        (16, 32, 20, 20), (32, 64, 13, 13), (3, 16, 40, 40), (3, 16, 64, 96), (48, 48, 14, 14),
        (16, 32, 32, 32), (32, 64, 16, 16), (8, 16, 64, 64), (4, 24, 32, 80), (64, 48, 16, 32),
        (3, 8, 96, 96), (6, 12, 40, 96),
    ):  # fmt: skip
        graph.conv(channels, outputs, (*size,), (3, 3), _AROUND, (2, 2))


def _columns_odd(graph: Graph) -> None:
    graph.conv(8, 16, (12, 12), (5, 5), _MORE_AROUND)
    graph.conv(16, 16, (14, 14), (5, 5), _MORE_AROUND, (2, 2))
    graph.conv(16, 16, (10, 10), strides=(2, 2))
    graph.conv(64, 32, (8, 8), strides=(2, 2))
    graph.conv(16, 32, (32, 32), strides=(2, 2))
    graph.conv(32, 64, (16, 16), strides=(2, 2))
    graph.conv(8, 16, (20, 10), (3, 1), (1, 0, 1, 0))
    graph.conv(8, 16, (10, 20), (1, 7), (0, 3, 0, 3))
    graph.conv(16, 16, (12, 12), (3, 3), _MORE_AROUND, dilations=(2, 2))
    graph.conv(16, 8, (24, 24), (4, 4), strides=(4, 4))
    graph.conv(3, 32, (32, 32), (7, 7), (3, 3, 3, 3), (2, 2))
    graph.conv(16, 16, (9, 9), (3, 3))
    graph.conv(12, 8, (21, 20), (3, 3), strides=(3, 3))


def _columns_sums(graph: Graph) -> None:
    for channels, *size in ((16, 16, 16), (32, 8, 8), (64, 4, 4), (8, 11, 13), (24, 20, 20)):
        result = graph.conv(channels, channels, (*size,), (3, 3), _AROUND)
        graph.add("Add", result, graph.x(1, channels, *size))
    for channels, *size in ((32, 8, 8), (16, 12, 12)):
        graph.conv(channels, channels, (*size,), (3, 3), _AROUND, groups=4)
    graph.conv(8, 8, (2, 8, 8), (3, 3), _AROUND)


def _single(graph: Graph) -> None:
    graph.conv(1, 48, (40, 10), (8, 4), (3, 1, 4, 1), (2, 2))
    for outputs, *size in ((8, 8, 8), (24, 28, 28)):
        graph.conv(1, outputs, (*size,), (3, 3), _AROUND)
    graph.conv(1, 16, (28, 28), (5, 5))
    graph.conv(1, 4, (5, 5), (3, 3))
    graph.conv(1, 32, (32, 32), (3, 3), _AROUND, (2, 2))
    graph.conv(1, 16, (20, 20), (7, 7), (3, 3, 3, 3))
    graph.conv(1, 6, (40, 1), (5, 1), (2, 0, 2, 0))
    graph.conv(1, 8, (1, 64), (1, 9), (0, 4, 0, 4))
    graph.conv(1, 12, (13, 17), (3, 3), dilations=(2, 2))
    graph.conv(1, 16, (1, 1))
    graph.conv(1, 40, (10, 10), (3, 3), _AROUND)
    graph.conv(1, 64, (30, 8), (5, 3), (2, 1, 2, 1), (2, 2))
    graph.conv(1, 8, (48, 48), (3, 3), _AROUND, (2, 2))
    graph.conv(1, 8, (24, 64), (5, 5), _MORE_AROUND)
    graph.conv(1, 16, (49, 10), (10, 4), (4, 1, 5, 1), (2, 2))


def _depthwise(graph: Graph) -> None:
    for channels, *size in (
        (4, 3, 3), (8, 5, 5), (16, 4, 4), (32, 7, 7), (64, 5, 5), (6, 6, 6), (24, 2, 2),
        (48, 20, 6), (32, 18, 5), (12, 24, 3),
    ):  # fmt: skip
        graph.conv(channels, channels, (*size,), (3, 3), _AROUND, groups=channels)
    for channels, *size in ((16, 8, 8), (32, 10, 10), (8, 15, 15)):
        graph.conv(channels, channels, (*size,), (3, 3), _AROUND, (2, 2), groups=channels)


def _depthwise_large(graph: Graph) -> None:
    for channels, *size in (
        (8, 12, 12), (16, 20, 20), (32, 14, 14), (12, 28, 28), (4, 40, 40), (4, 48, 64),
    ):  # fmt: skip
        graph.conv(channels, channels, (*size,), (3, 3), _AROUND, groups=channels)
    for channels, *size in (
        (16, 20, 20), (8, 33, 33), (4, 48, 64), (4, 40, 128), (64, 6, 6), (32, 12, 12),
        (16, 24, 24),
    ):  # fmt: skip
        graph.conv(channels, channels, (*size,), (3, 3), _AROUND, (2, 2), groups=channels)


def _depthwise_odd(graph: Graph) -> None:
    graph.conv(16, 16, (14, 14), (5, 5), _MORE_AROUND, groups=16)
    graph.conv(8, 8, (21, 21), (5, 5), _MORE_AROUND, (2, 2), groups=8)
    graph.conv(8, 8, (16, 16), (3, 3), groups=8)
    graph.conv(8, 8, (12, 12), (3, 3), _MORE_AROUND, dilations=(2, 2), groups=8)
    graph.conv(8, 8, (9, 9), (7, 7), (3, 3, 3, 3), groups=8)
    graph.conv(16, 16, (20, 20), (7, 7), (3, 3, 3, 3), groups=16)
    graph.conv(24, 24, (10, 10), (5, 5), _MORE_AROUND, groups=24)
    graph.conv(8, 8, (30, 30), (5, 5), _MORE_AROUND, groups=8)
    graph.conv(16, 16, (17, 17), (7, 7), (3, 3, 3, 3), (2, 2), groups=16)
    graph.conv(12, 12, (20, 20), (3, 3), groups=12)
    graph.conv(8, 8, (13, 13), (3, 3), strides=(2, 2), groups=8)
    graph.conv(12, 12, (30, 1), (3, 1), (1, 0, 1, 0), groups=12)
    for channels, *size in ((16, 10, 10), (32, 6, 5), (8, 18, 18)):
        result = graph.conv(channels, channels, (*size,), (3, 3), _AROUND, groups=channels)
        graph.add("Add", result, graph.x(1, channels, *size))


def _one_axis(graph: Graph) -> None:
    for channels, outputs, length, kernel, stride, groups in (
        (8, 16, 50, 3, 1, 1), (16, 16, 100, 3, 2, 1), (1, 8, 200, 9, 4, 1), (32, 32, 20, 1, 1, 1),
        (16, 16, 60, 3, 1, 16), (8, 8, 100, 5, 1, 8),
    ):  # fmt: skip
        graph.add(
            "Conv",
            graph.x(1, channels, length),
            graph.weights(outputs, channels // groups, kernel),
            graph.weights(outputs),
            kernel_shape=(kernel,),
            strides=(stride,),
            pads=(kernel // 2, kernel // 2),
            group=groups,
        )


def _dense(graph: Graph) -> None:
    for rows, inputs, outputs in (
        (1, 4, 2), (1, 64, 10), (1, 60, 12), (1, 128, 128), (1, 256, 33), (1, 33, 17),
        (1, 640, 8), (2, 32, 32), (3, 50, 70), (8, 64, 64), (16, 16, 16), (5, 7, 5),
        (1, 1000, 40), (10, 24, 96),
    ):  # fmt: skip
        weights = graph.weights(outputs, inputs), graph.weights(outputs)
        graph.add("Gemm", graph.x(rows, inputs), *weights, transB=1)
    graph.add("MatMul", graph.x(1, 6, 32), graph.weights(32, 24))
    graph.add("MatMul", graph.x(2, 3, 10), graph.weights(10, 9))


def _two_matrices(graph: Graph) -> None:
    for first, second in (
        ((4, 8), (8, 6)), ((2, 10, 16), (2, 16, 10)), ((1, 4, 20, 8), (1, 4, 8, 20)),
        ((33, 50), (50, 21)), ((1, 64), (64, 100)), ((6, 30), (30, 7)), ((3, 40), (40, 16)),
    ):  # fmt: skip
        graph.add("MatMul", graph.x(*first), graph.x(*second))


PRODUCTS: tuple[Callable[[Graph], None], ...] = (
    _pointwise,
    _pointwise_large,
    _pointwise_small,
    _pointwise_sums,
    _columns,
    _columns_large,
    _columns_odd,
    _columns_sums,
    _single,
    _depthwise,
    _depthwise_large,
    _depthwise_odd,
    _one_axis,
    _dense,
    _two_matrices,
)
