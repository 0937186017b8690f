"""Convolutions and matrix products: references against naive loops, kernels against references.

Every case of every kernel is run on every target this machine can run, the emulated ones included.
"""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from farm.codegen.arithmetic import (
    Requantization,
    WeightedSum,
    add_weighted,
    requantization,
    requantize,
)
from farm.codegen.compilers import Target, host_targets
from farm.codegen.ops.convolution import Convolution, Dense
from farm.codegen.program import Layout
from tests.farm.codegen.kernel_harness import Case, check_cases, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
SAME = (1, 1, 1, 1)


def rule(rng: np.random.Generator, channels: int, depth: int) -> Requantization:
    """Factors that spread results of random data over the whole range, and beyond."""
    factors = rng.uniform(1, 8, channels) / (20000 * np.sqrt(depth))
    lowest, highest = (0, 255) if rng.integers(2) else (9, 201)
    return requantization(factors, int(rng.integers(0, 256)), lowest, highest)


def convolution(  # a case of the step; x: [N, C, H, W]
    seed: int,
    x: tuple[int, int, int, int],
    outputs: int,
    kernel: tuple[int, int],
    *,
    strides: tuple[int, int] = (1, 1),
    pads: tuple[int, int, int, int] = (0, 0, 0, 0),
    dilations: tuple[int, int] = (1, 1),
    groups: int = 1,
    layout: Layout = Layout.BLOCKED,
    skip: bool = False,
    shared: bool = False,
) -> Case:
    rng = np.random.default_rng(seed)
    size = [
        (x[2 + i] + pads[i] + pads[2 + i] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i in range(2)
    ]
    result = (x[0], outputs, *size)
    given = tensor("x", x, layout, zero_point=int(rng.integers(0, 256)))
    other = tensor("skip", result, Layout.BLOCKED, zero_point=11)
    depth = x[1] // groups * kernel[0] * kernel[1]
    scale = rule(rng, outputs, depth)
    step = Convolution(
        inputs=(given, other) if skip else (given,),
        outputs=(tensor("y", result, Layout.BLOCKED, zero_point=5),),
        weights=rng.integers(-128, 128, (outputs, x[1] // groups, *kernel)).astype(np.int8),
        bias=rng.integers(-9000, 9000, outputs).astype(np.int32) + scale.offset,
        rule=scale,
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=groups,
        skip=WeightedSum(-9000, 21000, 123456, 14, 3, 250) if skip else None,
    )
    return Case(step, [rng.integers(0, 256, each.shape, np.uint8) for each in step.inputs], shared)


def dense(seed: int, rows: tuple[int, ...], depth: int, outputs: int) -> Case:
    rng = np.random.default_rng(seed)
    x, y = tensor("x", (*rows, depth)), tensor("y", (*rows, outputs))
    scale = rule(rng, outputs, depth)
    weights = rng.integers(-128, 128, (outputs, depth)).astype(np.int8)
    step = Dense((x,), (y,), weights, scale.offset, scale)
    return Case(step, [rng.integers(0, 256, x.shape, np.uint8)])


def pointwise_cases() -> list[Case]:
    return [
        convolution(1, (1, 64, 25, 5), 64, (1, 1)),
        convolution(2, (1, 3, 1, 1), 5, (1, 1)),
        convolution(3, (2, 9, 7, 9), 10, (1, 1)),
        convolution(4, (1, 8, 3, 43), 12, (1, 1), skip=True),
        convolution(5, (1, 8, 5, 27), 36, (1, 1), skip=True, shared=True),
        convolution(6, (2, 16, 3, 11), 8, (1, 1), groups=2, skip=True, shared=True),
        convolution(7, (1, 6, 4, 5), 9, (1, 1), groups=3),
        convolution(8, (1, 2, 4, 5), 6, (1, 1), groups=2),
        convolution(9, (1, 1, 6, 7), 5, (1, 1)),
    ]


def column_cases() -> list[Case]:
    return [
        convolution(20, (1, 16, 32, 32), 16, (3, 3), pads=SAME, skip=True, shared=True),
        convolution(21, (1, 3, 32, 32), 16, (3, 3), pads=SAME),
        convolution(22, (1, 16, 16, 16), 32, (3, 3), strides=(2, 2), pads=(0, 0, 1, 1)),
        convolution(23, (1, 16, 16, 16), 8, (1, 1), strides=(2, 2)),
        convolution(24, (2, 5, 13, 11), 7, (3, 3), pads=SAME, skip=True),
        convolution(25, (1, 8, 9, 9), 4, (3, 3), pads=(2, 2, 2, 2), dilations=(2, 2)),
        convolution(26, (1, 4, 12, 10), 6, (2, 3), strides=(2, 1), pads=(1, 0, 0, 2)),
        convolution(27, (1, 4, 11, 17), 4, (3, 5), strides=(3, 3), pads=(0, 4, 1, 2)),
        convolution(28, (1, 8, 17, 15), 8, (3, 3), strides=(2, 2), pads=SAME, dilations=(2, 3)),
        convolution(29, (1, 16, 6, 6), 8, (3, 3), pads=SAME, groups=4),
        convolution(30, (2, 24, 5, 5), 16, (3, 3), pads=SAME, groups=2, skip=True, shared=True),
        convolution(31, (1, 6, 5, 6), 12, (3, 3), pads=SAME, groups=6),
        convolution(32, (1, 4, 5, 3), 4, (7, 7), pads=(3, 3, 3, 3)),
        convolution(33, (1, 4, 4, 5), 4, (5, 1), pads=(4, 0, 4, 0)),
        convolution(34, (1, 4, 3, 3), 4, (1, 3), pads=(2, 5, 3, 6)),
        convolution(35, (1, 1, 9, 9), 4, (3, 3), pads=SAME),
        convolution(36, (1, 32, 9, 41), 8, (3, 3), pads=SAME, skip=True, shared=True),
        convolution(37, (1, 64, 31, 33), 4, (3, 3), pads=SAME),
        convolution(38, (1, 4, 6, 5), 4, (6, 5)),
        convolution(39, (1, 5, 2, 50), 3, (1, 40), pads=(0, 20, 0, 19)),
    ]


def single_cases() -> list[Case]:
    plain = Layout.PLAIN
    return [
        convolution(
            50, (1, 1, 49, 10), 16, (10, 4), strides=(2, 2), pads=(4, 1, 5, 1), layout=plain
        ),
        convolution(51, (2, 1, 9, 7), 6, (3, 3), pads=SAME, layout=plain, skip=True, shared=True),
        convolution(52, (1, 1, 5, 30), 4, (1, 9), dilations=(1, 2), layout=plain),
        convolution(53, (1, 1, 13, 13), 5, (5, 5), strides=(3, 2), pads=SAME, layout=plain),
        convolution(54, (1, 1, 3, 3), 1, (1, 1), layout=plain),
        convolution(55, (1, 1, 4, 4), 4, (3, 2), pads=(3, 3, 3, 3), strides=(1, 4), layout=plain),
    ]


def depthwise_cases() -> list[Case]:
    return [
        convolution(70, (1, 64, 25, 5), 64, (3, 3), pads=SAME, groups=64),
        convolution(71, (2, 7, 6, 6), 7, (3, 3), pads=SAME, groups=7, skip=True),
        convolution(72, (1, 12, 9, 37), 12, (3, 3), pads=SAME, groups=12, skip=True, shared=True),
        convolution(73, (1, 8, 33, 33), 8, (3, 3), strides=(2, 2), pads=SAME, groups=8),
        convolution(74, (1, 4, 8, 8), 4, (5, 5), pads=(2, 2, 2, 2), groups=4),
        convolution(75, (1, 4, 9, 9), 4, (3, 3), pads=(2, 2, 2, 2), dilations=(2, 2), groups=4),
        convolution(76, (1, 5, 8, 7), 5, (7, 9), pads=(3, 4, 3, 4), groups=5),
        convolution(77, (1, 8, 40, 56), 8, (3, 3), pads=SAME, groups=8),
        convolution(78, (1, 4, 6, 1), 4, (3, 3), pads=SAME, groups=4),
        convolution(79, (1, 4, 7, 6), 4, (2, 2), strides=(3, 3), groups=4),
        convolution(80, (1, 6, 5, 9), 6, (1, 3), pads=(0, 1, 0, 1), groups=6),
        convolution(81, (1, 6, 7, 9), 6, (3, 3), pads=(0, 1, 3, 1), dilations=(2, 1), groups=6),
    ]


def dense_cases() -> list[Case]:
    shapes = itertools.product([(1,), (2, 3)], [1, 7, 64], [1, 12, 33])
    return [dense(90 + i, rows, depth, outputs) for i, (rows, depth, outputs) in enumerate(shapes)]


def all_cases() -> list[Case]:
    return [
        *pointwise_cases(),
        *column_cases(),
        *single_cases(),
        *depthwise_cases(),
        *dense_cases(),
    ]


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_the_reference(target, tmp_path):
    if target.is_hexagon and shutil.which("qemu-hexagon") is None:
        pytest.skip("no emulator")
    check_cases(all_cases(), target, tmp_path / "package")


def naive_convolution(step: Convolution, x: np.ndarray) -> np.ndarray:
    """One output at a time, straight from the definition."""
    y = np.zeros(step.outputs[0].shape, np.int64)
    _, depth, kernel_height, kernel_width = step.weights.shape
    per_group = step.weights.shape[0] // step.groups
    for n, o, row, column in np.ndindex(y.shape):
        total = int(step.bias[o])
        for c, i, j in np.ndindex(depth, kernel_height, kernel_width):
            at = row * step.strides[0] + i * step.dilations[0] - step.pads[0]
            beside = column * step.strides[1] + j * step.dilations[1] - step.pads[1]
            value = step.inputs[0].quant.zero_point
            if 0 <= at < x.shape[2] and 0 <= beside < x.shape[3]:
                value = x[n, o // per_group * depth + c, at, beside]
            total += int(value) * int(step.weights[o, c, i, j])
        y[n, o, row, column] = total
    return y.astype(np.int32)


@pytest.mark.parametrize("number", [24, 26, 27, 28, 30, 34, 53, 71, 79])
def test_reference_follows_the_definition(number):
    cases = [*column_cases(), *single_cases(), *depthwise_cases()]
    case = cases[[20 + i for i in range(20)].index(number)] if number < 40 else None
    if case is None:
        offset = 20 + number - 50 if number < 70 else 26 + number - 70
        case = cases[offset]
    step = case.step
    expected = requantize(naive_convolution(step, case.inputs[0]), step.rule, 1)
    if step.skip:
        expected = add_weighted(expected, case.inputs[1], step.skip)
    (result,) = step.reference(case.inputs)
    np.testing.assert_array_equal(result, expected, strict=True)
