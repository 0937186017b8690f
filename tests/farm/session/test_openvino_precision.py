"""Which precisions of OpenVINO's operators are what was asked for."""

from __future__ import annotations

import pytest

from farm.session.openvino_precision import Kernel, refusal

CONV, PRODUCT, RNN, TRANSPOSED = "Convolution", "MatMul", "RNNSeq", "Deconvolution"


def kernels(*counts: tuple[int, str, str]) -> list[Kernel]:
    """So many of a type in a precision; each stands for the operator of its own name."""
    named = [(f"{kind} {precision} {i}", kind, precision) for n, kind, precision in counts
             for i in range(n)]  # fmt: skip
    return [Kernel(name, kind, precision, (name,)) for name, kind, precision in named]


def names(count: int) -> frozenset[str]:
    return frozenset(f"q{i}" for i in range(count))


@pytest.mark.parametrize("float_type", ["bf16", "f16"])
def test_one_of_many_is_not_what_was_asked_for(float_type: str) -> None:
    found = kernels((50, CONV, "f32"), (1, CONV, float_type))
    reason = refusal(found, float_type, "none", frozenset())
    assert reason.startswith(
        f"OpenVINO computes 50 of 51 operators in another precision than {float_type}: "
        "Convolution Convolution f32 0 in f32, "
    )
    assert reason.endswith(" and 45 more.")
    assert not refusal(found[50:], float_type, "none", frozenset())


def test_more_than_half_of_what_is_planned_in_integers() -> None:
    found = kernels((50, CONV, "f32"), (1, CONV, "u8"))
    reason = refusal(found, "f32", "needed", names(51))
    assert reason.startswith("OpenVINO computes 1 of 51 operators in int8: Convolution ")
    assert not refusal(found, "f32", "needed", names(1)), "50 stay in float by plan"
    first_in_float = kernels((1, CONV, "f32"), (9, CONV, "u8"))
    assert not refusal(first_in_float, "f32", "needed", names(10))
    half = kernels((5, CONV, "f32"), (5, CONV, "u8"))
    assert "5 of 10" in refusal(half, "f32", "needed", names(10))


def test_an_operator_without_a_precision() -> None:
    reason = refusal(kernels((1, CONV, "")), "f32", "none", frozenset())
    assert reason.endswith("another precision than f32: Convolution Convolution  0 in none.")


def test_integers_that_nobody_asked_for() -> None:
    found = kernels((1, CONV, "i8"), (1, CONV, "f32"))
    assert "1 of 2 operators" in refusal(found, "f32", "none", frozenset())
    assert not refusal(found, "f32", "allowed", frozenset())


@pytest.mark.parametrize("kind", [RNN, PRODUCT])
def test_what_openvino_keeps_in_float32(kind: str) -> None:
    assert not refusal(kernels((1, kind, "f32"), (1, CONV, "f16")), "f16", "none", frozenset())
    assert "none of 1" in refusal(kernels((1, kind, "f32")), "f16", "none", frozenset())


def test_transposed_convolutions_have_no_integer_kernels() -> None:
    found = kernels((1, TRANSPOSED, "f32"), (1, CONV, "u8"), (1, CONV, "bf16"))
    assert not refusal(found, "bf16", "needed", names(1))
    assert "1 of 2" in refusal([found[0], found[2]], "bf16", "none", frozenset())


def test_what_is_fused_tells_nothing_of_its_products() -> None:
    fused = Kernel("fused", "Subgraph", "f32", ("q0", "q1"))
    found = [*kernels((1, CONV, "u8")), fused]
    assert not refusal(found, "f32", "needed", names(3))
    assert "none of 1 operators in int8" in refusal([fused], "f32", "needed", names(2))


def test_constants_and_conversions_compute_nothing() -> None:
    found = kernels((1, "Input", "u8"), (1, "Reorder", "f16"), (1, CONV, "f32"))
    assert not refusal(found, "f32", "none", frozenset())
