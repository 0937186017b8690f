"""Convolutions and matrix products: references against naive loops, kernels against references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.codegen.arithmetic import (
    Requantization,
    WeightedSum,
    add_weighted,
    requantization,
    requantize,
)
from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.ops.integer.convolution import Convolution
from farm.codegen.ops.integer.dense import Dense
from farm.codegen.program import Layout
from tests.farm.codegen.kernel_harness import Case, divided, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
SAME = (1, 1, 1, 1)
ADDED = WeightedSum(-9000, 21000, 123456, 14, 3, 250)


def spread(rng: np.random.Generator, channels: int, depth: int) -> Requantization:
    """Factors that spread results of random data over the whole range, and beyond."""
    factors = rng.uniform(1, 8, channels) / (20000 * np.sqrt(depth))
    lowest, highest = (0, 255) if rng.integers(2) else (9, 201)
    return requantization(factors, int(rng.integers(0, 256)), lowest, highest)


def convolution(  # x: [N, C, H, W]; outputs: channels
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
    """A convolution of random data; shared: in the place of its second input."""
    rng = np.random.default_rng([*x, outputs, *kernel, groups])
    size = [
        (x[2 + i] + pads[i] + pads[2 + i] - (kernel[i] - 1) * dilations[i] - 1) // strides[i] + 1
        for i in range(2)
    ]
    result = (x[0], outputs, *size)
    given_x = tensor("x", x, layout, zero_point=int(rng.integers(0, 256)))
    added = tensor("added", result, Layout.BLOCKED, zero_point=11)
    rule = spread(rng, outputs, x[1] // groups * kernel[0] * kernel[1])
    step = Convolution(
        inputs=(given_x, added) if skip else (given_x,),
        outputs=(tensor("y", result, Layout.BLOCKED, zero_point=5),),
        weights=rng.integers(-128, 128, (outputs, x[1] // groups, *kernel)).astype(np.int8),
        bias=rng.integers(-9000, 9000, outputs).astype(np.int32) + rule.offset,
        rule=rule,
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=groups,
        skip=ADDED if skip else None,
    )
    return Case(step, [rng.integers(0, 256, each.shape, np.uint8) for each in step.inputs], shared)


def dense(rows: tuple[int, ...], depth: int, outputs: int) -> Case:
    rng = np.random.default_rng([*rows, depth, outputs])
    x, y = tensor("x", (*rows, depth)), tensor("y", (*rows, outputs))
    rule = spread(rng, outputs, depth)
    weights = rng.integers(-128, 128, (outputs, depth)).astype(np.int8)
    return Case(
        Dense((x,), (y,), weights, rule.offset, rule),
        [rng.integers(0, 256, x.shape, np.uint8)],
    )


def pointwise_cases() -> list[Case]:
    return [
        convolution((1, 64, 25, 5), 64, (1, 1)),
        convolution((1, 3, 1, 1), 5, (1, 1)),
        convolution((2, 9, 7, 9), 10, (1, 1)),
        convolution((1, 8, 3, 43), 12, (1, 1), skip=True),
        convolution((1, 8, 5, 27), 36, (1, 1), skip=True, shared=True),
        convolution((2, 16, 3, 11), 8, (1, 1), groups=2, skip=True, shared=True),
        convolution((1, 6, 4, 5), 9, (1, 1), groups=3),
        convolution((1, 2, 4, 5), 6, (1, 1), groups=2),
        convolution((1, 1, 6, 7), 5, (1, 1)),
    ]


def pointwise_small_cases() -> list[Case]:
    """Groups of 128 outputs: of whole blocks or not, with a tile's positions, less and more."""
    shapes = [
        ((1, 16, 3, 3), 256), ((1, 64, 6, 6), 128), ((2, 20, 1, 1), 120), ((1, 7, 2, 1), 126),
        ((2, 33, 4, 4), 381), ((1, 12, 1, 7), 128), ((1, 200, 5, 7), 128), ((3, 8, 2, 4), 128),
        ((1, 40, 1, 5), 250),
    ]  # fmt: skip
    return [convolution(x, outputs, (1, 1)) for x, outputs in shapes]


def column_cases() -> list[Case]:
    return [
        convolution((1, 16, 32, 32), 16, (3, 3), pads=SAME, skip=True, shared=True),
        convolution((1, 3, 32, 32), 16, (3, 3), pads=SAME),
        convolution((1, 16, 16, 16), 32, (3, 3), strides=(2, 2), pads=(0, 0, 1, 1)),
        convolution((1, 64, 8, 8), 8, (3, 3), pads=SAME),
        convolution((1, 16, 16, 16), 8, (1, 1), strides=(2, 2)),
        convolution((2, 5, 13, 11), 7, (3, 3), pads=SAME, skip=True),
        convolution((1, 8, 9, 9), 4, (3, 3), pads=(2, 2, 2, 2), dilations=(2, 2)),
        convolution((1, 4, 12, 10), 6, (2, 3), strides=(2, 1), pads=(1, 0, 0, 2)),
        convolution((1, 4, 11, 17), 4, (3, 5), strides=(3, 3), pads=(0, 4, 1, 2)),
        convolution((1, 8, 17, 15), 8, (3, 3), strides=(2, 2), pads=SAME, dilations=(2, 3)),
        convolution((1, 16, 6, 6), 8, (3, 3), pads=SAME, groups=4),
        convolution((2, 24, 5, 5), 16, (3, 3), pads=SAME, groups=2, skip=True, shared=True),
        convolution((1, 6, 5, 6), 12, (3, 3), pads=SAME, groups=6),
        convolution((1, 4, 5, 3), 4, (7, 7), pads=(3, 3, 3, 3)),
        convolution((1, 4, 4, 5), 4, (5, 1), pads=(4, 0, 4, 0)),
        convolution((1, 4, 3, 3), 4, (1, 3), pads=(2, 5, 3, 6)),
        convolution((1, 1, 9, 9), 4, (3, 3), pads=SAME),
        convolution((1, 32, 9, 41), 8, (3, 3), pads=SAME, skip=True, shared=True),
        # Planes smaller than a vector, many of them: stores that overlap must keep their order.
        convolution((1, 64, 3, 3), 64, (3, 3), pads=SAME),
        convolution((1, 32, 4, 5), 12, (3, 3), pads=SAME),
        convolution((1, 64, 31, 33), 4, (3, 3), pads=SAME),
        convolution((1, 4, 6, 5), 4, (6, 5)),
        convolution((1, 5, 2, 50), 3, (1, 40), pads=(0, 20, 0, 19)),
        convolution((1, 4, 3, 150), 4, (3, 3), strides=(1, 2), pads=(1, 70, 1, 70)),
        *straight_cases(),
        *halved_cases(),
        *paired_cases(),
    ]


def straight_cases() -> list[Case]:
    """Rows as long as those of x, whole vectors or not, with more taps than are built together."""
    return [
        convolution((1, 4, 7, 64), 4, (3, 3), pads=SAME),
        convolution((1, 8, 5, 32), 4, (5, 5), pads=(2, 2, 2, 2)),
        convolution((1, 5, 6, 48), 7, (3, 7), pads=(1, 3, 1, 3), skip=True, shared=True),
        convolution((1, 12, 9, 16), 4, (3, 9), pads=(1, 4, 1, 4)),
        convolution((2, 8, 11, 8), 4, (2, 3), pads=(1, 1, 0, 1), groups=2),
        convolution((1, 4, 70, 4), 4, (3, 3), pads=SAME),
        convolution((1, 4, 40, 2), 4, (3, 3), pads=SAME),
        convolution((1, 4, 6, 32), 4, (1, 3), pads=(0, 12, 0, 12), dilations=(1, 12)),
        convolution((1, 4, 1, 37), 4, (3, 3), pads=SAME),
        convolution((1, 4, 20, 1), 4, (3, 3), pads=SAME),
        convolution((1, 4, 5, 16), 4, (9, 3), pads=(4, 1, 4, 1)),
    ]


def halved_cases() -> list[Case]:
    """Every second column: some rows in a vector, or vectors in a row, of every target."""
    two = (2, 2)
    return [
        *(
            convolution((1, 8, 13, width), 8, (3, 3), strides=two, pads=SAME)
            for width in (7, 8, 16, 31, 32, 64, 96)
        ),
        convolution((1, 16, 32, 32), 8, (3, 3), strides=two, pads=(0, 0, 1, 1)),
        convolution((1, 32, 16, 16), 8, (3, 3), strides=two, pads=(0, 0, 1, 1), skip=True),
        convolution((2, 8, 9, 16), 8, (5, 5), strides=two, pads=(2, 2, 2, 2), groups=2),
        convolution((1, 4, 11, 70), 5, (3, 7), strides=two, pads=(1, 3, 1, 3)),
        convolution((1, 4, 12, 32), 4, (3, 3), strides=(1, 2), pads=SAME),
        convolution((1, 4, 12, 64), 4, (3, 3), strides=(3, 2), pads=(1, 0, 1, 1)),
        convolution((1, 8, 14, 32), 4, (2, 2), strides=two),
        convolution((1, 8, 14, 36), 4, (3, 3), strides=two, pads=(2, 2, 2, 2), dilations=(1, 2)),
        convolution((1, 4, 1, 16), 4, (3, 3), strides=two, pads=SAME),
        convolution((1, 4, 2, 130), 4, (3, 3), strides=two, pads=SAME),
    ]


def paired_cases() -> list[Case]:
    """Every second column of rows that end in the middle of a vector of some target."""
    two = (2, 2)
    return [
        convolution((1, 3, 26, 96), 8, (3, 3), strides=two, pads=SAME),
        convolution((1, 3, 25, 97), 4, (3, 3), strides=two),
        convolution((1, 3, 16, 160), 5, (1, 3), strides=two, pads=(0, 0, 0, 1)),
        convolution((1, 3, 8, 224), 4, (1, 3), strides=two, pads=(0, 1, 0, 1)),
        convolution((1, 3, 12, 95), 4, (1, 3), strides=two, pads=(0, 2, 0, 0)),
        convolution((1, 4, 17, 96), 4, (4, 5), strides=two, pads=(1, 2, 1, 2)),
        convolution(
            (1, 4, 13, 96), 4, (3, 3), strides=(1, 2), pads=(0, 2, 0, 2), dilations=(1, 2)
        ),
        convolution((1, 4, 30, 99), 4, (1, 2), strides=(3, 2), dilations=(1, 4)),
        convolution((1, 4, 8, 92), 4, (1, 5), strides=two, pads=(0, 31, 0, 0), dilations=(1, 7)),
        convolution(
            (2, 12, 8, 96), 6, (1, 3), strides=two, pads=(0, 1, 0, 1), groups=2, skip=True
        ),
        *(
            convolution((1, 4, 12, 2 * width), 4, (1, 3), strides=two, pads=(0, 1, 0, 0))
            for width in (6, 10, 12, 20, 24, 40, 48)
        ),
    ]


def single_cases() -> list[Case]:
    x = Layout.PLAIN
    return [
        convolution((1, 1, 49, 10), 16, (10, 4), strides=(2, 2), pads=(4, 1, 5, 1), layout=x),
        convolution((2, 1, 9, 7), 6, (3, 3), pads=SAME, layout=x, skip=True, shared=True),
        convolution((1, 1, 5, 30), 4, (1, 9), dilations=(1, 2), layout=x),
        convolution((1, 1, 13, 13), 5, (5, 5), strides=(3, 2), pads=SAME, layout=x),
        convolution((1, 1, 3, 3), 1, (1, 1), layout=x),
        convolution((1, 1, 4, 4), 4, (3, 2), pads=(3, 3, 3, 3), strides=(1, 4), layout=x),
        # Vectors of bytes: short rows and long ones, steps of one and two, several words.
        convolution((1, 1, 30, 32), 8, (3, 3), pads=SAME, layout=x),
        convolution((1, 1, 12, 100), 4, (3, 3), pads=SAME, layout=x),
        convolution((1, 1, 9, 131), 5, (3, 7), pads=(1, 3, 1, 3), strides=(2, 2), layout=x),
        convolution((2, 1, 40, 20), 4, (2, 6), pads=(0, 2, 1, 3), dilations=(2, 1), layout=x),
        convolution((1, 1, 1, 200), 4, (1, 13), pads=(0, 6, 0, 6), strides=(1, 2), layout=x),
        convolution((1, 1, 3, 5), 4, (7, 5), pads=(6, 4, 6, 4), layout=x),
        convolution((1, 1, 50, 1), 4, (5, 1), pads=(2, 0, 2, 0), layout=x),
        convolution((1, 1, 6, 9), 4, (3, 9), pads=(1, 0, 1, 150), strides=(1, 2), layout=x),
    ]


def depthwise_cases() -> list[Case]:
    return [
        convolution((1, 64, 25, 5), 64, (3, 3), pads=SAME, groups=64),
        convolution((2, 7, 6, 6), 7, (3, 3), pads=SAME, groups=7, skip=True),
        convolution((1, 12, 9, 37), 12, (3, 3), pads=SAME, groups=12, skip=True, shared=True),
        convolution((1, 8, 33, 33), 8, (3, 3), strides=(2, 2), pads=SAME, groups=8),
        convolution((1, 4, 8, 8), 4, (5, 5), pads=(2, 2, 2, 2), groups=4),
        convolution((1, 4, 9, 9), 4, (3, 3), pads=(2, 2, 2, 2), dilations=(2, 2), groups=4),
        convolution((1, 5, 8, 7), 5, (7, 9), pads=(3, 4, 3, 4), groups=5),
        convolution((1, 8, 40, 56), 8, (3, 3), pads=SAME, groups=8),
        convolution((1, 4, 6, 1), 4, (3, 3), pads=SAME, groups=4),
        convolution((1, 4, 7, 6), 4, (2, 2), strides=(3, 3), groups=4),
        convolution((1, 6, 5, 9), 6, (1, 3), pads=(0, 1, 0, 1), groups=6),
        convolution((1, 6, 7, 9), 6, (3, 3), pads=(0, 1, 3, 1), dilations=(2, 1), groups=6),
    ]


def depthwise_three_cases() -> list[Case]:
    """Images that are wide and small on some target, by all strides, with and without sums."""
    even, left = (1, 1, 0, 1), (0, 1, 1, 0)
    shapes = [
        ((1, 8, 12, 48), (3, 3), SAME, (1, 1), False),
        ((1, 6, 7, 33), (3, 3), SAME, (1, 1), True),
        ((1, 8, 6, 12), (3, 3), SAME, (1, 1), True),
        ((2, 40, 3, 3), (3, 3), SAME, (1, 1), False),
        ((1, 12, 3, 3), (3, 3), SAME, (1, 1), True),
        ((1, 20, 6, 6), (5, 3), (2, 1, 2, 1), (1, 1), False),
        ((1, 8, 9, 5), (3, 3), (0, 1, 0, 1), (1, 1), False),
        ((1, 4, 5, 70), (7, 3), (3, 1, 3, 1), (1, 1), False),
        ((1, 8, 20, 48), (3, 3), SAME, (2, 2), False),
        ((1, 8, 9, 32), (3, 3), (1, 0, 1, 1), (2, 2), False),
        ((1, 4, 9, 31), (3, 3), SAME, (2, 2), True),
        ((1, 4, 6, 66), (3, 3), SAME, (2, 2), True),
        ((2, 20, 6, 6), (3, 3), SAME, (2, 2), False),
        ((1, 16, 12, 12), (3, 3), left, (2, 2), False),
        ((1, 8, 14, 14), (3, 3), even, (2, 2), False),
        ((1, 12, 6, 4), (3, 3), (1, 0, 1, 1), (2, 2), True),
        ((1, 24, 8, 2), (5, 3), (2, 1, 2, 1), (2, 2), False),
        ((1, 4, 10, 16), (3, 3), SAME, (2, 2), False),
        ((1, 8, 8, 10), (3, 3), SAME, (2, 1), False),
        ((1, 8, 8, 10), (3, 3), SAME, (1, 2), False),
        ((1, 4, 9, 8), (1, 3), (0, 1, 0, 1), (2, 2), False),
    ]
    return [
        convolution(
            x, x[1], kernel, pads=pads, strides=strides, groups=x[1], skip=skip, shared=skip
        )
        for x, kernel, pads, strides, skip in shapes
    ]


def dense_cases() -> list[Case]:
    shapes = [
        ((1,), 64, 12),
        ((1,), 7, 33),
        ((3, 1), 1, 1),
        ((5,), 64, 70),
        ((2, 2), 9, 12),
        # Strips of 128 outputs: full ones, one that is not, and 32 outputs after one.
        ((1,), 40, 256),
        ((7,), 12, 101),
        ((9,), 6, 141),
        ((1,), 30, 230),
        ((1,), 1, 97),
        ((4,), 16, 96),
        ((2,), 3, 128),
    ]
    return [dense(*each) for each in shapes]


def all_cases() -> list[Case]:
    depthwise = [*depthwise_cases(), *depthwise_three_cases()]
    pointwise = [*pointwise_cases(), *pointwise_small_cases()]
    return [*pointwise, *column_cases(), *single_cases(), *depthwise, *dense_cases()]


def cases_for(target: Target) -> Sequence[Case]:
    return divided(all_cases(), target)


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_the_references(program):
    program.check()


def naive_convolution(step: Convolution, x: np.ndarray) -> np.ndarray:
    """Accumulators one by one, straight from the definition."""
    sums = np.zeros(step.outputs[0].shape, np.int32)
    _, depth, *kernel = step.weights.shape
    for n, o, row, column in np.ndindex(sums.shape):
        first = o // (step.weights.shape[0] // step.groups) * depth
        total = int(step.bias[o])
        for c, i, j in np.ndindex(depth, *kernel):
            at = row * step.strides[0] + i * step.dilations[0] - step.pads[0]
            beside = column * step.strides[1] + j * step.dilations[1] - step.pads[1]
            is_inside = 0 <= at < x.shape[2] and 0 <= beside < x.shape[3]
            value = x[n, first + c, at, beside] if is_inside else step.inputs[0].quant.zero_point
            total += int(value) * int(step.weights[o, c, i, j])
        sums[n, o, row, column] = total
    return sums


@st.composite
def small_convolutions(draw) -> Case:
    groups, inputs, outputs = draw(st.tuples(*[st.integers(1, 3)] * 3))
    kernel, strides, dilations = (draw(st.tuples(*[st.integers(1, 3)] * 2)) for _ in range(3))
    pads = draw(st.tuples(*[st.integers(0, 3)] * 4))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    height, width = (draw(st.integers(max(1, n - pads[i]), n + 4)) for i, n in enumerate(reach))
    return convolution(
        (draw(st.integers(1, 2)), groups * inputs, height, width),
        groups * outputs,
        kernel,
        strides=strides,
        pads=pads,
        dilations=dilations,
        groups=groups,
        skip=draw(st.booleans()),
    )


@given(small_convolutions())
@settings(max_examples=40, deadline=None)
def test_the_reference_follows_the_definition(case):
    step = case.step
    expected = requantize(naive_convolution(step, case.inputs[0]), step.rule, 1)
    if step.skip:
        expected = add_weighted(expected, case.inputs[1], step.skip)
    (result,) = step.reference(case.inputs)
    np.testing.assert_array_equal(result, expected, strict=True)


def test_the_output_may_replace_the_input_that_is_added_to_it():
    step = column_cases()[0].step
    assert step.in_place == ((0, 1),)
    assert replace(step, inputs=step.inputs[:1] * 2).in_place == ()
    assert pointwise_cases()[0].step.in_place == ()


def test_depthwise_kernels_three_wide_are_those_of_neighbours():
    """Where a tap lies further outside, or between the columns, any kernel's planes are built."""
    assert {case.step.work.kernel for case in depthwise_three_cases()} == {"depthwise_three"}
    others = [
        convolution((1, 4, 9, 9), 4, (3, 3), pads=(2, 2, 2, 2), groups=4),
        convolution((1, 4, 9, 9), 4, (3, 3), strides=(2, 2), groups=4),
        convolution((1, 4, 9, 9), 4, (3, 3), strides=(3, 3), groups=4),
        convolution((1, 4, 9, 9), 4, (3, 2), pads=SAME, groups=4),
        convolution((1, 4, 9, 9), 4, (3, 3), pads=(2, 1, 2, 1), dilations=(2, 1), groups=4),
    ]
    assert {case.step.work.kernel for case in others} == {"depthwise"}


def test_pointwise_kernels_have_outputs_in_lanes_where_positions_are_few():
    small = {case.step.work.kernel for case in pointwise_small_cases()}
    assert small == {"pointwise_small"}
    others = [
        convolution((1, 128, 8, 8), 128, (1, 1)),  # no lane is lost to positions
        convolution((1, 128, 3, 3), 64, (1, 1)),  # half of the lanes would be to outputs
        convolution((1, 128, 3, 3), 128, (1, 1), skip=True),
        convolution((1, 128, 3, 3), 128, (1, 1), groups=2),
    ]
    assert {case.step.work.kernel for case in others} == {"conv_pointwise"}


def test_rows_of_columns_are_built_by_twos_where_two_are_whole_vectors():
    def loops(width: int, height: int = 96) -> set[str]:
        step = convolution((1, 3, height, width), 8, (3, 3), strides=(2, 2), pads=SAME).step
        return {loop.name for loop in step.work.loops}

    assert "paired_rows" in loops(96)
    assert "long_rows" in loops(192)  # every row is three vectors,
    assert "long_rows" in loops(96, 2)  # and there is but one


def test_scratch_memory_grows_with_rows_not_with_images():
    small = convolution((1, 16, 32, 32), 16, (3, 3), pads=SAME).step
    large = convolution((1, 16, 512, 32), 16, (3, 3), pads=SAME).step
    assert small.scratch_bytes == large.scratch_bytes
    assert pointwise_cases()[0].step.scratch_bytes == 0
