"""Data movement: references against numpy, kernels against references on every target."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.codegen.build.compilers import Target, host_targets
from farm.codegen.ops.movement import (
    OUTSIDE,
    Concat,
    Move,
    axis_offsets,
    selection,
    simplified,
    transposition,
)
from farm.codegen.program import Element, Layout, Step
from tests.farm.codegen.kernel_harness import Case, tensor

TARGETS = [*host_targets(), Target.HEXAGON, Target.HEXAGON_HVX]
ELEMENTS = [Element.U8, Element.F32]


def data(shape: tuple[int, ...], element: Element) -> np.ndarray:
    numbers = np.random.default_rng(math.prod(shape)).permutation(max(math.prod(shape), 1))
    return numbers[: math.prod(shape)].reshape(shape).astype(element.value)


def transposed(shape: tuple[int, ...], order: tuple[int, ...], element: Element) -> Move:
    result = tuple(shape[axis] for axis in order)
    x, y = tensor("x", shape, element=element), tensor("y", result, element=element)
    return transposition(x, y, order)


def selected(
    shape: tuple[int, ...], indices: dict[int, list[int]], element: Element, fill: float = 7.0
) -> Move:
    result = [len(indices.get(axis, range(size))) for axis, size in enumerate(shape)]
    x, y = tensor("x", shape, element=element), tensor("y", result, element=element)
    return selection(x, y, {axis: np.array(each) for axis, each in indices.items()}, fill)


def moves(element: Element) -> list[Move]:
    """Every kind of loop: strides, windows, tables, transposed strips, more loops than six."""
    outside = OUTSIDE
    return [
        transposed((3, 70), (1, 0), element),
        transposed((2, 17, 33), (0, 2, 1), element),
        transposed((2, 3, 4, 5), (3, 1, 0, 2), element),
        transposed((2, 3, 2, 2, 3, 2, 2), (6, 4, 2, 0, 5, 3, 1), element),
        transposed((4, 5), (0, 1), element),
        selected((3, 50), {1: [outside] * 3 + list(range(50)) + [outside] * 2}, element),
        selected((2, 3, 9), {1: [outside, 0, 1, 2], 2: [outside, *range(9)]}, element),
        selected((5, 40), {0: [4, 2, 0], 1: list(range(39, -1, -3))}, element),
        selected((2, 6), {1: [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]}, element),
        selected((2, 6), {1: [0, 1, 1, 3, outside, 5, 5, 2]}, element),
        selected((4, 3), {0: [3, outside, 0, 0, 1]}, element),
        selected((2, 4), {1: [0, 1, 2, 3] * 5}, element),
        selected((3, 4), {0: [outside, outside]}, element),
        selected((1, 1), {0: [0] * 9}, element),
    ]


def concat(
    shapes: list[tuple[int, ...]],
    axis: int,
    element: Element,
    layout: Layout = Layout.PLAIN,
    constant: int | None = None,
) -> Concat:
    whole = list(shapes[0])
    whole[axis] = sum(shape[axis] for shape in shapes)
    values = [data(shape, element) if i == constant else None for i, shape in enumerate(shapes)]
    parts = [
        tensor(f"x{i}", shape, layout, element) for i, shape in enumerate(shapes) if i != constant
    ]
    return Concat(tuple(parts), (tensor("y", whole, layout, element),), axis, tuple(values))


def concats() -> list[Concat]:
    blocked = [(2, 4, 3, 5), (2, 8, 3, 5)]
    return [
        concat(blocked, 1, Element.U8, Layout.BLOCKED),
        *(concat([(2, 3, 4), (2, 5, 4), (2, 1, 4)], 1, element) for element in ELEMENTS),
        *(concat([(7, 2), (7, 3)], 1, element, constant=0) for element in ELEMENTS),
        concat([(3,), (4,)], 0, Element.F32),
    ]


def all_cases() -> list[Case]:
    steps: list[Step] = [*moves(Element.U8), *moves(Element.F32), *concats()]
    return [Case(step, [data(each.shape, each.element) for each in step.inputs]) for step in steps]


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_agree_with_their_references(program):
    program.check()


class TestReferences:
    @pytest.mark.parametrize("element", ELEMENTS)
    def test_transposition(self, element):
        x = data((2, 3, 4, 5), element)
        (y,) = transposed(x.shape, (3, 1, 0, 2), element).reference([x])
        np.testing.assert_array_equal(y, x.transpose(3, 1, 0, 2), strict=True)

    @pytest.mark.parametrize("element", ELEMENTS)
    def test_selection(self, element):
        x = data((5, 6), element)
        (y,) = selected(x.shape, {0: [4, 4, 0], 1: [OUTSIDE, 5, 3]}, element).reference([x])
        want = np.full((3, 3), 7, x.dtype)
        want[:, 1:] = x[[4, 4, 0]][:, [5, 3]]
        np.testing.assert_array_equal(y, want, strict=True)

    def test_concat_with_a_constant(self):
        step = concat([(7, 2), (7, 3)], 1, Element.F32, constant=0)
        x = data((7, 3), Element.F32)
        (y,) = step.reference([x])
        assert step.constants[0] is not None
        np.testing.assert_array_equal(y, np.hstack([step.constants[0], x]))


def test_blocked_parts_fill_whole_blocks():
    with pytest.raises(AssertionError, match=r"\[4, 6\]"):
        concat([(1, 4, 2), (1, 6, 2)], 1, Element.U8, Layout.BLOCKED)


@st.composite
def nests(draw: st.DrawFn) -> list[np.ndarray]:
    """Loops over a row-major tensor: axes in any order, chosen, repeated, padded."""
    shape = draw(st.lists(st.integers(1, 4), min_size=1, max_size=7))
    offsets = [list(each) for each in axis_offsets(shape)]
    return [np.array(draw(loops(each)), np.int64) for each in draw(st.permutations(offsets))]


def loops(whole: list[int]) -> st.SearchStrategy[list[int]]:
    """All of an axis, chosen parts of it, with padding around it, several times."""
    padding = st.lists(st.just(OUTSIDE), max_size=2)
    return st.one_of(
        st.just(whole),
        st.lists(st.sampled_from([*whole, OUTSIDE]), min_size=1, max_size=6),
        st.builds(lambda before, after: before + whole + after, padding, padding),
        st.integers(1, 3).map(lambda times: whole * times),
    )


def places(nest: list[np.ndarray]) -> np.ndarray:
    total, inside = np.zeros(1, np.int64), np.ones(1, bool)
    for each in nest:
        total = np.add.outer(total, each).ravel()
        inside = np.logical_and.outer(inside, each >= 0).ravel()
    return np.where(inside, total, OUTSIDE)


@given(nests())
def test_a_simplified_nest_reads_the_same_places(nest):
    loops = simplified(nest)
    assert len(loops) == 6
    np.testing.assert_array_equal(places(list(loops)), places(nest))


def test_loops_that_follow_each_other_become_one():
    whole = simplified(axis_offsets((2, 3, 4, 5)))
    assert [len(each) for each in whole] == [1, 1, 1, 1, 1, 120]
    swapped = axis_offsets((2, 3, 4, 5))
    channels_last = simplified([swapped[0], swapped[2], swapped[3], swapped[1]])
    assert [len(each) for each in channels_last] == [1, 1, 1, 2, 20, 3]
