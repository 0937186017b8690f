"""Elementary functions: accurate, and the same bits on every target."""

from __future__ import annotations

import numpy as np
import pytest

from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.ops.floats.elementwise import (
    BinaryFunction,
    FloatBinary,
    FloatUnary,
    UnaryFunction,
)
from farm.codegen.program import Element
from tests.farm.codegen.kernel_harness import Case, KernelProgram, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
# Largest error in units of the last place, where the result is normal and not cancelled.
ULP = {
    UnaryFunction.ERF: 3,
    UnaryFunction.EXP: 2,
    UnaryFunction.SIGMOID: 3,
    UnaryFunction.SQRT: 1,
    UnaryFunction.TANH: 3,
    BinaryFunction.POW: 4,
}
EXACT = frozenset({UnaryFunction.RELU, UnaryFunction.CLIP, UnaryFunction.NEG, UnaryFunction.ABS})


def arguments() -> np.ndarray:
    """Usual numbers, all magnitudes, limits of the exponential, and what is special."""
    rng = np.random.default_rng(5)
    magnitudes = 10.0 ** rng.uniform(-45, 38, 3000) * rng.choice([-1, 1], 3000)
    special = [0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 3.4e38, -3.4e38, 1.0, -1.0, 0.625, 4.0]
    limits = [88.722, 88.723, 88.8, 89.5, -87.33, -103.9, -104.1]
    parts = rng.normal(size=4000) * 3, rng.uniform(-110, 95, 4000), magnitudes, special, limits
    return np.concatenate(parts).astype(np.float32)


X = arguments()
OTHER = np.roll(X, 1999)
STEPS = [
    *(
        FloatUnary(
            (tensor("x", X.shape, element=Element.F32),),
            (tensor("y", X.shape, element=Element.F32),),
            function,
            0.25,
            0.5,
        )
        for function in UnaryFunction
    ),
    *(
        FloatBinary(
            (
                tensor("a", X.shape, element=Element.F32),
                tensor("b", X.shape, element=Element.F32),
            ),
            (tensor("y", X.shape, element=Element.F32),),
            function,
        )
        for function in BinaryFunction
    ),
]
NAN = np.array([np.nan, -np.nan], np.float32)
NAN_STEPS = [
    FloatUnary(
        (tensor("x", NAN.shape, element=Element.F32),),
        (tensor("y", NAN.shape, element=Element.F32),),
        function,
    )
    for function in ULP
    if isinstance(function, UnaryFunction)
]
SPECIAL = np.float32(
    [0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 2, -2, 0.5, -0.5, 3, -3, 1e-40, -1e-40, 3e38,
     16777215, -16777215, 16777216, 1e10, -1e10, 1.0000001, 0.99999994]
)  # fmt: skip
POWERS = FloatBinary(
    (tensor("a", (len(SPECIAL), 1), element=Element.F32),),
    (tensor("y", (len(SPECIAL),) * 2, element=Element.F32),),
    BinaryFunction.POW,
    (None, SPECIAL),
)
Results = dict[UnaryFunction | BinaryFunction, np.ndarray]


def all_cases() -> list[Case]:
    numbers = [Case(step, [X, OTHER][: len(step.inputs)]) for step in STEPS]
    nans = [Case(step, [NAN]) for step in NAN_STEPS]
    return [*numbers, *nans, Case(POWERS, [SPECIAL[:, None]])]


def results_of(program: KernelProgram) -> Results:
    outputs = program.outputs()[: len(STEPS)]
    return {step.function: output for step, (output,) in zip(STEPS, outputs, strict=True)}


@pytest.fixture(scope="module")
def portable(programs) -> Results:
    return results_of(programs.on(Target.PORTABLE))


def errors(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Errors in units of the last place, subnormal results taken as the smallest normal ones."""
    finite = np.isfinite(want)
    unit = np.spacing(np.maximum(np.abs(want[finite]), np.finfo(np.float32).tiny))
    return np.abs(got[finite].astype(np.float64) - want[finite]) / unit


@pytest.mark.parametrize("function", ULP)
def test_error_in_units_of_the_last_place(portable, function):
    step = next(step for step in STEPS if step.function is function)
    (want,) = step.reference([X, OTHER][: len(step.inputs)])
    got = portable[function]
    kept = X >= -87.0 if function is UnaryFunction.SIGMOID else np.ones(X.shape, bool)
    assert errors(got[kept], want[kept]).max() <= ULP[function]
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_array_equal(np.isinf(got[kept]), np.isinf(want[kept]))


@pytest.mark.parametrize("step", [s for s in STEPS if s.function not in ULP])
def test_other_functions_are_near_their_references(portable, step):
    (want,) = step.reference([X, OTHER][: len(step.inputs)])
    got = portable[step.function]
    if step.function in EXACT or isinstance(step.function, BinaryFunction):
        np.testing.assert_array_equal(got, want)
    else:
        np.testing.assert_allclose(got, want, rtol=3e-7, atol=1e-6)


@pytest.mark.parametrize("target", [t for t in TARGETS if t is not Target.PORTABLE])
def test_the_same_bits_on_every_target(portable, program):
    for function, got in results_of(program).items():
        want = portable[function]
        same = (got.view(np.uint32) == want.view(np.uint32)) | (np.isnan(got) & np.isnan(want))
        assert same.all(), (function, X[~same][:4], got[~same][:4], want[~same][:4])


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_not_a_number_stays_so(program):
    outputs = program.outputs()[len(STEPS) :]
    for step, (output,) in zip(NAN_STEPS, outputs[:-1], strict=True):
        assert np.isnan(output).all(), step.function


@pytest.mark.parametrize("target", TARGETS)
def test_powers_of_what_is_special_are_those_of_ieee_754(program):
    ((got,),) = program.outputs()[-1:]
    (want,) = POWERS.reference([SPECIAL[:, None]])
    np.testing.assert_array_equal(np.signbit(got)[got == 0], np.signbit(want)[want == 0])
    np.testing.assert_allclose(got, want, rtol=4e-7, atol=3e-45)
