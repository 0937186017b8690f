"""Operators of two states, from their kernels."""

from __future__ import annotations

import pytest

from farm.measurement import Method
from farm.profile.kernels import OperatorProfile
from tuner.nightly.bisect.operators import changed_operators


def kernel(kind: str, milliseconds: float, *operators: str) -> OperatorProfile:
    name = f"{kind} of {operators}"
    seconds = milliseconds / 1e3
    return OperatorProfile(name, kind, operators, "float32", seconds, None, Method.MEASURED)


def test_the_one_that_takes_most_more_comes_first() -> None:
    good = [kernel("Conv", 2.0, "a"), kernel("MatMul", 2.0, "b")]
    bad = [kernel("Conv", 2.1, "a"), kernel("MatMul", 3.9, "b")]
    first, second, outside = changed_operators([good], [bad], 4e-3, 6e-3)
    assert first.operators == ("b",)
    assert first.increase == pytest.approx(1.9e-3)
    assert (first.good_seconds, first.bad_seconds) == pytest.approx((2e-3, 3.9e-3))
    assert second.increase == pytest.approx(0.1e-3)
    assert (outside.good_seconds, outside.bad_seconds) == pytest.approx((0.0, 0.0))


def test_what_no_kernel_takes_is_outside_of_them() -> None:
    profile = [kernel("Conv", 2.0, "a"), kernel("Relu", 1.0, "b")]
    outside, *kernels = changed_operators([profile], [profile], 4e-3, 9e-3)
    assert (outside.operators, outside.good_kernels, outside.bad_kernels) == ((), (), ())
    assert (outside.good_seconds, outside.bad_seconds) == pytest.approx((1e-3, 6e-3))
    assert [change.increase for change in kernels] == [0.0, 0.0]


def test_packets_are_shares_of_the_latency() -> None:
    def counted(packets: int) -> OperatorProfile:
        return OperatorProfile("k", "Conv", ("a",), "int8", None, packets, Method.EMULATED)

    first, outside = changed_operators([[counted(100)]], [[counted(150)]], 1e-3, 1.5e-3)
    assert (first.good_seconds, first.bad_seconds) == pytest.approx((1e-3, 1.5e-3))
    assert outside.bad_seconds == pytest.approx(0.0)


def test_states_that_fuse_differently_are_compared_by_what_they_share() -> None:
    good = [kernel("ConvRelu", 1.0, "a", "b"), kernel("Add", 1.0, "c")]
    bad = [kernel("Conv", 1.5, "a"), kernel("ReluAdd", 1.5, "b", "c")]
    change, _ = changed_operators([good], [bad], 2e-3, 3e-3)
    assert change.operators == ("a", "b", "c")
    assert (change.good_kernels, change.bad_kernels) == (("ConvRelu", "Add"), ("Conv", "ReluAdd"))
    assert change.increase == pytest.approx(1e-3)


def test_kernels_that_only_one_state_has() -> None:
    good = [kernel("Conv", 1.0, "a")]
    bad = [kernel("Conv", 1.0, "a"), kernel("Reorder", 0.5), kernel("Cast", 0.5)]
    first, second, _ = changed_operators([good], [bad], 1e-3, 2e-3)
    assert (first.operators, first.good_kernels) == ((), ())
    assert first.bad_kernels == ("Reorder", "Cast")
    assert first.increase == pytest.approx(1e-3)
    assert second.increase == pytest.approx(0.0)


def test_one_disturbed_profile_of_three_decides_nothing() -> None:
    calm = [kernel("Conv", 1.0, "a"), kernel("MatMul", 1.0, "b")]
    disturbed = [kernel("Conv", 9.0, "a"), kernel("MatMul", 1.0, "b")]
    changes = changed_operators([calm] * 3, [calm, disturbed, calm], 2e-3, 2e-3)
    assert all(change.increase == pytest.approx(0.0) for change in changes)
