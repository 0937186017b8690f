"""What ``kernels/pointwise_small.h`` takes, how it wants its constants, and what it repeats."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from farm.codegen.ops.integer.packing import LANES, LINE, lines
from farm.codegen.program import Array, Loop
from farm.units import Bytes

_GROUP = 128  # outputs that are computed together
_TURNED = 16  # positions whose results are turned together
_MOST_POSITIONS = 64
_MOST_FILLING = 1.25  # what outputs may become by filling groups
_COST = 32, 16  # of an output, in inputs: collected and turned; narrowed where it is


def takes_small(positions: int, inputs: int, outputs: int) -> bool:
    """Whether a pointwise convolution is faster with blocks of outputs in lanes.

    positions: of one image. With positions in lanes, the last vector of them is filled up.
    """
    filled = -(-outputs // _GROUP) * _GROUP
    if positions > _MOST_POSITIONS or filled > _MOST_FILLING * outputs:
        return False
    vectors = -(-positions // LANES) * LANES
    return positions * filled * (inputs + _COST[0]) < vectors * outputs * (inputs + _COST[1])


def pack_small(weights: NDArray[np.int8]) -> NDArray[np.uint8]:
    """[O, C] in the order of the kernel, and lifted by 128; uint8, one-dimensional."""
    outputs, inputs = weights.shape
    padded = np.pad(weights, ((0, -outputs % _GROUP), (0, -inputs % 4)))
    split = padded.reshape(-1, LANES, 4, padded.shape[1] // 4, 4)
    ordered = np.ascontiguousarray(split.transpose(0, 3, 2, 1, 4)).ravel()
    return ordered.view(np.uint8) ^ np.uint8(128)


def pack_lanes(values: Array) -> Array:
    """One value of every output: those of the first channels of 32 blocks, and so on."""
    padded = np.pad(values, (0, -len(values) % _GROUP))
    return np.ascontiguousarray(padded.reshape(-1, LANES, 4).swapaxes(1, 2)).ravel()


def small_scratch(positions: int) -> Bytes:
    """A vector of results for every position, and a sum."""
    vectors = -(-positions // _TURNED) * _TURNED + 1
    return Bytes(vectors * LINE + lines(4 * positions))


def small_loops(shape: tuple[int, ...], inputs: int) -> tuple[Loop, ...]:
    """What is repeated. shape: of the output. inputs: channels of x."""
    batch, outputs, *size = shape
    positions, in_blocks, out_blocks = math.prod(size), -(-inputs // 4), -(-outputs // 4)
    groups = -(-out_blocks // LANES)
    return (
        Loop("products", batch * in_blocks * out_blocks, 4 * positions),
        Loop("outputs", batch * out_blocks, 4 * positions),
        Loop("lanes", batch * positions * groups * in_blocks, LINE),
        Loop("results", batch * positions * groups, LINE),
        Loop("groups", batch * groups),
    )
