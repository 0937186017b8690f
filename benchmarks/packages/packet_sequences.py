"""Models of single operators as those of sequences of tokens: tables, masks, powers, rows."""

from __future__ import annotations

from collections.abc import Callable

from onnx import TensorProto

from benchmarks.packages.packet_graph import Graph

_TYPES = (TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL)


def tables(graph: Graph) -> None:
    """Rows of constant tables, and of tensors."""
    for element in (TensorProto.INT32, TensorProto.INT64):
        for rows, row, count in (
            (10, 3, 7),
            (50, 16, 20),
            (30, 64, 12),
            (9, 100, 40),
            (5, 256, 9),
        ):
            graph.add("Gather", graph.weights(rows, row), graph.x(count, element=element))
        for rows, row, count in ((6, 8, 4), (20, 48, 30), (12, 129, 16)):
            graph.add("Gather", graph.x(rows, row), graph.x(count, element=element))


def casts(graph: Graph) -> None:
    """Every type to every other one; a float comes out at the end."""
    for source in _TYPES:
        for target in _TYPES:
            for size in (7, 60, 301):
                x = graph.add("Cast", graph.x(size, element=source), to=target)
                if target != TensorProto.FLOAT:  # joined, so that two casts do not become one
                    x = graph.add("Concat", x, graph.x(3, element=target), axis=0)
                    graph.add("Cast", x, to=TensorProto.FLOAT)


def choices(graph: Graph) -> None:
    """One of two elements: floats, and integers of both sizes."""
    for shape in ((5,), (3, 40), (4, 1, 17), (12, 129), (8, 16, 16)):
        for element in (TensorProto.FLOAT, TensorProto.INT64):
            choice = graph.x(*shape, element=TensorProto.BOOL)
            operands = (graph.x(*shape, element=element), graph.x(shape[-1], element=element))
            chosen = graph.add("Where", choice, *operands)
            if element != TensorProto.FLOAT:
                graph.add("Cast", chosen, to=TensorProto.FLOAT)


def powers(graph: Graph) -> None:
    """Powers by a number, by two that are products, and by a tensor."""
    for shape in ((9,), (6, 33), (4, 8, 30)):
        for exponent in (2.0, 3.0):
            graph.add("Pow", graph.x(*shape), graph.scalar(exponent))
        positive = graph.add("Sigmoid", graph.x(*shape))
        graph.add("Pow", positive, graph.scalar(0.7))
        positive = graph.add("Sigmoid", graph.x(*shape))
        graph.add("Pow", positive, graph.x(shape[-1]))


def rows(graph: Graph) -> None:
    """Rows that are normalised, and sums."""
    for shape in ((3, 7), (4, 32), (12, 64), (2, 10, 100), (6, 256)):
        scale, bias = graph.weights(shape[-1]), graph.weights(shape[-1])
        graph.add("LayerNormalization", graph.x(*shape), scale, bias)
        graph.add("ReduceSum", graph.x(*shape), graph.indices(-1))
        graph.add("ReduceSum", graph.x(*shape), graph.indices(0))


def transposed(graph: Graph) -> None:
    """Transposed convolutions, whole ones and by channel."""
    for channels, outputs, groups, size, kernel, stride in (
        (3, 4, 1, (5, 5), 3, 1), (4, 8, 1, (8, 9), 2, 2), (6, 6, 6, (10, 12), 4, 2),
        (8, 4, 1, (16, 20), 3, 2), (2, 3, 1, (6, 40), 3, 3), (12, 12, 4, (7, 7), 3, 1),
    ):  # fmt: skip
        weights = graph.weights(channels, outputs // groups, kernel, kernel)
        x = graph.x(1, channels, *size)
        graph.add("ConvTranspose", x, weights, group=groups, strides=(stride, stride))


def recurrent(graph: Graph) -> None:
    """LSTM and GRU of different sizes."""
    for kind, gates in (("LSTM", 4), ("GRU", 3)):
        for steps, batch, inputs, hidden, directions in (
            (3, 1, 4, 4, 1), (5, 1, 16, 8, 1), (4, 2, 7, 19, 1), (6, 1, 32, 32, 1),
            (3, 1, 40, 24, 2),
        ):  # fmt: skip
            graph.add(
                kind,
                graph.x(steps, batch, inputs),
                graph.weights(directions, gates * hidden, inputs),
                graph.weights(directions, gates * hidden, hidden),
                hidden_size=hidden,
                direction="bidirectional" if directions == 2 else "forward",
            )


SEQUENCES: tuple[Callable[[Graph], None], ...] = (
    tables,
    casts,
    choices,
    powers,
    rows,
    transposed,
    recurrent,
)
