"""Random small ONNX models of the operators that generated code is documented to support."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx

from benchmarks.packages.graphs.maker import Maker
from benchmarks.packages.graphs.operators import (
    elementwise,
    movement,
    products,
    resampling,
    sequences,
    windows,
)
from benchmarks.packages.graphs.operators.proposal import Proposal

_ATTEMPTS = 200


def random_model(seed: int) -> onnx.ModelProto:
    """A model of 5 to 14 operators; the same for the same seed.

    Inputs are float32 and called x0, x1, ..., operators op0, op1, ...
    """
    return random_maker(seed).model()


def random_maker(seed: int) -> Maker:
    """The graph of ``random_model``, which can still grow."""
    maker = Maker(np.random.default_rng(seed))
    for _ in range(maker.one_of([1, 1, 1, 2, 3])):
        maker.add_input()
    wanted = maker.whole(5, 14)
    for _ in range(_ATTEMPTS):
        if len(maker.nodes) >= wanted:
            break
        grow(maker)
    return maker


def grow(maker: Maker) -> None:
    """Try to add one random operator."""
    name, proposer = maker.tensor(), maker.one_of(_PROPOSERS)
    if maker.nodes and maker.nodes[-1].op_type in _BEFORE_FOLLOWERS and maker.chance(0.6):
        name, proposer = maker.nodes[-1].output[0], products.follower
    proposal = proposer(maker, name)
    if proposal is not None:
        maker.add(proposal)


_BEFORE_FOLLOWERS = frozenset({"Conv", "Gemm", "MatMul", "Add"})
_PROPOSERS: Sequence[Callable[[Maker, str], Proposal | None]] = (
    *[products.conv] * 10,
    *[products.sibling] * 2,
    *[products.gemm] * 3,
    *[products.matmul] * 4,
    *[elementwise.binary] * 8,
    elementwise.divide,
    *[elementwise.unary] * 8,
    elementwise.table_only,
    *[elementwise.clip] * 3,
    *[elementwise.prelu] * 2,
    *[elementwise.batch_normalization] * 2,
    *[windows.pool] * 5,
    *[windows.global_pool] * 1,
    *[windows.reduce_mean] * 2,
    *[windows.softmax] * 1,
    *[movement.pad] * 3,
    *[movement.concat] * 4,
    *[movement.split] * 3,
    *[movement.slice_] * 3,
    *[movement.transpose] * 3,
    *[movement.reshape] * 3,
    *[resampling.resize] * 3,
    movement.repeat,
    movement.gather,
    movement.depth,
    sequences.power,
    *[sequences.reduce_sum] * 2,
    *[sequences.layer_normalization] * 2,
    sequences.choice,
    sequences.recurrent,
    *[sequences.transposed] * 2,
)
