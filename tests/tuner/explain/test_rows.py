"""Kernels of two trials side by side, and what only converts."""

from __future__ import annotations

import pytest

from farm.measurement import Measurement, Method, Metric
from farm.profile.kernels import OperatorProfile
from tests.tuner.explain.sides import DYNAMIC, FLOAT, OPERATORS, kernel, side
from tuner.explain.conversions import conversions
from tuner.explain.explanation import timed
from tuner.explain.rows import operator_rows

FUSED = side(
    FLOAT,
    kernel("ReorderInput", "conv1", 1),
    kernel("Conv", "conv1 relu1", 20),
    kernel("Conv", "conv2 sum", 30),
    kernel("ReorderOutput", "share cast", 2),
    kernel("Cast", "cast", 1),
    kernel("Softmax", "share", 6),
)
APART = side(
    DYNAMIC,
    kernel("DynamicQuantizeLinear", "conv1", 5, "float32"),
    kernel("ConvInteger", "conv1", 60, "int8"),
    kernel("Cast", "conv1", 4, "int32"),
    kernel("Mul", "conv1", 3),
    kernel("Relu", "relu1", 2),
    kernel("ConvInteger", "conv2", 70, "int8"),
    kernel("Add", "sum", 4),
    kernel("Cast", "cast", 1),
    kernel("Softmax", "share", 6),
)


def test_rows_are_what_no_kernel_of_either_side_crosses() -> None:
    rows = operator_rows(APART, FUSED, OPERATORS)
    assert [(row.name, row.fused) for row in rows] == [
        ("conv1", ("relu1",)),
        ("conv2", ("sum",)),
        ("cast", ()),
        ("share", ()),
    ]
    first = rows[0]
    assert (first.op_type, first.place) == ("Conv", "cpu/onnxruntime-cpu")
    assert first.kernel == "ConvInteger + DynamicQuantizeLinear + Cast + Mul + Relu"
    assert first.against_kernel == "Conv + ReorderInput"
    assert (first.seconds, first.against_seconds) == pytest.approx((74e-6, 21e-6))
    assert first.share == pytest.approx(74 / 155)


@pytest.mark.parametrize(("trial", "against"), [(APART, FUSED), (FUSED, APART)])
def test_every_kernel_is_in_one_row(trial, against) -> None:
    rows = operator_rows(trial, against, OPERATORS)
    assert sum(row.seconds for row in rows) == pytest.approx(trial.seconds)
    assert sum(row.against_seconds or 0 for row in rows) == pytest.approx(against.seconds)
    assert sum(row.share for row in rows) == pytest.approx(1.0)


def test_the_row_of_kernels_that_are_not_mapped_has_no_name() -> None:
    unmapped = side(FLOAT, kernel("Conv", "conv1", 9), kernel("Odd", "", 1))
    (_, odd) = operator_rows(unmapped, None, OPERATORS)
    assert (odd.name, odd.op_type, odd.kernel, odd.size) == ("", "", "Odd", 0)
    assert odd.against_seconds is None


def test_what_one_side_does_not_run_takes_it_nothing() -> None:
    rows = operator_rows(side(FLOAT, kernel("Conv", "conv1 relu1", 9)), APART, OPERATORS)
    assert (rows[-1].name, rows[-1].kernel, rows[-1].seconds) == ("share", "", 0.0)
    assert rows[-1].against_seconds == pytest.approx(6e-6)


def test_a_side_without_a_profile_is_compared_with_nothing() -> None:
    (row, *_) = operator_rows(FUSED, side(DYNAMIC, milliseconds=1.0), OPERATORS)
    assert (row.against_seconds, row.against_kernel) == (None, "")


def test_conversions_stand_for_no_operator() -> None:
    found = list(conversions(APART, OPERATORS))
    assert [(each.kind, each.operators) for each in found] == [
        ("DynamicQuantizeLinear", ("conv1",)),
        ("Cast", ("conv1",)),
    ]
    assert found[0].share == pytest.approx(5 / 155)
    assert [each.kind for each in conversions(FUSED, OPERATORS)] == [
        "ReorderInput",
        "ReorderOutput",
    ], "the model's own Cast is an operator"


def test_without_types_what_may_be_an_operator_counts_as_one() -> None:
    assert [each.kind for each in conversions(APART, {})] == ["DynamicQuantizeLinear"]
    (first, *_) = operator_rows(APART, FUSED, {})
    assert (first.name, first.op_type) == ("conv1", "")


def test_packets_become_their_share_of_the_latency() -> None:
    latency = Measurement(Metric.LATENCY, 1e-3, Method.MODELLED)
    rows = [
        OperatorProfile("a", "dense", ("conv1",), "int8", None, 75, Method.EMULATED),
        OperatorProfile("b", "quantize", ("conv1",), "", None, 25, Method.EMULATED),
    ]
    assert [each.seconds for each in timed(rows, latency)] == pytest.approx([7.5e-4, 2.5e-4])
