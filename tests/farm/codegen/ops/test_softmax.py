"""Softmax of u8: against real arithmetic, and kernels against references."""

from __future__ import annotations

import math

import numpy as np
import pytest

from farm.codegen.arithmetic import dequantize
from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.ops.integer.softmax import Softmax
from farm.codegen.program import Element
from tests.farm.codegen.kernel_harness import Case, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
SHAPES = [  # x, axis, x's scale
    ((1, 12), 1, 0.1),
    ((3, 40, 5), 1, 0.05),
    ((2, 700), -1, 0.01),
    ((1, 7), 0, 0.1),
    ((4, 2, 3), 0, 2.0),
]


def softmax(shape, axis, scale, result: float | None = None, zero_point: int = 0) -> Case:
    """result: scale of a u8 result; None for float."""
    x = tensor("x", shape, scale=scale, zero_point=3)
    y = tensor("y", shape, element=Element.F32)
    if result is not None:
        y = tensor("y", shape, scale=result, zero_point=zero_point)
    rng = np.random.default_rng(math.prod(shape))
    inputs = [rng.integers(0, 256, shape, np.uint8)]
    return Case(Softmax((x,), (y,), axis), inputs, shared=result is not None)


def float_cases() -> list[Case]:
    return [softmax(*each) for each in SHAPES]


def integer_cases() -> list[Case]:
    common = [softmax(*each, 1 / 256) for each in SHAPES]
    return [*common, softmax(*SHAPES[1], 0.003, 30), softmax(*SHAPES[0], 1 / 70000, 128)]


def expected(case: Case) -> np.ndarray:
    step = case.step
    real = dequantize(case.inputs[0], step.inputs[0].quant).astype(np.float64)
    powers = np.exp(real - real.max(axis=step.axis, keepdims=True))
    return powers / powers.sum(axis=step.axis, keepdims=True)


def all_cases() -> list[Case]:
    return [*float_cases(), *integer_cases()]


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_the_reference(program):
    program.check()


@pytest.mark.parametrize("case", float_cases(), ids=range(len(SHAPES)))
def test_float_results_are_shares(case):
    """The table has 15 digits: small exponentials are off by half of the last one."""
    (result,) = case.step.reference(case.inputs)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected(case), atol=2.0**-15)
    np.testing.assert_allclose(result.sum(axis=case.step.axis), 1, rtol=1e-6)


@pytest.mark.parametrize("case", integer_cases()[:-1], ids=range(len(SHAPES) + 1))
def test_integer_results_are_within_a_unit(case):
    (result,) = case.step.reference(case.inputs)
    y = case.step.outputs[0].quant
    wanted = np.minimum(expected(case), (255 - y.zero_point) * y.scale)
    assert np.abs(dequantize(result, y) - wanted).max() <= 0.6 * y.scale


def test_integers_saturate():
    case = integer_cases()[-1]
    (result,) = case.step.reference(case.inputs)
    assert result.max() == 255
    assert result.min() >= 128


def test_sums_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="over 65536 elements does not fit sums of 32 bits"):
        softmax((65536,), 0, 0.1)


def test_scales_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"scale of 1e-12 is too small for a softmax"):
        softmax((4,), 0, 0.1, 1e-12)
