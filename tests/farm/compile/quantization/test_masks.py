"""Masks before a softmax: how low the range of a masked sum has to reach."""

import numpy as np
import pytest

from farm.compile.quantization.calibrate import Range
from farm.compile.quantization.masks import NOTHING, MaskedSum, masked_sums, without_masks
from farm.compile.quantization.resolution import Link
from tests.farm.compile.graphs import causal_mask

LOWEST = float(np.finfo(np.float32).min)
LOGITS = Range(-5.0, 6.0)
SOFTMAX = Link("softmax", "Softmax", ("s",), ("y",))


def ranges(lowest: float = LOWEST, **others: Range) -> dict[str, Range]:
    found = {"x": LOGITS, "m": Range(lowest, 0.0), "s": Range(lowest - 5, 6.0), "y": Range(0, 1)}
    return {**found, **others}


def sums(*links: Link, outputs: tuple[str, ...] = ("y",), **others: Range) -> list[MaskedSum]:
    return list(masked_sums([*links, SOFTMAX], ranges(**others), outputs))


def masked(*inputs: str | np.ndarray | None, op_type: str = "Add") -> Link:
    return Link("mask", op_type, inputs, ("s",))


CONSTANT = causal_mask(LOWEST)


@pytest.mark.parametrize(
    "link",
    [
        masked("x", CONSTANT),
        masked(CONSTANT, "x"),
        masked("x", -CONSTANT, op_type="Sub"),
        masked("x", "m"),
        masked("m", "x"),
        masked("condition", "x", np.array(LOWEST), op_type="Where"),
        masked("condition", np.array(LOWEST), "x", op_type="Where"),
    ],
    ids=lambda link: f"{link.op_type}-{'-'.join(link.changing)}",
)
def test_a_masked_sum_reaches_as_far_as_the_softmax_sees(link: Link):
    (found,) = sums(link)

    assert found.operator == "mask"
    assert found.floor == LOGITS.lowest - NOTHING
    limited = without_masks([link, SOFTMAX], ranges(), [found], ["y"])
    assert limited["s"] == Range(-21.0, 6.0)
    assert limited["x"] == LOGITS
    assert limited["m"] == (Range(-27.0, 0.0) if found.mask else Range(LOWEST, 0.0))


def test_a_moderate_constant_mask_counts_as_well():
    (found,) = sums(masked("x", causal_mask(-100.0)), s=Range(-105.0, 6.0))

    assert found.floor == -21


def test_rows_that_are_masked_as_a_whole_do_not_count():
    mask = CONSTANT.copy()
    mask[0] = LOWEST

    assert [found.floor for found in sums(masked("x", mask))] == [-21]


def test_what_a_position_adds_to_every_value_of_a_row_counts():
    mask = CONSTANT.copy()
    mask[2] -= 30.0

    assert [found.floor for found in sums(masked("x", mask))] == [-51]


@pytest.mark.parametrize(
    ("links", "outputs", "others"),
    [
        pytest.param([masked("x", CONSTANT)], ("y", "s"), {}, id="a result of the model"),
        pytest.param(
            [masked("x", CONSTANT), Link("other", "Relu", ("s",), ("r",))],
            ("y",),
            {},
            id="read by others",
        ),
        pytest.param([masked("x", "m")], ("y",), {"m": LOGITS, "s": Range(-10, 12)}, id="a sum"),
        pytest.param(
            [masked("x", np.linspace(-3, 3, 16))], ("y",), {"s": Range(-8, 9)}, id="positions"
        ),
        pytest.param([masked("x", CONSTANT[:, :1])], ("y",), {}, id="one for every row"),
        pytest.param([masked("x", np.array(-1e9))], ("y",), {}, id="a single number"),
        pytest.param([masked("x", CONSTANT, op_type="Mul")], ("y",), {}, id="a product"),
    ],
)
def test_other_sums_keep_their_range(links: list[Link], outputs: tuple, others: dict):
    assert not sums(*links, outputs=outputs, **others)


def test_a_mask_that_several_sums_read_is_limited_for_all_of_them():
    links = [
        masked("x", "m"),
        Link("mask2", "Add", ("x2", "m"), ("s2",)),
        SOFTMAX,
        Link("softmax2", "Softmax", ("s2",), ("y2",)),
    ]
    known = ranges(x2=Range(-50.0, 40.0), s2=Range(LOWEST - 50, 40.0))

    found = list(masked_sums(links, known, ["y", "y2"]))
    limited = without_masks(links, known, found, ["y", "y2"])

    assert (limited["s2"].lowest, limited["m"].lowest) == (-66, -66 - 40)


def test_a_mask_that_is_read_elsewhere_keeps_its_range():
    links = [masked("x", "m"), SOFTMAX, Link("other", "Relu", ("m",), ("r",))]

    found = list(masked_sums(links, ranges(), ["y"]))

    assert without_masks(links, ranges(), found, ["y"])["m"] == Range(LOWEST, 0.0)


def test_two_masks_one_after_the_other():
    links = [
        Link("causal", "Where", ("condition", "x", np.array(LOWEST)), ("w",)),
        Link("padding", "Add", ("w", "m"), ("a",)),
        Link("shape", "Reshape", ("a", None), ("s",)),
        SOFTMAX,
    ]
    known = ranges(w=Range(LOWEST, 6.0), a=Range(2 * LOWEST, 6.0), s=Range(2 * LOWEST, 6.0))

    found = list(masked_sums(links, known, ["y"]))
    limited = without_masks(links, known, found, ["y"])

    assert {each.operator: each.floor for each in found} == {"padding": -21, "causal": -21}
    assert {limited[name] for name in ("w", "a", "s")} == {Range(-21.0, 6.0)}


def test_a_limit_between_a_sum_and_its_softmax_is_passed():
    links = [
        Link("mask", "Add", ("x", "m"), ("a",)),
        Link("limit", "Max", ("a", np.array(LOWEST)), ("s",)),
        SOFTMAX,
    ]

    (found,) = masked_sums(links, ranges(a=Range(LOWEST, 6.0)), ["y"])

    assert found.results == ("s", "a")
