"""What a kernel's speed may depend on, as numbers: its work, its shapes, and the caches.

Sizes are logarithms to the base 2, so that a kernel of twice the work is one step away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from farm.costs.families import CONVOLUTIONS, Family
from farm.costs.operators import CostedOperator, Operand
from farm.costs.work import main_operator, operands_outside, width_of

LANES = (8, 16, 32)
"""Channels that engines compute at a time: what is left over is padded, or computed slowly."""
_FAMILIES = tuple(Family)
_TYPES = (
    "MaxPool", "AveragePool", "GlobalAveragePool", "LRN", "Softmax", "LayerNormalization",
    "BatchNormalization", "Relu", "Clip", "Add", "Mul", "Div", "Sigmoid", "Tanh", "Exp", "Erf",
    "Pow", "Sqrt", "HardSwish", "Gelu", "ReduceMean", "Transpose", "Concat", "Slice", "Pad",
    "Gather", "LSTM", "GRU", "MatMul", "Gemm",
)  # fmt: skip
"""Types whose kernels take more or less time than others of their family, alone or fused."""
_WEIGHTED = frozenset({Family.CONVOLUTION, Family.POINTWISE, Family.DEPTHWISE, Family.PRODUCT})
_SLIDING = frozenset({Family.CONVOLUTION, Family.POINTWISE, Family.DEPTHWISE, Family.POOL})


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a kernel runs.

    caches: bytes of each level of a machine, the smallest first. around: of weights and
    activations of the whole model, which decide what of them a cache still holds in the next run.
    """

    caches: tuple[float, ...]
    around: float


def touched_bytes(operators: Iterable[CostedOperator], precision: str) -> float:
    """Bytes of all distinct tensors of a model, in the numbers of a precision."""
    found = {t.name: t for op in operators for t in (*op.reads, *op.writes)}
    return sum(_bytes(t, precision) for t in found.values())


def feature_names(levels: int) -> tuple[str, ...]:
    """What each number of :func:`features` is. levels: of the caches."""
    return (
        *(f"is {family}" for family in _FAMILIES),
        *(f"with {op_type}" for op_type in _TYPES),
        "operators", "activations", "flops", "read", "written", "weights", "intensity",
        "channels read", "channels written", "height", "width", "kernel", "stride", "group",
        "rows", "columns", "inner",
        *(f"written padded to {lanes}" for lanes in LANES),
        *(f"read padded to {lanes}" for lanes in LANES),
        *(f"kernel over L{at + 1}" for at in range(levels)),
        *(f"weights over L{at + 1}" for at in range(levels)),
        *(f"model over L{at + 1}" for at in range(levels)),
    )  # fmt: skip


def features(
    operators: Sequence[CostedOperator], precision: str, near: Surroundings
) -> tuple[float, ...]:
    """The numbers of one kernel, in the order of :func:`feature_names`.

    operators: that it stands for, in the model's order. precision: of their numbers.
    """
    main = main_operator(operators)
    own = without_folded(operators)
    types = {op.op_type for op in own}
    reads, writes = operands_outside(operators)
    read = sum(_bytes(t, precision) for t in reads if not t.stored)
    weights = sum(_bytes(t, precision) for t in reads if t.stored)
    written = sum(_bytes(t, precision) for t in writes)
    flops = float(sum(op.flops for op in operators))
    moved = read + weights + written
    return (
        *(float(main.family is family) for family in _FAMILIES),
        *(float(op_type in types) for op_type in _TYPES),
        float(len(own)),
        float(sum(not t.stored for t in reads)),
        *map(_log, (flops, read, written, weights)),
        _log(flops) - _log(moved),
        *_shape(main),
        *(_over(moved, cache) for cache in near.caches),
        *(_over(weights, cache) for cache in near.caches),
        *(_over(near.around, cache) for cache in near.caches),
    )


def without_folded(operators: Sequence[CostedOperator]) -> tuple[CostedOperator, ...]:
    """Without normalisations that engines fold into the weights of what they follow."""
    if main_operator(operators).family not in _WEIGHTED:
        return tuple(operators)
    return tuple(op for op in operators if op.op_type != "BatchNormalization")


def _shape(op: CostedOperator) -> tuple[float, ...]:
    given = next((t for t in op.reads if not t.stored), op.reads[0] if op.reads else None)
    made = op.writes[0] if op.writes else None
    read, written = (given.shape if given else ()), (made.shape if made else ())
    height, width = _spatial(written) if op.family in _SLIDING else (1, 1)
    channels = _channels(op, read), _channels(op, written)
    columns = written[-1] if written else 1
    count = made.count if made else 1
    inner = op.flops / (2 * count) if op.family in _SLIDING | {Family.PRODUCT} and count else 1.0
    window = op.window
    return (
        *map(_log, (*channels, height, width)),
        _log(math.prod(window.kernel)),
        _log(math.prod(window.strides)),
        _log(window.group),
        *map(_log, (count / max(columns, 1), columns, inner)),
        *(_padding(channels[1], lanes) for lanes in LANES),
        *(_padding(channels[0], lanes) for lanes in LANES),
    )


def _channels(op: CostedOperator, shape: Sequence[int]) -> int:
    """Of images the second dimension, of all else the last."""
    if op.family in _SLIDING or op.op_type in CONVOLUTIONS:
        return shape[1] if len(shape) > 1 else 1
    return shape[-1] if shape else 1


def _spatial(shape: Sequence[int]) -> tuple[int, int]:
    height = math.prod(shape[2:-1]) if len(shape) > 3 else 1
    return height, shape[-1] if len(shape) > 2 else 1


def _bytes(operand: Operand, precision: str) -> float:
    return float(operand.count * width_of(precision) if operand.is_float else operand.size)


def _padding(channels: int, lanes: int) -> float:
    """How much more there is when channels are filled up to whole lanes."""
    whole = -(-max(channels, 1) // lanes) * lanes
    return math.log2(whole / max(channels, 1))


def _over(size: float, cache: float) -> float:
    return math.log2(max(size, 1.0) / cache)


def _log(value: float) -> float:
    return math.log2(1.0 + max(value, 0.0))
