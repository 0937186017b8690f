"""What a kernel computes and moves."""

from __future__ import annotations

from farm.costs.families import Family
from farm.costs.work import KernelWork, conversion_work, kernel_work, reorder_work
from tests.farm.costs.values import chain, operand, operator


def test_one_operator_moves_all_that_it_touches() -> None:
    conv = operator(
        "c",
        [operand("x", 100), operand("w", 50, stored=True)],
        [operand("y", 200)],
        "Conv",
        Family.CONVOLUTION,
        flops=7000,
    )
    assert kernel_work([conv], "float32") == KernelWork(Family.CONVOLUTION, 7000.0, 1400.0)
    assert kernel_work([conv], "int8") == KernelWork(Family.CONVOLUTION, 7000.0, 350.0)


def test_what_stays_inside_a_group_is_no_traffic() -> None:
    work = kernel_work(chain("Conv", "Relu"), "float32")
    assert work == KernelWork(Family.CONVOLUTION, 1100.0, 800.0)


def test_integers_are_as_wide_in_every_precision() -> None:
    positions = operand("i", 10)
    positions = type(positions)("i", 80, 10, is_float=False, stored=False)
    gather = operator("g", [positions], [operand("y", 100)], "Add")
    assert kernel_work([gather], "int8").traffic == 180.0


def test_a_gather_does_not_read_its_whole_table() -> None:
    table = operand("table", 10_000, stored=True)
    gather = operator("g", [table], [operand("y", 100)], "Gather", Family.MOVEMENT)
    assert kernel_work([gather], "float32").traffic == 800.0


def test_another_shape_moves_nothing() -> None:
    assert kernel_work(chain("Reshape"), "float32") == KernelWork(Family.VIEW, 100.0, 0.0)


def test_conversions_and_reorders() -> None:
    assert conversion_work(operand("x", 10), "int8").traffic == 50.0
    assert reorder_work(operand("x", 10), "float32").traffic == 80.0
