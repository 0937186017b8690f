"""Float steps: near their references, within their outputs, the same bits on every target."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from farm.codegen.build.compilers import CompilerKind, Target, find_compilers, host_targets
from farm.codegen.ops.floats.convolution import FloatConvolution
from farm.codegen.ops.floats.elementwise import (
    BinaryFunction,
    FloatAffine,
    FloatBinary,
    FloatUnary,
    UnaryFunction,
    broadcast_loops,
)
from farm.codegen.ops.floats.matmul import FloatMatMul
from farm.codegen.ops.floats.norm import FloatLayerNorm
from farm.codegen.ops.floats.pool import FloatPool
from farm.codegen.ops.floats.recurrent import Cell, FloatRecurrent
from farm.codegen.ops.floats.reduce import FloatReduce, FloatSoftmax, Reduction
from farm.codegen.ops.floats.resample import FloatResample, Taps
from farm.codegen.ops.floats.transposed import FloatTransposed
from farm.codegen.ops.floats.window import Window
from farm.codegen.program import Element, Step, Tensor
from tests.farm.codegen.kernel_harness import Case, KernelProgram, tensor

TARGETS = [*host_targets(), Target.HEXAGON_HVX]
COMPILERS = [each for each in find_compilers(TARGETS[0]) if each.kind is CompilerKind.GCC]
RNG = np.random.default_rng(11)


def numbers(*shape: int) -> np.ndarray:
    """Random numbers, zeros of both signs among them."""
    drawn = RNG.standard_normal(shape).astype(np.float32)
    signs = RNG.choice([0.0, -0.0], shape).astype(np.float32)
    return np.where(RNG.random(shape) < 0.1, signs, drawn)


def floats(name: str, *shape: int) -> Tensor:
    return tensor(name, shape, element=Element.F32)


def window(
    kernel: Sequence[int],
    strides: Sequence[int] = (1, 1, 1),
    pads: Sequence[int] = (0, 0, 0, 0, 0, 0),
    dilations: Sequence[int] = (1, 1, 1),
) -> Window:
    rank = len(kernel)
    return Window(
        tuple(kernel),
        tuple(strides[:rank]),
        tuple(dilations[:rank]),
        tuple(pads[:rank]),
        tuple(pads[rank : 2 * rank]),
    )


def results(x: Sequence[int], span: Window) -> list[int]:
    parts = zip(x, span.begin, span.end, span.kernel, span.strides, span.dilations, strict=True)
    return [(n + b + e - (k - 1) * d - 1) // s + 1 for n, b, e, k, s, d in parts]


def convolution(x: Sequence[int], outputs: int, span: Window, groups: int = 1) -> FloatConvolution:
    y = floats("y", x[0], outputs, *results(x[2:], span))
    weights = numbers(outputs, x[1] // groups, *span.kernel)
    return FloatConvolution((floats("x", *x),), (y,), weights, numbers(outputs), span, groups)


def pool(
    x: Sequence[int],
    span: Window,
    *,
    average: bool,
    counts_padding: bool = False,
    extra: int = 0,
) -> FloatPool:
    """extra: windows at the end that reach beyond the padding, as ceil_mode has them."""
    y = floats("y", *x[:2], *(n + extra for n in results(x[2:], span)))
    return FloatPool((floats("x", *x),), (y,), span, average, counts_padding)


def binary(function: BinaryFunction, a: Sequence[int], b: Sequence[int]) -> FloatBinary:
    y = floats("y", *np.broadcast_shapes(tuple(a), tuple(b)))
    return FloatBinary((floats("a", *a), floats("b", *b)), (y,), function)


def matmul(a: Sequence[int], b: Sequence[int], bias: bool = False) -> FloatMatMul:
    product = np.zeros(a) @ np.zeros(b)
    given = (floats("a", *a),)
    added = numbers(b[-1]) if bias else None
    return FloatMatMul(given, (floats("y", *product.shape),), (None, numbers(*b)), added)


def transposed(
    x: Sequence[int], outputs: int, span: Window, groups: int = 1, extra: int = 0
) -> FloatTransposed:
    """extra: positions at the end that no window reaches."""
    parts = zip(
        x[2:], span.begin, span.end, span.kernel, span.strides, span.dilations, strict=True
    )
    sizes = [(n - 1) * s + (k - 1) * d + 1 - b - e + extra for n, b, e, k, s, d in parts]
    y = floats("y", x[0], outputs, *sizes)
    weights = numbers(x[1], outputs // groups, *span.kernel)
    return FloatTransposed((floats("x", *x),), (y,), weights, numbers(outputs), span, groups)


def recurrent(
    cell: Cell,
    directions: int,
    wanted: tuple[bool, bool, bool],
    *,
    given: tuple[bool, bool] = (False, False),
    reverse: bool = False,
    linear: bool = False,
    batch_first: bool = False,
) -> FloatRecurrent:
    """5 steps, a batch of 2, 7 inputs, 19 hidden elements."""
    steps, batch, inputs, hidden = 5, 2, 7, 19
    gates = (4 if cell is Cell.LSTM else 3) * hidden
    state = (batch, directions, hidden) if batch_first else (directions, batch, hidden)
    whole = (steps, *state) if not batch_first else (batch, steps, directions, hidden)
    x = floats("x", *((batch, steps) if batch_first else (steps, batch)), inputs)
    results = (floats("y", *whole), floats("last", *state), floats("cell", *state))
    first = numbers(*state) if not given[0] and reverse else None
    return FloatRecurrent(
        (x, *(floats(f"s{i}", *state) for i in range(2) if given[i])),
        tuple(each for each, is_wanted in zip(results, wanted, strict=True) if is_wanted),
        cell,
        numbers(directions, gates, inputs) / 3,
        numbers(directions, gates, hidden) / 4,
        numbers(directions, 4 * hidden),
        numbers(directions, 3 * hidden),
        given,
        (first, None),
        wanted,
        reverse,
        linear,
        batch_first,
    )


def layer_norm(
    x: Sequence[int], row: int, *, has_mean: bool = False, has_inverse: bool = False
) -> FloatLayerNorm:
    size = int(np.prod(x)) // row
    more = [floats("mean", size)] * has_mean + [floats("inverse", size)] * has_inverse
    outputs = (floats("y", *x), *more)
    return FloatLayerNorm(
        (floats("x", *x),), outputs, numbers(row), numbers(row), 1e-5, has_mean, has_inverse
    )


CONVOLUTIONS = [
    convolution((2, 5, 9, 11), 7, window((3, 3), pads=(1, 1, 1, 1))),
    convolution((1, 3, 13, 37), 9, window((3, 5), (2, 1), (0, 2, 1, 1))),
    convolution((1, 4, 17, 9), 4, window((3, 3), (1, 2), (2, 2, 2, 2), (2, 3))),
    convolution((1, 6, 8, 9), 4, window((2, 3), pads=(1, 0, 0, 2)), groups=2),
    convolution((1, 6, 8, 40), 6, window((3, 3), pads=(1, 1, 1, 1)), groups=6),
    convolution((2, 3, 11, 9), 6, window((5, 3), (2, 2), (2, 1, 2, 1), (1, 2)), groups=3),
    convolution((1, 1, 49, 10), 5, window((10, 4), (2, 2), (4, 1, 5, 1))),
    convolution((2, 5, 7, 9), 6, window((1, 1))),
    convolution((1, 5, 7, 9), 6, window((1, 1), (2, 2))),
    convolution((2, 3, 50), 5, window((5,), (2,), (2, 1))),
    convolution((1, 2, 2, 2), 3, window((3, 3), pads=(3, 3, 3, 3))),
]
POOLS = [
    *(
        pool((2, 3, 9, 21), window((3, 2), (2, 1), (1, 0, 1, 1)), average=average)
        for average in (False, True)
    ),
    pool((1, 2, 5, 6, 7), window((2, 3, 3), (1, 2, 2), (0, 1, 1, 1, 1, 0)), average=False),
    pool((1, 2, 5, 6, 7), window((2, 3, 2), (2, 1, 1), dilations=(2, 1, 3)), average=True),
    pool((1, 2, 7), window((3,), (2,), (1, 1)), average=True, counts_padding=True),
    pool((1, 2, 8, 8), window((3, 3), (2, 2), (1, 1, 1, 1)), average=True, extra=1),
    pool((1, 1, 2, 2), window((3, 3), (3, 3), (1, 1, 1, 1)), average=False),
]
OTHERS: list[Step] = [
    matmul((5, 33), (33, 70), bias=True),
    matmul((1, 100), (100, 10)),
    matmul((2, 3, 4, 7), (3, 7, 5)),
    matmul((4,), (3, 4, 6)),
    matmul((3, 9, 4), (4,)),
    matmul((9,), (9,)),
    FloatMatMul((floats("b", 2, 6, 3),), (floats("y", 2, 5, 3),), (numbers(5, 6), None)),
    *(binary(function, (2, 3, 4, 5), (3, 1, 5)) for function in BinaryFunction),
    binary(BinaryFunction.SUB, (1, 4, 1, 6), (3, 1, 5, 1)),
    binary(BinaryFunction.MUL, (7,), ()),
    FloatBinary(
        (floats("b", 3, 4),), (floats("y", 3, 4),), BinaryFunction.SUB, (numbers(4), None)
    ),
    *(
        FloatUnary((floats("x", 99),), (floats("y", 99),), UnaryFunction.CLIP, lowest, highest)
        for lowest, highest in ((0.0, 1.0), (-1.0, 0.0), (-np.inf, 0.5))
    ),
    FloatAffine((floats("x", 2, 3, 5),), (floats("y", 2, 3, 5),), numbers(3), numbers(3)),
    *(
        FloatReduce((floats("x", 3, 4, 37),), (floats("y", *y),), first, last, function)
        for first, last, y in ((2, 3, (3, 4)), (1, 2, (3, 37)), (0, 3, ()), (1, 3, (3, 1, 1)))
        for function in Reduction
    ),
    *(
        FloatSoftmax((floats("x", 3, 4, 37),), (floats("y", 3, 4, 37),), first, last)
        for first, last in ((2, 3), (1, 2), (1, 3), (0, 1))
    ),
    FloatResample(
        (floats("x", 2, 4, 3),),
        (floats("y", 2, 5, 3),),
        1,
        Taps(RNG.integers(0, 4, (5, 3)).astype(np.int32), numbers(5, 3), numbers(5)),
    ),
]
# One after the other, 70,000 numbers of one sign lose as many as three of their digits.
LONG_SUM = FloatMatMul(
    (floats("a", 1, 70_000),),
    (floats("y", 1, 3),),
    (None, np.abs(numbers(70_000, 3))),
)
TRANSPOSED: list[Step] = [
    transposed((2, 3, 5, 7), 4, window((3, 3))),
    transposed((1, 4, 5, 6), 6, window((3, 2), (2, 3), (1, 0, 1, 1)), groups=2),
    transposed((1, 3, 4, 5), 3, window((3, 3), (2, 2), (1, 1, 1, 1), (2, 1)), groups=3, extra=1),
    transposed((2, 3, 9), 5, window((4,), (3,), (2, 1))),
    transposed((1, 2, 3, 4, 5), 3, window((2, 3, 2), (1, 2, 3), (0, 1, 0, 1, 0, 1))),
    transposed((1, 2, 1, 1), 2, window((1, 1), (3, 3)), extra=2),
]
RECURRENT: list[Step] = [
    recurrent(Cell.LSTM, 1, (True, True, True)),
    recurrent(Cell.LSTM, 2, (True, False, True), given=(True, True)),
    recurrent(Cell.LSTM, 1, (False, True, False), reverse=True, given=(False, True)),
    recurrent(Cell.LSTM, 2, (True, True, True), batch_first=True),
    recurrent(Cell.GRU, 1, (True, True, False)),
    recurrent(Cell.GRU, 2, (True, False, False), linear=True, given=(True, False)),
    recurrent(Cell.GRU, 1, (False, True, False), reverse=True, batch_first=True),
]
NORMS: list[Step] = [
    layer_norm((3, 4, 37), 37),
    layer_norm((3, 4, 5), 20, has_mean=True),
    layer_norm((2, 16), 16, has_inverse=True),
    layer_norm((2, 3, 8), 48, has_mean=True, has_inverse=True),
    layer_norm((5, 1), 1),
]
SHARED: list[Step] = [
    layer_norm((4, 33), 33),
    FloatUnary((floats("x", 100),), (floats("y", 100),), UnaryFunction.TANH),
    binary(BinaryFunction.SUB, (6, 50), (50,)),
    binary(BinaryFunction.DIV, (50,), (6, 50)),
    FloatAffine((floats("x", 2, 3, 50),), (floats("y", 2, 3, 50),), numbers(3), numbers(3)),
    FloatSoftmax((floats("x", 3, 77),), (floats("y", 3, 77),), 1, 2),
    FloatSoftmax((floats("x", 3, 7, 5),), (floats("y", 3, 7, 5),), 1, 2),
]
CASES = [
    *(
        Case(step, [numbers(*each.shape) for each in step.inputs])
        for step in (*CONVOLUTIONS, *POOLS, *OTHERS, *NORMS, *TRANSPOSED, *RECURRENT)
    ),
    *(Case(step, [numbers(*each.shape) for each in step.inputs], shared=True) for step in SHARED),
    Case(LONG_SUM, [np.abs(numbers(1, 70_000))]),
]


def all_cases() -> list[Case]:
    return CASES


@pytest.fixture(scope="module")
def portable(programs) -> list[list[np.ndarray]]:
    return outputs_of(programs.on(Target.PORTABLE))


def test_kernels_are_near_their_references(portable):
    for case, results in zip(CASES, portable, strict=True):
        expected = case.step.reference(case.inputs)
        for got, want in zip(results, expected, strict=True):
            assert got.shape == want.shape
            np.testing.assert_allclose(got, want, rtol=2e-5, atol=2e-5, err_msg=str(case.step))


def test_a_long_sum_keeps_its_digits(portable):
    (want,) = LONG_SUM.reference(CASES[-1].inputs)
    np.testing.assert_allclose(portable[-1][0], want, rtol=4e-6)


@pytest.mark.parametrize("target", [t for t in TARGETS if t is not Target.PORTABLE])
def test_the_same_bits_on_every_target(portable, program):
    same_bits(portable, outputs_of(program))


@pytest.mark.skipif(not COMPILERS, reason="gcc is not installed")
def test_the_same_bits_from_another_compiler(portable, programs):
    same_bits(portable, outputs_of(programs.on(TARGETS[0], *COMPILERS)))


def outputs_of(program: KernelProgram) -> list[list[np.ndarray]]:
    return program.outputs()


def same_bits(want: list[list[np.ndarray]], got: list[list[np.ndarray]]) -> None:
    """What is not a number has no bits of its own."""
    for case, ours, theirs in zip(CASES, want, got, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            equal = one.view(np.uint32) == other.view(np.uint32)
            assert (equal | (np.isnan(one) & np.isnan(other))).all(), case.step


class TestReferences:
    def test_convolution_against_a_naive_loop(self):
        step = CONVOLUTIONS[3]
        x = numbers(*step.inputs[0].shape)
        (y,) = step.reference([x])
        padded = np.pad(x, [(0, 0), (0, 0), (1, 0), (0, 2)])
        want = np.zeros_like(y)
        for o, i, j in np.ndindex(y.shape[1:]):
            part = padded[0, o // 2 * 3 : o // 2 * 3 + 3, i : i + 2, j : j + 3]
            want[0, o, i, j] = (part * step.weights[o]).sum() + step.bias[o]
        np.testing.assert_allclose(y, want, rtol=1e-5, atol=1e-5)

    def test_padding_counts_only_where_asked(self):
        ones = np.ones((1, 2, 7), np.float32)
        (y,) = POOLS[4].reference([ones])
        np.testing.assert_allclose(y[0, 0], [2 / 3, 1, 1, 2 / 3])
        (z,) = pool((1, 2, 7), window((3,), (2,), (1, 1)), average=True).reference([ones])
        np.testing.assert_array_equal(z, np.ones_like(z))


class TestBroadcastLoops:
    def test_neighbouring_axes_become_one_loop(self):
        assert broadcast_loops((2, 3, 4), [(2, 3, 4), (2, 3, 4)]) == ([24], [[1], [1]])
        assert broadcast_loops((2, 3, 4), [(2, 3, 4), (4,)]) == ([6, 4], [[4, 1], [0, 1]])
        assert broadcast_loops((2, 3, 4), [(2, 3, 4), (3, 1)]) == (
            [2, 3, 4],
            [[12, 4, 1], [0, 1, 0]],
        )

    def test_a_scalar_is_one_loop(self):
        assert broadcast_loops((), [(), ()]) == ([1], [[0], [0]])
        assert broadcast_loops((3,), [(3,), ()]) == ([3], [[1], [0]])
