"""Conversions: every order of elements, awkward floats, kernels against references."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from farm.codegen.arithmetic import dequantize, quantize, quantize_port
from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.ops.convert import Dequantize, Quantize, Relayout
from farm.codegen.ops.ports import Flip
from farm.codegen.program import Element, Layout, Quantization
from tests.farm.codegen.kernel_harness import Case, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
BLOCKED, PLAIN = Layout.BLOCKED, Layout.PLAIN
SCALE, ZERO = 0.03, 101
AWKWARD = [np.nan, np.inf, -np.inf, 3e38, -3e38, -0.0, 1e-40, 4.62, 4.65, -3.03, -3.06]


def last(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape with its channels moved to the end."""
    return (shape[0], *shape[2:], shape[1])


def reals(shape: tuple[int, ...]) -> np.ndarray:
    """Numbers around u8's range, halves between two units, and those that trouble make."""
    rng = np.random.default_rng(math.prod(shape))
    flat = (rng.standard_normal(math.prod(shape)) * 3).astype(np.float32)
    halves = (np.arange(-20, 20) + np.float32(0.5)) * np.float32(SCALE)
    awkward = np.concatenate([np.array(AWKWARD, np.float32), halves])[: len(flat)]
    flat[: len(awkward)] = awkward
    return flat.reshape(shape)


def elements(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(math.prod(shape)).integers(0, 256, shape, np.uint8)


def quantized(name: str, shape: tuple[int, ...], layout: Layout):
    return tensor(name, shape, layout, zero_point=ZERO, scale=SCALE)


def quantize_case(shape: tuple[int, ...], layout: Layout, *, channels_last: bool = False) -> Case:
    given = last(shape) if channels_last else shape
    x = tensor("x", given, element=Element.F32)
    return Case(Quantize((x,), (quantized("y", shape, layout),), channels_last), [reals(given)])


def dequantize_case(shape: tuple[int, ...], layout: Layout, *, channels_last=False) -> Case:
    y = tensor("y", last(shape) if channels_last else shape, element=Element.F32)
    step = Dequantize((quantized("x", shape, layout),), (y,), channels_last)
    return Case(step, [elements(shape)])


def relayout_case(shape: tuple[int, ...], *, to_blocks: bool, channels_last: bool) -> Case:
    plain = quantized("plain", last(shape) if channels_last else shape, PLAIN)
    blocked = quantized("blocked", shape, BLOCKED)
    x, y = (plain, blocked) if to_blocks else (blocked, plain)
    return Case(Relayout((x,), (y,), channels_last), [elements(x.shape)])


def ties(scale: float, zero: int) -> Case:
    """The halves between all pairs of units, as near as floats come, and any other bits."""
    halves = np.clip((np.arange(-258, 258) + 0.5) * scale, -3e38, 3e38).astype(np.float32)
    near = (
        (halves.view(np.int32)[:, None] + np.arange(-3, 4, dtype=np.int32))
        .ravel()
        .view(np.float32)
    )
    any_bits = np.random.default_rng(zero).integers(0, 2**32, 500, np.uint32).view(np.float32)
    numbers = np.concatenate([np.array(AWKWARD, np.float32), near, -near, any_bits])
    x, y = tensor("x", numbers.shape, element=Element.F32), tensor("y", numbers.shape)
    y = replace(y, quantization=Quantization(scale, zero))
    return Case(Quantize((x,), (y,)), [numbers])


def all_elements(scale: float, zero: int) -> Case:
    x, y = tensor("x", (256,)), tensor("y", (256,), element=Element.F32)
    x = replace(x, quantization=Quantization(scale, zero))
    return Case(Dequantize((x,), (y,)), [np.arange(256, dtype=np.uint8)])


def scale_cases() -> list[Case]:
    """Scales with few and with all bits, at both ends of the exponents, and beyond them."""
    both = [1.0, 1 / 255, 0.7, 0.0039215, 1.9999999, 3e-35, 1e-38, 2e35, 1e36]
    pairs = [*zip(both, range(0, 256, 31), strict=True), (1.0, 255)]
    cases = [make(*pair) for make in (ties, all_elements) for pair in pairs]
    return [*cases, ties(2e38, 100)]


def row_cases() -> list[Case]:
    """Rows that end anywhere in a vector."""
    sizes = (7, 31, 32, 33, 100, 128, 129, 1000)
    return [make((size,), PLAIN) for make in (quantize_case, dequantize_case) for size in sizes]


def flip_case(size: int, *, to_port: int) -> Case:
    inner = quantized("inner", (size,), PLAIN)
    moved = Quantization(SCALE, ZERO - 128)
    port = replace(inner, name="port", element=Element.S8, quantization=moved)
    if to_port:
        return Case(Flip((inner,), (port,)), [elements((size,))])
    return Case(Flip((port,), (inner,)), [elements((size,)).view(np.int8)])


def all_cases() -> list[Case]:
    float_cases = [
        make(shape, layout, channels_last=channels_last)
        for make in (quantize_case, dequantize_case)
        for shape in ((1, 3, 16, 17), (2, 6, 5, 7), (2, 16, 9), (1, 2, 37), (2, 1, 64), (1, 8, 3))
        for layout in (PLAIN, BLOCKED)
        for channels_last in (False, True)
    ]
    relayouts = [
        relayout_case(shape, to_blocks=to_blocks, channels_last=channels_last)
        for shape in (
            *((2, 6, 5, 7), (2, 8, 5, 7), (1, 65, 3), (1, 3, 150), (2, 2, 8), (1, 1, 33)),
            *((2, 3, 9, 15), (1, 1, 49, 10)),
        )
        for to_blocks in (False, True)
        for channels_last in (False, True)
    ]
    relayouts += [  # rows of whole vectors on every target, and what is left of them
        relayout_case(shape, to_blocks=True, channels_last=channels_last)
        for shape in ((1, 3, 16, 16), (1, 7, 128), (2, 3, 43))
        for channels_last in (False, True)
    ]
    flips = [flip_case(size, to_port=to_port) for size in (1, 7, 131, 256) for to_port in (0, 1)]
    return [*float_cases, *relayouts, *flips, *row_cases(), *scale_cases()]


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_the_reference(program):
    program.check()


def test_awkward_numbers_saturate():
    numbers = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, -0.0], np.float32)
    result = quantize(numbers, Quantization(1e-3, 7))
    assert result.tolist() == [0, 255, 0, 255, 0, 7]


def test_halves_are_rounded_to_even():
    numbers = np.array([0.5, 1.5, 2.5, -0.5, -1.5], np.float32)
    assert quantize(numbers, Quantization(1.0, 10)).tolist() == [10, 12, 12, 10, 8]


def test_a_port_stands_for_the_same_numbers_as_the_tensor_within():
    case = flip_case(256, to_port=1)
    (port,) = case.step.reference(case.inputs)
    assert port.dtype == np.int8
    x, y = case.step.inputs[0], case.step.outputs[0]
    np.testing.assert_array_equal(dequantize(port, y.quant), dequantize(case.inputs[0], x.quant))
    real = reals((256,))
    bytes_given = quantize_port(real, y.quant, "int8").astype(int)
    np.testing.assert_array_equal(bytes_given + 128, quantize_port(real, x.quant, "uint8"))


def test_there_and_back_gives_the_same():
    case = relayout_case((2, 6, 5, 7), to_blocks=True, channels_last=True)
    back = relayout_case((2, 6, 5, 7), to_blocks=False, channels_last=True)
    (blocked,) = case.step.reference(case.inputs)
    np.testing.assert_array_equal(back.step.reference([blocked])[0], case.inputs[0])
    assert blocked[1, 2, 3, 4] == case.inputs[0][1, 3, 4, 2]
