"""Operators that treat every element alike, or every channel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.packages.graphs.maker import Maker
from benchmarks.packages.graphs.operators.proposal import Proposal


def binary(maker: Maker, name: str) -> Proposal | None:
    """A sum, product or difference."""
    op_type = maker.one_of(["Add", "Add", "Mul", "Sub"])
    shape = maker.values[name].shape
    partners = maker.others(lambda value: _broadcast(value.shape, shape))
    if maker.chance(0.65):
        alike = [each for each in partners if maker.values[each].shape == shape]
        inputs = [name, maker.one_of(alike if maker.chance(0.5) else partners)]
    else:
        inputs = [name, maker.constant(maker.normal(_operand_shape(maker, shape)))]
    if maker.chance(0.4):
        inputs.reverse()
    return Proposal(op_type, inputs)


def _operand_shape(maker: Maker, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape of a constant that broadcasts with a shape."""
    kind = maker.one_of(["number", "one", "channels", "whole", "random", "higher"])
    if kind == "number" or not shape:
        return ()
    if kind == "one":
        return (1,) * maker.whole(1, len(shape))
    if kind == "channels" and len(shape) > 1:
        return (*maker.one_of([(), (1,)]), shape[1], *[1] * (len(shape) - 2))
    if kind == "whole":
        return tuple(shape)
    if kind == "higher" and len(shape) < 4:
        return (maker.whole(1, 2), *shape)
    kept = tuple(1 if maker.chance(0.5) else size for size in shape)
    return kept[maker.whole(0, len(kept) - 1) :]


def _broadcast(left: Sequence[int], right: Sequence[int]) -> bool:
    pairs = zip(reversed(left), reversed(right), strict=False)
    return all(a == b or 1 in (a, b) for a, b in pairs)


def divide(maker: Maker, name: str) -> Proposal:
    """A division by a number."""
    number = float(maker.one_of([0.7, 2.0, -3.0, 6.0]))
    return Proposal("Div", [name, maker.constant(number)])


def unary(maker: Maker, name: str) -> Proposal:
    """A function of single elements."""
    op_type, attributes = maker.one_of(
        [
            ("Relu", {}),
            ("Relu", {}),
            ("Relu", {}),
            ("Sigmoid", {}),
            ("Tanh", {}),
            ("Abs", {}),
            ("Neg", {}),
            ("Erf", {}),
            ("Exp", {}),
            ("HardSwish", {}),
            ("HardSigmoid", {}),
            ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
            ("LeakyRelu", {}),
            ("LeakyRelu", {"alpha": 0.3}),
            ("Gelu", {}),
            ("Gelu", {"approximate": "tanh"}),
            ("Identity", {}),
            ("Dropout", {}),
        ]
    )
    return Proposal(op_type, [name], attributes)


def table_only(maker: Maker, name: str) -> Proposal:
    """A function of single elements that generated code only has as a table of 8 bits."""
    op_type, attributes = maker.one_of(
        [
            ("Celu", {"alpha": 0.7}),
            ("Elu", {}),
            ("Mish", {}),
            ("Selu", {}),
            ("Softplus", {}),
            ("Softsign", {}),
            ("ThresholdedRelu", {"alpha": 0.4}),
        ]
    )
    return Proposal(op_type, [name], attributes)


def clip(maker: Maker, name: str) -> Proposal:
    """Limits."""
    low, high = maker.one_of([(0.0, 6.0), (-0.5, 0.8), (None, 0.7), (-0.3, None), (0.2, 0.9)])
    inputs = [name, "" if low is None else maker.constant(low)]
    if high is not None:
        inputs.append(maker.constant(high))
    return Proposal("Clip", inputs)


def prelu(maker: Maker, name: str) -> Proposal | None:
    """A slope for negative elements, one for all or one for each channel."""
    shape = maker.values[name].shape
    channels = shape[1] if len(shape) > 1 else 1
    form = maker.one_of(
        [(1,), (), (channels, *[1] * max(0, len(shape) - 2)), shape, (1,) * len(shape)]
    )
    return Proposal("PRelu", [name, maker.constant(maker.normal(form, 0.3))])


def batch_normalization(maker: Maker, name: str) -> Proposal | None:
    """Batch normalisation with random statistics."""
    shape = maker.values[name].shape
    if len(shape) < 2:
        return None
    count = shape[1]
    parts = [
        maker.normal((count,), 0.3) + np.float32(1),
        maker.normal((count,), 0.3),
        maker.normal((count,), 0.3),
        np.abs(maker.normal((count,))) + np.float32(0.3),
    ]
    return Proposal("BatchNormalization", [name, *map(maker.constant, parts)])
