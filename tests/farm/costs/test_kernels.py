"""Kernels of a profile by groups of operators."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.costs.families import Family
from farm.costs.kernels import (
    KernelGroup,
    as_in_a_run,
    kernel_groups,
    moving_families,
    wired,
)
from farm.measurement import Method
from farm.profile.kernels import OperatorProfile
from tests.farm.costs.values import chain


def row(kind: str, *operators: str, seconds: float = 1.0) -> OperatorProfile:
    return OperatorProfile(kind, kind, operators, "float32", seconds, None, Method.MEASURED)


NET = wired(chain("Conv", "Relu", "Conv", "Reshape", "Add"))
CONV, RELU, SECOND, RESHAPE, ADD = NET


def test_a_kernel_of_several_operators_is_a_group_in_the_order_of_the_model() -> None:
    (group,) = kernel_groups([row("FusedConv", RELU, CONV, seconds=3.0)], NET)
    assert group == KernelGroup((CONV, RELU), 3.0, 0.0, ("FusedConv",))


def test_kernels_that_share_an_operator_are_one_group() -> None:
    found = kernel_groups([row("A", CONV), row("B", CONV, RELU), row("C", SECOND)], NET)
    assert [(group.operators, group.cost) for group in found] == [
        ((CONV, RELU), 2.0),
        ((SECOND,), 1.0),
    ]


def test_what_reorders_is_shared_by_those_that_it_is_for() -> None:
    rows = [row("Conv", CONV, RELU), row("ReorderInput", CONV, SECOND), row("Conv", SECOND)]
    first, second = kernel_groups(rows, NET)
    assert (first.cost, first.moved) == (1.5, pytest.approx(1 / 3))
    assert second.cost == 1.5
    assert first.kinds == ("Conv",)


def test_an_operator_that_no_kernel_computes_was_taken_in() -> None:
    (group,) = kernel_groups([row("conv", CONV), row("dequantize", RELU)], NET)
    assert group.operators == (CONV, RELU)
    assert group.cost == 2.0


def test_a_convolution_that_no_kernel_computes_was_folded_into_its_reader() -> None:
    net = wired(chain("Conv", "BatchNormalization", "Relu", "Conv", "BatchNormalization"))
    first, norm, relu, second, last = net
    found = kernel_groups([row("Convolution", norm, relu), row("Convolution", last)], net)
    assert [group.operators for group in found] == [(first, norm, relu), (second, last)]


def test_it_was_folded_through_others_that_no_kernel_computes() -> None:
    """OpenVINO calls a convolution by the sum and the activation behind its normalisation."""
    net = wired(chain("Conv", "BatchNormalization", "Mul", "Add", "Relu", "Conv", "Relu"))
    first, norm, scale, add, relu, second, last = net
    rows = [row("Convolution", add, relu, seconds=5.0), row("Convolution", last)]
    found = kernel_groups(rows, net)
    assert [(group.operators, group.cost) for group in found] == [
        ((first, norm, scale, add, relu), 5.0),
        ((second, last), 1.0),
    ]


def test_a_new_shape_is_nobodys_work() -> None:
    net = wired(chain("Reshape", "Conv", "Reshape"))
    (group,) = kernel_groups([row("Conv", "conv1")], net)
    assert group.operators == ("conv1",)


def test_kernels_without_operators_are_left_out() -> None:
    assert kernel_groups([row("Conv")], NET) == ()


@pytest.mark.parametrize(
    ("kind", "op_type", "family"),
    [
        ("ReorderInput", "Conv", Family.REORDER),
        ("Transpose", "Conv", Family.REORDER),
        ("Transpose", "Transpose", None),
        ("QuantizeLinear", "Conv", Family.CONVERSION),
        ("QuantizeLinear", "QuantizeLinear", None),
        ("Conv", "Conv", None),
    ],
)
def test_which_kernels_only_move(kind: str, op_type: str, family: Family | None) -> None:
    net = wired(chain(op_type))
    assert moving_families([row(kind, *net)], net) == (family,)


def test_generated_kernels_of_operators_that_others_compute_convert() -> None:
    rows = [row("Subgraph", CONV), row("Convolution", CONV), row("Subgraph", ADD)]
    assert moving_families(rows, NET) == (Family.CONVERSION, None, None)


_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["Conv", "Add", "ReorderInput"]),
        st.sets(st.sampled_from([CONV, RELU, SECOND, ADD]), min_size=1),
        st.floats(0.1, 10.0),
    ),
    min_size=1,
)


@given(_ROWS)
def test_nothing_is_counted_twice_or_lost(rows: list[tuple[str, set[str], float]]) -> None:
    profile = [row(kind, *sorted(names), seconds=seconds) for kind, names, seconds in rows]
    groups = kernel_groups(profile, NET)
    names = [name for group in groups for name in group.operators]
    assert len(names) == len(set(names))
    computed = sum(r.cost for r in profile if r.kind != "ReorderInput")
    whole = sum(r.cost for r in profile)
    assert computed <= sum(group.cost for group in groups) * (1 + 1e-9)
    assert sum(group.cost for group in groups) <= whole * (1 + 1e-9)


@pytest.mark.parametrize(
    ("whole", "call", "seconds"),
    [
        (5.0, 1.0, 1.0),  # the profiler made kernels of 3 and 1 of what are 3/4 and 1/4 of 4
        (9.0, 1.0, 2.0),
        (5.0, 3.0, 0.875),  # at most .3 of a run is a call
        (None, 1.0, 1.0),
        (50.0, 1.0, 1.0),  # something else ran beside one of them
        (1.0, 0.0, 1.0),
    ],
)
def test_kernels_and_the_call_take_what_a_run_takes(
    whole: float | None, call: float, seconds: float
) -> None:
    short, long = row("a", CONV, seconds=1.0), row("b", RELU, seconds=3.0)
    found = as_in_a_run([short, long], whole, call)
    assert [each.seconds for each in found] == pytest.approx([seconds, 3 * seconds])
