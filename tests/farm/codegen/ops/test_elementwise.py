"""Sums, products and tables of u8: against real arithmetic, and kernels against references."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.codegen.arithmetic import dequantize, quantize, requantization, weighted_sum
from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.ops.integer.elementwise import (
    ChannelTable,
    Product,
    Table,
    WeightedAdd,
    unary_table,
)
from farm.codegen.program import Layout, Quantization
from tests.farm.codegen.kernel_harness import Case, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
BLOCKED, PLAIN = Layout.BLOCKED, Layout.PLAIN
A, B, Y = Quantization(0.02, 120), Quantization(0.05, 3), Quantization(0.06, 77)
SHAPES = [  # of a, b and y
    ((1, 16, 25, 5), (1, 16, 25, 5), (1, 16, 25, 5), BLOCKED),
    ((2, 3, 5, 7), (2, 3, 5, 7), (2, 3, 5, 7), BLOCKED),
    ((3, 7, 11), (3, 7, 11), (3, 7, 11), PLAIN),
    ((2, 3, 4, 5), (4, 1), (2, 3, 4, 5), PLAIN),
    ((1, 3, 1, 5), (2, 1, 4, 1), (2, 3, 4, 5), PLAIN),
    ((2, 40), (40,), (2, 40), PLAIN),
    ((3,), (3,), (3,), PLAIN),
    ((150,), (1,), (150,), PLAIN),
]


def operand(name: str, shape: tuple[int, ...], layout: Layout, given: Quantization):
    return tensor(name, shape, layout, zero_point=given.zero_point, scale=given.scale)


def elements(rng: np.random.Generator, shape) -> np.ndarray:
    return rng.integers(0, 256, shape, np.uint8)


def binary_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    rules = [weighted_sum(A, B, Y), weighted_sum(A, B, Y, -1, relu=True)]
    factor = requantization(np.array([A.scale * B.scale / Y.scale]), Y.zero_point, 9, 250)
    cases = []
    for index, (first, second, result, layout) in enumerate(SHAPES):
        a, b = operand("a", first, layout, A), operand("b", second, layout, B)
        y = operand("y", result, layout, Y)
        rule, constant = rules[index % 2], elements(rng, second)
        steps = [
            WeightedAdd((a, b), (y,), rule),
            WeightedAdd((a,), (y,), rule, constant),
            Product((a, b), (y,), factor),
            Product((a,), (y,), factor, constant, 9),
        ]
        for number, step in enumerate(steps):
            arrays = [elements(rng, each.shape) for each in step.inputs]
            shared = bool(step.in_place) and (index + number) % 2 == 1
            cases.append(Case(step, arrays, shared))
    return cases


def table_cases(seed: int) -> list[Case]:
    rng = np.random.default_rng(seed)
    cases = []
    for shape, layout in [
        ((1, 12, 25, 5), BLOCKED),
        ((2, 5, 3, 3), BLOCKED),
        ((2, 3, 47), PLAIN),
        ((1, 2), PLAIN),
    ]:
        x, y = tensor("x", shape, layout), tensor("y", shape, layout)
        steps = [
            Table((x,), (y,), elements(rng, 256)),
            ChannelTable((x,), (y,), elements(rng, (shape[1], 256))),
        ]
        cases += [Case(step, [elements(rng, shape)], shared=len(shape) > 2) for step in steps]
    return cases


def all_cases() -> list[Case]:
    return [*binary_cases(1), *table_cases(2)]


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_the_reference(program):
    program.check()


@given(st.integers(0, 2**32 - 1), st.sampled_from([1, -1]))
def test_sums_are_within_a_unit_of_real_ones(seed, sign):
    rng = np.random.default_rng(seed)
    a, b = elements(rng, 50), elements(rng, 50)
    tensors = [operand(n, (50,), PLAIN, q) for n, q in (("a", A), ("b", B), ("y", Y))]
    step = WeightedAdd((tensors[0], tensors[1]), (tensors[2],), weighted_sum(A, B, Y, sign))
    (result,) = step.reference([a, b])
    real = quantize(dequantize(a, A) + sign * dequantize(b, B), Y)
    assert np.abs(result.astype(int) - real).max() <= 1


@given(st.integers(0, 2**32 - 1))
def test_products_are_within_a_unit_of_real_ones(seed):
    rng = np.random.default_rng(seed)
    a, b = elements(rng, 50), elements(rng, 50)
    tensors = [operand(n, (50,), PLAIN, q) for n, q in (("a", A), ("b", B), ("y", Y))]
    rule = requantization(np.array([A.scale * B.scale / Y.scale]), Y.zero_point)
    (result,) = Product((tensors[0], tensors[1]), (tensors[2],), rule).reference([a, b])
    real = quantize(dequantize(a, A) * dequantize(b, B), Y)
    assert np.abs(result.astype(int) - real).max() <= 1


def test_a_constant_takes_the_place_of_the_second_operand():
    rng = np.random.default_rng(3)
    a, b, y = (operand(n, (4, 5), PLAIN, q) for n, q in (("a", A), ("b", B), ("y", Y)))
    first, second = elements(rng, (4, 5)), elements(rng, (4, 5))
    rule = requantization(np.array([0.01]), 77)
    both = Product((a, b), (y,), rule).reference([first, second])
    known = Product((a,), (y,), rule, second, B.zero_point).reference([first])
    np.testing.assert_array_equal(both[0], known[0])


def test_only_whole_operands_are_overwritten():
    a, b, y = (operand(n, s, PLAIN, A) for n, s in (("a", (3, 4)), ("b", (4,)), ("y", (3, 4))))
    rule = weighted_sum(A, A, A)
    assert WeightedAdd((a, b), (y,), rule).in_place == ((0, 0),)
    assert WeightedAdd((b, a), (y,), rule).in_place == ((0, 1),)
    assert WeightedAdd((a, y), (y,), rule).in_place == ((0, 0), (0, 1))


def test_broadcasts_that_need_too_many_loops_are_refused():
    a, b = tensor("a", (2, 1, 2, 1, 2)), tensor("b", (1, 2, 1, 2, 1))
    y = tensor("y", (2, 2, 2, 2, 2))
    with pytest.raises(ValueError, match="takes 5 nested loops, and the kernel has 4"):
        WeightedAdd((a, b), (y,), weighted_sum(A, A, A))


def test_a_table_holds_every_result_of_a_function():
    table = unary_table(np.tanh, A, Quantization(1 / 128, 128))
    reals = dequantize(np.arange(256, dtype=np.uint8), A)
    np.testing.assert_allclose((table.astype(int) - 128) / 128, np.tanh(reals), atol=1 / 120)


def test_a_table_of_the_same_quantisation_changes_nothing():
    np.testing.assert_array_equal(unary_table(lambda x: x, A, A), np.arange(256))


def test_functions_that_are_not_numbers_are_refused():
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(ValueError, match=r"not a number at -2\.4, which its input can be"),
    ):
        unary_table(np.sqrt, A, Y)
