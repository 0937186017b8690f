"""Pools and means of u8: against ONNX's reference, and kernels against references."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from farm.codegen.arithmetic import dequantize
from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.ops.integer.pool import AveragePool, MaxPool, Mean, average_rules, mean_rule
from farm.codegen.program import Layout, Quantization
from tests.farm.codegen.kernel_harness import Case, divided, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
BLOCKED, PLAIN = Layout.BLOCKED, Layout.PLAIN
X, Y = Quantization(0.03, 100), Quantization(0.031, 90)
NONE, ONE = (0, 0, 0, 0), (1, 1, 1, 1)
WINDOWS = [  # x, kernel, strides, pads
    ((1, 8, 16, 32), (2, 2), (2, 2), NONE),
    ((1, 8, 25, 5), (3, 3), (1, 1), ONE),
    ((2, 5, 7, 9), (3, 2), (2, 3), (1, 0, 1, 1)),
    ((1, 3, 1, 40), (1, 5), (1, 2), (0, 2, 0, 2)),
    ((1, 4, 9, 70), (3, 3), (2, 2), (0, 0, 1, 1)),
    ((1, 4, 6, 6), (6, 6), (1, 1), NONE),
    ((1, 4, 6, 7), (1, 1), (2, 2), NONE),
    ((1, 4, 2, 3), (5, 5), (1, 1), (2, 2, 2, 2)),
]
MEANS = [  # x, axes, layout
    ((1, 64, 25, 5), (2, 3), BLOCKED),
    ((3, 7, 3, 3), (2, 3), BLOCKED),
    ((2, 12, 40), (2,), BLOCKED),
    ((1, 36, 1, 1), (2, 3), BLOCKED),
    ((1, 16, 8, 8), (2, 3), PLAIN),
    ((1, 8, 8, 24), (1, 2), PLAIN),
    ((3, 4, 5, 6), (1, 3), PLAIN),
    ((3, 4, 5, 6), (0, 2), PLAIN),
    ((40,), (0,), PLAIN),
]


def result_shape(x, kernel, strides, pads, dilations=(1, 1)) -> tuple[int, ...]:
    reach = [(kernel[i] - 1) * dilations[i] + 1 for i in range(2)]
    return (
        *x[:2],
        *((x[2 + i] + pads[i] + pads[2 + i] - reach[i]) // strides[i] + 1 for i in range(2)),
    )


def quantised(name: str, shape, layout: Layout, given: Quantization):
    return tensor(name, shape, layout, zero_point=given.zero_point, scale=given.scale)


def elements(shape) -> np.ndarray:
    return np.random.default_rng(math.prod(shape)).integers(0, 256, shape, np.uint8)


def max_pool(x, kernel, strides, pads, dilations=(1, 1)) -> Case:
    y = result_shape(x, kernel, strides, pads, dilations)
    tensors = quantised("x", x, BLOCKED, X), quantised("y", y, BLOCKED, X)
    step = MaxPool(tensors[:1], tensors[1:], kernel, strides, pads, dilations)
    return Case(step, [elements(x)])


def average_pool(x, kernel, strides, pads, *, count_include_pad: bool) -> Case:
    y = result_shape(x, kernel, strides, pads)
    tensors = quantised("x", x, BLOCKED, X), quantised("y", y, BLOCKED, Y)
    most = math.prod(kernel)
    rules = average_rules(X, Y, (most,) if count_include_pad else range(1, most + 1))
    step = AveragePool(tensors[:1], tensors[1:], kernel, strides, pads, rules, count_include_pad)
    return Case(step, [elements(x)])


def mean(x, axes, layout, *, keep: bool = False, result: Layout = PLAIN) -> Case:
    y = tuple(1 if i in axes else n for i, n in enumerate(x) if keep or i not in axes)
    rule = mean_rule(X, Y, math.prod(x[axis] for axis in axes))
    step = Mean((quantised("x", x, layout, X),), (quantised("y", y, result, Y),), axes, rule)
    return Case(step, [elements(x)])


def max_pools() -> list[Case]:
    dilated = [
        max_pool((1, 4, 11, 13), (3, 3), (1, 1), (2, 2, 2, 2), (2, 2)),
        max_pool((1, 4, 11, 13), (3, 3), (2, 2), (2, 2, 2, 2), (2, 3)),
    ]
    return [*(max_pool(*window) for window in WINDOWS), *dilated]


def average_pools() -> list[Case]:
    return [
        average_pool(*window, count_include_pad=c) for window in WINDOWS for c in (True, False)
    ]


def means() -> list[Case]:
    kept = [mean(*each, keep=True) for each in MEANS[:2]]
    return [*(mean(*each) for each in MEANS), *kept, mean(*MEANS[0], keep=True, result=BLOCKED)]


def label(case: Case) -> str:
    return "x".join(str(n) for n in case.step.inputs[0].shape)


def all_cases() -> list[Case]:
    return [*max_pools(), *average_pools(), *means()]


def cases_for(target: Target) -> Sequence[Case]:
    return divided(all_cases(), target)


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_the_reference(program):
    program.check()


def onnx_result(operator: str, x: np.ndarray, **attributes) -> np.ndarray:
    node = helper.make_node(operator, ["x"], ["y"], **attributes)
    return ReferenceEvaluator(node).run(None, {"x": x})[0]


def representable(real: np.ndarray) -> np.ndarray:
    """Real numbers limited to those that Y has."""
    return np.clip(real, -Y.zero_point * Y.scale, (255 - Y.zero_point) * Y.scale)


@pytest.mark.parametrize("case", max_pools(), ids=label)
def test_largest_elements_are_those_of_onnx(case):
    step = case.step
    expected = onnx_result(
        "MaxPool",
        case.inputs[0].astype(np.float32),
        kernel_shape=step.kernel,
        strides=step.strides,
        pads=step.pads,
        dilations=step.dilations,
    )
    np.testing.assert_array_equal(step.reference(case.inputs)[0], expected)


@pytest.mark.parametrize("case", average_pools(), ids=label)
def test_averages_are_within_a_unit_of_those_of_onnx(case):
    step = case.step
    expected = onnx_result(
        "AveragePool",
        dequantize(case.inputs[0], X),
        kernel_shape=step.kernel,
        strides=step.strides,
        pads=step.pads,
        count_include_pad=int(step.count_include_pad),
    )
    error = dequantize(step.reference(case.inputs)[0], Y) - representable(expected)
    assert np.abs(error).max() <= Y.scale


@pytest.mark.parametrize("case", means(), ids=label)
def test_means_are_as_exact_as_their_rule(case):
    """Rounded are the offset, in units of x's sum, the product if shifted later, and the end."""
    real = dequantize(case.inputs[0], X).astype(np.float64).mean(axis=case.step.axes)
    (result,) = case.step.reference(case.inputs)
    error = dequantize(result, Y) - representable(real.reshape(result.shape))
    count, rule = math.prod(case.inputs[0].shape) // result.size, case.step.rule
    between = 2.0**-rule.post_shift if rule.post_shift else 0
    units = 0.5 * (1 + between + X.scale / (count * Y.scale)) + 0.01
    assert np.abs(error).max() <= units * Y.scale


def test_a_window_of_one_element_keeps_it():
    case = max_pool((1, 4, 3, 3), (1, 1), (1, 1), NONE)
    tensors = case.step.inputs, case.step.outputs
    step = AveragePool(*tensors, (1, 1), (1, 1), NONE, average_rules(X, X, (1,)))
    np.testing.assert_array_equal(step.reference(case.inputs)[0], case.inputs[0])


def test_means_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="a mean of 8388609 elements does not fit"):
        mean_rule(X, Y, 8388609)
    with pytest.raises(ValueError, match="a mean of 8000000 elements does not fit"):
        mean_rule(Quantization(0.1, 0), Quantization(0.05, 255), 8_000_000)
    with pytest.raises(ValueError, match="are not between 0 and 1"):
        mean_rule(X, Quantization(0.01, 0), 2)


def test_means_over_too_many_alternating_axes_are_refused():
    x, y = tensor("x", (2, 2, 2, 2, 2)), tensor("y", (2, 2))
    with pytest.raises(ValueError, match=r"over the axes \[0, 2, 4\] takes 5 nested loops"):
        Mean((x,), (y,), (0, 2, 4), mean_rule(X, Y, 8))
