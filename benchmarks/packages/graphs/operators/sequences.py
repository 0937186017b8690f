"""Operators of models of sequences: sums, powers, normalised rows, token ids and masks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from benchmarks.packages.graphs.maker import Maker
from benchmarks.packages.graphs.operators.proposal import Array, Proposal
from benchmarks.packages.graphs.twists.numbers import Built

_FIRST_WITH_LAYER_NORMALIZATION = 17
_IDS = 12


def power(maker: Maker, name: str) -> Proposal:
    """A power by a number, which may be an integer, or by one for each position."""
    exponent = maker.one_of([2.0, 2.0, 3.0, 1.0, 0.5, -1.0, 2, 3, None])
    if exponent is None:
        shape = maker.values[name].shape
        last = shape[-1] if shape else 1
        whole = maker.random.integers(1, 4, last).astype(np.float32)
        return Proposal("Pow", [name, maker.constant(whole)])
    content = exponent if isinstance(exponent, float) else np.asarray(exponent, np.int64)
    return Proposal("Pow", [name, maker.constant(content)])


def reduce_sum(maker: Maker, name: str) -> Proposal | None:
    """Sums over some axes."""
    rank = maker.values[name].ndim
    if rank == 0:
        return None
    axes = [axis - maker.one_of([0, rank]) for axis in range(rank) if maker.chance(0.5)]
    maker.random.shuffle(axes)
    attributes: dict[str, Any] = {"keepdims": maker.whole(0, 1)}
    if maker.opset >= 13 and not axes and maker.chance(0.5):
        attributes["noop_with_empty_axes"] = 1
    return Proposal("ReduceSum", [name, maker.constant(axes)] if axes else [name], attributes)


def layer_normalization(maker: Maker, name: str) -> Proposal | None:
    """Rows of mean 0, of the last axes."""
    shape = maker.values[name].shape
    if not shape or maker.opset < _FIRST_WITH_LAYER_NORMALIZATION:
        return None
    axis = maker.whole(0, len(shape) - 1)
    parts = [maker.normal(shape[axis:], 0.3) + np.float32(1), maker.normal(shape[axis:], 0.3)]
    inputs = [name, *map(maker.constant, parts[: maker.whole(1, 2)])]
    return Proposal("LayerNormalization", inputs, {"axis": axis - maker.one_of([0, len(shape)])})


def choice(maker: Maker, name: str) -> Proposal | None:
    """Elements of a tensor, and zeros where a mask is not true."""
    shape = maker.values[name].shape
    form = shape[maker.whole(0, len(shape)) :] if shape else ()
    mask = maker.random.random(form) < 0.7
    operands = [name, maker.constant(maker.one_of([0.0, 0.5]))]
    if maker.chance(0.4):
        operands.reverse()
    return Proposal("Where", [maker.constant(np.asarray(mask)), *operands])


def recurrent(maker: Maker, name: str) -> Proposal | None:
    """An LSTM or GRU over the first axis of three."""
    shape = maker.values[name].shape
    if len(shape) != 3:
        return None
    op_type, gates = maker.one_of([("LSTM", 4), ("GRU", 3)])
    hidden, direction = maker.whole(1, 6), maker.one_of(["forward", "reverse", "bidirectional"])
    count = 2 if direction == "bidirectional" else 1
    parts = [
        maker.normal((count, gates * hidden, shape[2]), shape[2] ** -0.5),
        maker.normal((count, gates * hidden, hidden), hidden**-0.5),
        maker.normal((count, 2 * gates * hidden), 0.3),
    ]
    inputs = [name, *map(maker.constant, parts[: maker.whole(2, 3)])]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    if op_type == "GRU":
        attributes["linear_before_reset"] = maker.whole(0, 1)
    return Proposal(op_type, inputs, attributes)


def transposed(maker: Maker, name: str) -> Proposal | None:
    """A transposed convolution."""
    shape = maker.values[name].shape
    if not 3 <= len(shape) <= 5:
        return None
    channels, rank = shape[1], len(shape) - 2
    groups = channels if maker.chance(0.3) else 1
    kernel = [maker.whole(1, 3) for _ in range(rank)]
    weights = maker.normal((channels, maker.whole(1, 4), *kernel), channels**-0.5)
    attributes: dict[str, Any] = {"group": groups, "kernel_shape": kernel}
    attributes["strides"] = [maker.whole(1, 3) for _ in range(rank)]
    if maker.chance(0.5):
        attributes["pads"] = [maker.whole(0, 1) for _ in range(2 * rank)]
    if maker.chance(0.3):
        attributes["output_padding"] = [each - 1 for each in attributes["strides"]]
    return Proposal("ConvTranspose", [name, maker.constant(weights)], attributes)


def token_ids(maker: Maker) -> Built:
    """Rows of a table that ids choose, masked, then summed: ids and masks are inputs."""
    fresh = Maker(maker.random, maker.one_of([13, 14, 17, 17, 18, 21]))
    length, width = fresh.whole(2, 9), fresh.one_of([3, 4, 8, 17])
    ids, mask = fresh.add_input((2, length)), fresh.add_input((2, length))
    whole = fresh.one_of([np.int32, np.int64])
    fresh.values[ids] = fresh.random.integers(0, _IDS, (2, length)).astype(whole)
    fresh.values[mask] = fresh.random.random((2, length)) < 0.6
    fresh.add(Proposal("Gather", [fresh.constant(fresh.normal((_IDS, width))), ids]))
    found = fresh.last
    if not fresh.add(layer_normalization(fresh, found) or Proposal("Sigmoid", [found])):
        fresh.add(Proposal("Sigmoid", [found]))
    found = fresh.last
    weights = fresh.constant(fresh.normal((width, width), width**-0.5))
    fresh.add(Proposal("MatMul", [found, weights]))
    found = fresh.last
    fresh.add(Proposal("Unsqueeze", [mask, fresh.constant([2])]), moderate=False)
    column = fresh.last
    if fresh.chance(0.5):
        fresh.add(Proposal("Where", [column, found, fresh.constant(0.0)]), moderate=False)
    else:
        fresh.add(Proposal("Cast", [column], {"to": TensorProto.FLOAT}), moderate=False)
        fresh.add(Proposal("Mul", [found, fresh.last]), moderate=False)
    masked, axes = fresh.last, fresh.constant([1])
    fresh.add(Proposal("ReduceSum", [masked, axes], {"keepdims": 0}), moderate=False)
    return Built(fresh.model(), _ids_and_masks)


def _ids_and_masks(random: np.random.Generator, _index: int, shape: Sequence[int]) -> Array:
    """Ids that are in the table, or truth values once they have that type."""
    return random.integers(0, 2, shape) * random.integers(1, _IDS, shape)


SEQUENCES = {"token ids": token_ids}
